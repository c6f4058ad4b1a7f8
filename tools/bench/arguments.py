"""What the command lines of the measuring tools take: numbers that can be meant, told before anything is measured."""

import argparse
from collections.abc import Callable
from pathlib import Path

LONGEST_S = 3600.0


class Help(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """The head of the module as it is, and what is taken when nothing is said."""


def whole(most: int, least: int = 1) -> Callable[[str], int]:
    """A number from `least` to `most`."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and least <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"{text}: use a number from {least} to {most}")
        return int(text)

    return parse


def seconds(text: str) -> float:
    """A length of time."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.01 <= value <= LONGEST_S:
        raise argparse.ArgumentTypeError(f"{text}: use 0.01 to {LONGEST_S:.0f} seconds")
    return value


def share(text: str) -> float:
    """A part of one."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text}: use a fraction, 0 to 1")
    return value


def new_file(text: str) -> Path:
    """A file to be written: its folder is there."""
    path = Path(text)
    if not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text}: there is no folder {path.absolute().parent}")
    return path


def old_file(text: str) -> Path:
    """A file to be read."""
    path = Path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"{text}: there is no such file")
    return path
