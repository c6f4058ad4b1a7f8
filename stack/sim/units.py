"""Durations, rates, sizes and fractions as people write them, to and from whole numbers.

Every parser takes the text of a scenario file or a plain number in the base unit (microseconds, bytes per second,
bytes) and raises ValueError with a sentence that says what would do.
"""

import re
from decimal import Decimal
from typing import Final

from stack.config import MINUTE, MS, SECOND

_NUMBER: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-zµ%][A-Za-z/]*)?\s*\Z", re.ASCII)
DURATIONS: Final = {"us": 1, "µs": 1, "ms": MS, "s": SECOND, "min": MINUTE, "h": 60 * MINUTE}
SIZES: Final = {
    "B": 1,
    "kB": 1000,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
}
RATES: Final = {  # in bit/s
    "bit/s": 1,
    "kbit/s": 1000,
    "Mbit/s": 1000**2,
    "Gbit/s": 1000**3,
    "B/s": 8,
    "kB/s": 8 * 1000,
    "MB/s": 8 * 1000**2,
}
LARGEST: Final = 1 << 53  # what TOML and JSON readers agree on


def _scaled(value: object, units: dict[str, int], divisor: int, base: str, example: str) -> int:
    """`value` in units of `base`: an int as it is, a text by its unit."""
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, str) and (match := _NUMBER.match(value)) and match[2] in units:
        exact = Decimal(match[1]) * units[match[2]] / divisor
        number = int(exact)
        if number != exact:
            raise ValueError(f"{value!r} is not a whole number of {base}")
    else:
        raise ValueError(f"{value!r} is no such number: use text like {example!r}, or a whole number of {base}")
    if not 0 <= number <= LARGEST:
        raise ValueError(f"{value!r} is out of range")
    return number


def duration(value: object) -> int:
    """Microseconds of "250ms", "1.5s", "3min".  Raises ValueError."""
    return _scaled(value, DURATIONS, 1, "microseconds", "20ms")


def rate(value: object) -> int:
    """Bytes per second of "100Mbit/s".  Raises ValueError."""
    return _scaled(value, RATES, 8, "bytes per second", "100Mbit/s")


def size(value: object) -> int:
    """Bytes of "64KiB".  Raises ValueError."""
    return _scaled(value, SIZES, 1, "bytes", "64KiB")


def queue(value: object) -> int | str:
    """A queue in bytes ("64KiB", a number), or in packets as text ("100p").  Raises ValueError."""
    if isinstance(value, str) and re.fullmatch(r"[1-9][0-9]{0,5}p", value, re.ASCII):
        return value
    return _scaled(value, SIZES, 1, "bytes", "64KiB or 100p")


def fraction(value: object) -> float:
    """0 to 1 of 0.01 or "1%".  Raises ValueError."""
    if isinstance(value, str) and (match := _NUMBER.match(value)) and match[2] == "%":
        number = float(Decimal(match[1]) / 100)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value)
    else:
        raise ValueError(f"{value!r} is no such number: use a fraction from 0 to 1, or text like '1%'")
    if not 0.0 <= number <= 1.0:
        raise ValueError(f"{value!r} is out of range: use a fraction from 0 to 1")
    return number


def _shortest(number: int, units: dict[str, int], names: tuple[str, ...]) -> str:
    for name in names:
        if number and number % units[name] == 0:
            return f"{number // units[name]}{name}"
    return f"{number}{names[-1]}"


def format_duration(us: int) -> str:
    """Text that `duration` takes back to the same number."""
    return _shortest(us, DURATIONS, ("min", "s", "ms", "us"))


def format_rate(bytes_per_s: int) -> str:
    """Text that `rate` takes back to the same number."""
    return _shortest(bytes_per_s * 8, RATES, ("Gbit/s", "Mbit/s", "kbit/s", "bit/s"))


def format_size(nbytes: int) -> str:
    """Text that `size` takes back to the same number."""
    return _shortest(nbytes, SIZES, ("GiB", "MiB", "KiB", "B"))
