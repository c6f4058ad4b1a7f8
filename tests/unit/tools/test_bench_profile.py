"""What `make profile` makes of the stacks that py-spy has seen."""

import pytest

from tools.bench import profile

CORE = "_core__mypyc.cpython-311-x86_64-linux-gnu.so"
POLL = f"CPyDef_tcp_layer___TcpLayer___poll_transmit ({CORE})"
STACKS = f"""\
main (server.py:54);Loop__run (loop.c);DeviceDriver.read (stack/aio/device_driver.py:175);{POLL};writev (libc.so.6) 30
main (server.py:54);Loop__run (loop.c);epoll_pwait (libc.so.6) 10
main (server.py:54);DeviceDriver.read (stack/aio/device_driver.py:175);{POLL};PyDict_GetItem (dictobject.c) 25
main (server.py:54);DeviceDriver.read (stack/aio/device_driver.py:175);{POLL} 15
main (server.py:54);DeviceDriver.read (stack/aio/device_driver.py:190) 12
main (server.py:54);DeviceDriver.read (stack/aio/device_driver.py:191);PyObject_Malloc (obmalloc.c) 8
"""


@pytest.mark.parametrize(
    ("mangled", "name"),
    [
        (POLL, "TcpLayer.poll_transmit (tcp_layer, compiled)"),
        (f"CPyDef_isn____digest ({CORE})", "_digest (isn, compiled)"),
        (f"CPyPy_host___Host___receive ({CORE})", "Host.receive (host, compiled)"),
        ("ts_rx_burst (io.c)", "ts_rx_burst (io.c)"),
        ("<text>CPyDef_host___Ho..</text><title>x (y)</title>", "<text>CPyDef_host___Ho..</text><title>x (y)</title>"),
    ],
)
def test_compiled_functions_have_their_names_again(mangled, name):
    assert profile.readable(mangled) == name


def test_what_c_does_counts_for_the_function_of_python_but_system_calls_do_not():
    functions, kinds = profile.shares(STACKS)
    assert functions == {
        "the kernel: writev": 30,
        "the kernel: epoll_pwait": 10,
        "TcpLayer.poll_transmit (tcp_layer, compiled)": 40,
        "DeviceDriver.read (stack/aio/device_driver.py)": 20,
    }
    assert kinds == {"system calls": 40, "compiled Python": 40, "interpreted Python": 20}


def test_the_report_begins_with_the_kinds_and_the_largest_function():
    lines = list(profile.report(STACKS))
    assert lines[0] == "100 samples"
    assert lines[2] == " 40.0 %  system calls"
    assert " 20.0 %  DeviceDriver.read (stack/aio/device_driver.py)" in lines
