"""The bytes that wait for their acknowledgment."""

from stack.tcp.memory import Budget
from stack.tcp.send_buffer import SendBuffer


def test_a_view_of_the_tail_hinders_no_write():
    """Where objects are not freed at once, as on PyPy, the view that a frame was sent from is still there."""
    buffer = SendBuffer(Budget(1 << 20))
    buffer.append(b"ab")
    buffer.append(b"cd")
    buffer.view(0, 4)
    tail = buffer.found
    assert isinstance(tail, bytearray)  # gathered
    with memoryview(tail) as view:
        buffer.append(b"ef")
        assert view == b"abcd"
    buffer.view(0, 6)
    assert buffer.found[buffer.found_off :] == b"abcdef"
    buffer.check_invariants()
