"""Has the kernel put each packet of a TAP with several queues into the queue of the process that owns its flow.

Theory of operation.  Without a program the kernel learns from what each queue sends which flow is whose, and forgets it
after 3 s of silence (drivers/net/tun.c); then the flow goes to any queue.  TUNSETSTEERINGEBPF takes a program that says
it for each packet: it computes `stack.wire.steering.steer`.  The program is some 40 instructions, put together here and
loaded with bpf(2); what it cannot read whole is for queue 0.
"""

import ctypes
import errno
import fcntl
import os
import platform
import struct
from typing import Final

from stack.errors import DeviceError
from stack.wire.steering import MIX_1, MIX_2, MIX_PORTS, OWNED_PORTS

TUNSETSTEERINGEBPF: Final = 0x800454E0  # Linux UAPI linux/if_tun.h
SOCKET_FILTER: Final = 1  # Linux UAPI linux/bpf.h: enum bpf_prog_type
SCHED_CLS: Final = 3
_PROG_LOAD: Final = 5  # enum bpf_cmd
_PROG_TEST_RUN: Final = 10
_SYSCALL: Final = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "armv7l": 386, "i686": 357, "ppc64le": 361}
_ATTR_BYTES: Final = 128
_INSN: Final = struct.Struct("=BBhi")  # code, registers, jump, immediate

# Codes of RFC 9669 §4 and §5.
_XOR, _XOR_K, _MUL_K, _RSH_K, _LSH_K, _AND_K, _MOD_K = 0xAC, 0xA4, 0x24, 0x74, 0x64, 0x54, 0x94
_MOV, _MOV_K, _EXIT = 0xBF, 0xB7, 0x95
_JNE_K, _JEQ_K, _JLT_K, _JSET_K = 0x55, 0x15, 0xA5, 0x45
_LD_W, _LD_H, _LD_B, _LD_IND_H = 0x20, 0x28, 0x30, 0x48  # legacy packet access, §5.5: outside the packet it returns 0


class _Assembler:
    """Instructions in order; jumps by label."""

    def __init__(self) -> None:
        self._code: list[tuple[int, int, int, str, int]] = []
        self._labels: dict[str, int] = {}

    def put(self, code: int, dst: int = 0, value: int = 0, *, src: int = 0, to: str = "") -> None:
        self._code.append((code, dst, src, to, value))

    def label(self, name: str) -> None:
        self._labels[name] = len(self._code)

    def program(self) -> bytes:
        return b"".join(
            _INSN.pack(
                code,
                dst | src << 4,
                self._labels[to] - at - 1 if to else 0,
                (value + (1 << 31)) % (1 << 32) - (1 << 31),
            )
            for at, (code, dst, src, to, value) in enumerate(self._code)
        )


def program(count: int, seed: int) -> bytes:
    """The instructions that return the queue of an Ethernet frame."""
    asm = _Assembler()
    put = asm.put
    put(_MOV, 6, src=1)  # where packet access wants the packet
    put(_LD_H, value=12)
    put(_JNE_K, 0, 0x0800, to="zero")
    put(_LD_B, value=14)
    put(_MOV, 8, src=0)
    put(_AND_K, 0, 0xF0)
    put(_JNE_K, 0, 0x40, to="zero")
    put(_AND_K, 8, 0x0F)
    put(_LSH_K, 8, 2)  # r8: length of the IP header
    put(_JLT_K, 8, 20, to="zero")
    put(_LD_H, value=20)
    put(_JSET_K, 0, 0x3FFF, to="zero")  # a fragment
    put(_LD_B, value=23)
    put(_MOV, 7, src=0)  # r7: protocol
    put(_LD_IND_H, src=8, value=16)
    put(_MOV, 9, src=0)  # r9: destination port
    put(_JEQ_K, 7, 6, to="flow")
    put(_JNE_K, 7, 17, to="zero")
    put(_JLT_K, 9, OWNED_PORTS, to="flow")
    put(_MOV, 0, src=9)
    put(_MOD_K, 0, count)
    put(_EXIT)
    asm.label("flow")
    put(_LD_IND_H, src=8, value=14)
    put(_XOR, 9, src=0)
    put(_MUL_K, 9, MIX_PORTS)
    put(_XOR, 9, src=7)
    put(_LD_W, value=26)
    put(_XOR, 9, src=0)
    put(_LD_W, value=30)
    put(_XOR, 9, src=0)
    put(_XOR_K, 9, seed)
    for shift, factor in ((16, MIX_1), (13, MIX_2), (16, 0)):
        put(_MOV, 0, src=9)
        put(_RSH_K, 0, shift)
        put(_XOR, 9, src=0)
        if factor:
            put(_MUL_K, 9, factor)
    put(_MOV, 0, src=9)
    put(_MOD_K, 0, count)
    put(_EXIT)
    asm.label("zero")
    put(_MOV_K, 0, 0)
    put(_EXIT)
    return asm.program()


def load(code: bytes, kind: int = SOCKET_FILTER) -> int:
    """A descriptor of the program; close it when it is attached.  Raises OSError."""
    insns = ctypes.create_string_buffer(code, len(code))
    licence = ctypes.create_string_buffer(b"Dual MIT/GPL")
    attr = struct.pack("=IIQQ", kind, len(code) // _INSN.size, ctypes.addressof(insns), ctypes.addressof(licence))
    descriptor, _ = _bpf(_PROG_LOAD, attr)
    os.set_inheritable(descriptor, False)
    return descriptor


def run_once(descriptor: int, frame: bytes) -> int:
    """What a program of kind SCHED_CLS, which sees the same of a frame, returns for it.  Raises OSError."""
    data = ctypes.create_string_buffer(frame, len(frame))
    attr = struct.pack("=IIIIQQ", descriptor, 0, len(frame), 0, ctypes.addressof(data), 0)
    _, answer = _bpf(_PROG_TEST_RUN, attr)
    result: int = struct.unpack_from("=I", answer, 4)[0]
    return result


def _bpf(command: int, attr: bytes) -> tuple[int, bytes]:
    """bpf(2); what it returned, and what it left in the attributes."""
    number = _SYSCALL.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    libc = ctypes.CDLL(None, use_errno=True)
    room = ctypes.create_string_buffer(attr, _ATTR_BYTES)
    result = libc.syscall(ctypes.c_long(number), ctypes.c_int(command), room, ctypes.c_uint(_ATTR_BYTES))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result, room.raw


def set_steering(tap: int, name: str, count: int, seed: int) -> None:
    """Steer the TAP that the descriptor `tap` is a queue of, until it goes away.  Raises DeviceError."""
    try:
        descriptor = load(program(count, seed))
        try:
            fcntl.ioctl(tap, TUNSETSTEERINGEBPF, struct.pack("i", descriptor))
        finally:
            os.close(descriptor)
    except OSError as exc:
        if exc.errno in {errno.EPERM, errno.EACCES}:
            why = "run as root, or with CAP_BPF and CAP_NET_ADMIN, outside containers that forbid bpf(2)"
        else:
            why = f"this kernel does not take the program ({(exc.strerror or str(exc)).lower()})"
        text = f"cannot steer flows to the queues of {name}: {why}; without that use one process"
        raise DeviceError(text, exc.errno) from exc


def clear_steering(tap: int) -> None:
    """Take the program away again.  Raises OSError."""
    fcntl.ioctl(tap, TUNSETSTEERINGEBPF, struct.pack("i", -1))
