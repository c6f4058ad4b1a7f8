"""Damage to encoded values, and what decoding it may cost at most.

    python -m tests.support.rpc_fuzz [--count 100000] [--seed 1] [FILE.x ...]

For each type of a file: random values are encoded and damaged; decoding gives a value or an XdrError, nothing else; a
value that comes of it can be encoded, and is the same when it is decoded again.  The lines of Python that ran, and the
memory at its peak, stay within the bounds below, which docs/xdr.md promises (measured of every `--every`th).
The text of the files is damaged too: the compiler refuses it with an InterfaceError, or makes a module of it.
"""

import argparse
import ast
import contextlib
import gc
import random
import struct
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from stack.rpc.x.compile import folders, generate
from stack.rpc.x.errors import InterfaceError
from stack.rpc.x.types import XType
from stack.rpc.xdr import Limits, XdrError
from tests.support.rpc_values import RPCSVC, Corpus

CALC = Path(__file__).parent / "rpc" / "calc.x"
RPCBIND = Path(__file__).parents[2] / "stack" / "rpc" / "rpcbind" / "rpcbind.x"
LIMITS = Limits(max_items=2_000, max_depth=20)
STEPS, STEPS_AN_OCTET, ITEMS_A_STEP = 200, 4, 16
MEMORY, MEMORY_AN_OCTET = 64 << 10, 4
ORIGINALS = 25  # values of each type
HURTFUL = (0, 1, 2, 3, 4, 5, 0x7F, 0xFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFC, 0xFFFFFFFF)


def files() -> list[Path]:
    """All that are tried: ours and Sun's."""
    return [CALC, RPCBIND, *sorted(RPCSVC.glob("*.x"))]


def damaged(originals: list[bytes], rng: random.Random) -> bytes:
    """Words changed to what hurts, cut, repeated, inserted, from two values; bits changed; cut anywhere."""
    data = bytearray(rng.choice(originals))
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        at = 4 * rng.randrange(len(data) // 4 + 1)
        how = rng.randrange(8)
        if how < 3:
            data[at : at + 4] = struct.pack(">I", rng.choice(HURTFUL))
        elif how == 3 and data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        elif how == 4:
            del data[at : at + 4 * rng.randrange(1, 4)]
        elif how == 5:
            data[at:at] = data[at : at + 4 * rng.randrange(1, 20)] * rng.randrange(1, 4)
        elif how == 6:
            data[at:] = rng.choice(originals)[at:]
        else:
            del data[rng.randrange(len(data) + 1) :]
    return bytes(data)


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """What others have left for the collector is not finalised meanwhile: that would be counted, too."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@no_collection()
def steps_of(call: Callable[[], object]) -> int:
    """The lines of Python that a call runs."""
    count = 0

    def trace(_frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


@no_collection()
def memory_of(call: Callable[[], object]) -> int:
    """The octets that a call allocates at its peak."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


class Fuzz:
    """Damage to the values of one file; `reasons` counts what was said of it ("" where it did none)."""

    def __init__(self, path: Path, seed: int = 1, every: int = 1) -> None:
        self.corpus = Corpus(path, seed)
        self.rng = random.Random(f"{path.name} {seed} damage")
        self.every = every
        self.reasons: Counter[str] = Counter()
        self.tried = 0
        self.most_steps = 0.0  # as parts of what is allowed
        self.most_memory = 0.0

    def run(self, count: int) -> None:
        """So many of each type.  Raises AssertionError, with the octets."""
        for xtype in self.corpus.types():
            codec = self.corpus.codec(xtype)
            originals = [codec.encode(self.corpus.value(xtype)) for _ in range(ORIGINALS)]
            for _ in range(count):
                data = damaged(originals, self.rng)
                try:
                    self.one(xtype, data)
                except Exception as error:
                    raise AssertionError(f"{self.corpus.path} {codec.name}: {data.hex()}") from error

    def one(self, xtype: XType, data: bytes) -> None:
        """One value."""
        codec = self.corpus.codec(xtype)
        found: list[Any] = []

        def decode() -> None:
            try:
                found.append(codec.decode(data, LIMITS))
            except XdrError as error:
                self.reasons[error.reason.name] += 1

        decode()
        self.tried += 1
        if self.tried % self.every == 0:
            self.measure(data, codec)
        if found:
            self.reasons[""] += 1
            again = codec.encode(found[0])
            assert codec.encode(codec.decode(again, Limits(strict=True))) == again

    def measure(self, data: bytes, codec: Any) -> None:
        """What it costs."""

        def decode() -> None:
            with contextlib.suppress(XdrError):
                codec.decode(data, LIMITS)

        allowed = STEPS + STEPS_AN_OCTET * len(data) + LIMITS.max_items // ITEMS_A_STEP
        self.most_steps = max(self.most_steps, steps_of(decode) / allowed)
        allowed = MEMORY + MEMORY_AN_OCTET * len(data)
        self.most_memory = max(self.most_memory, memory_of(decode) / allowed)
        assert self.most_steps <= 1, "too many steps"
        assert self.most_memory <= 1, "too much memory"


def fuzz_text(path: Path, count: int, seed: int = 1) -> tuple[int, int]:
    """The text of a file damaged so many times: how often it was refused, and how often not."""
    rng = random.Random(f"{path.name} {seed} text")
    text = path.read_text("utf-8")
    words = [*text.split(), "struct", "{", "}", "<", ">", "*", "#if 1", "#endif", "\n#define x y(", "'", '"', "/*", "%"]
    refused = 0
    for _ in range(count):
        changed = text
        for _ in range(rng.choice((1, 2, 3))):
            at, length = rng.randrange(len(changed)), rng.choice((0, 1, 1, 5, 40))
            put = rng.choice((rng.choice(words), "", chr(rng.randrange(1, 255)), changed[at : at + 30]))
            changed = changed[:at] + put + changed[at + length :]
        try:
            made = generate(changed, str(path), read=folders((RPCSVC,)))
        except InterfaceError:
            refused += 1
        else:
            ast.parse(made)
    return refused, count - refused


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000, help="mutations of each file, spread over its types")
    parser.add_argument("--texts", type=int, default=500, help="mutations of the text of each file")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=int, default=20, help="measure each so-manieth")
    parser.add_argument("files", nargs="*", type=Path)
    arguments = parser.parse_args()
    for path in arguments.files or files():
        began = time.monotonic()
        fuzz = Fuzz(path, arguments.seed, arguments.every)
        fuzz.run(-(-arguments.count // len(fuzz.corpus.types())) if fuzz.corpus.types() else 0)
        refused, _ = fuzz_text(path, arguments.texts, arguments.seed)
        sound = fuzz.reasons.pop("", 0)
        print(
            f"{path.name}: {fuzz.tried} decoded, {sound} sound, {dict(fuzz.reasons)}; at most {fuzz.most_steps:.0%} of"
            f" the steps and {fuzz.most_memory:.0%} of the memory that are allowed; {refused} of {arguments.texts}"
            f" texts refused; {time.monotonic() - began:.0f} s",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
