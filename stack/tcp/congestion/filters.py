"""A windowed maximum, after Kathleen Nichols: the best of the last rounds in three numbers.

Theory of operation.  The best, second and third best values are kept with their times, each later than the one before
it.  A value that is greater replaces all that it beats; when the best is older than the window, the second takes its
place.  The answer is exact for values that rise, and close for those that fall.
"""

from mypy_extensions import mypyc_attr


@mypyc_attr(acyclic=True)
class WindowedMax:
    """The greatest value of a window of virtual time."""

    __slots__ = ("_times", "_values")

    def __init__(self) -> None:
        self._values = [0, 0, 0]
        self._times = [0, 0, 0]

    def update(self, value: int, at: int, window: int) -> int:
        """Take in `value` at time `at` (not before the last one); returns the greatest of the last `window`."""
        values, times = self._values, self._times
        if value >= values[0] or at - times[2] > window:
            values[:] = [value] * 3
            times[:] = [at] * 3
            return value
        for i in (1, 2):
            if value >= values[i]:
                values[i:] = [value] * (3 - i)
                times[i:] = [at] * (3 - i)
                break
        while at - times[0] > window:
            values[:] = [values[1], values[2], value]
            times[:] = [times[1], times[2], at]
        if times[1] == times[0] and at - times[0] > window // 4:
            # the second best must be of a later part of the window, or nothing is left when the best goes
            values[1:] = [value, value]
            times[1:] = [at, at]
        elif times[2] == times[1] and at - times[1] > window // 2:
            values[2], times[2] = value, at
        return values[0]
