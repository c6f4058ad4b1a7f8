"""What can be wrong with an interface file."""

import errno
from typing import Final

from stack.errors import StackError

MAX_MESSAGE: Final = 300


class InterfaceError(StackError, ValueError):
    """An interface file that cannot be compiled; the message begins with file:line:column (EINVAL)."""

    code = errno.EINVAL

    def __init__(self, message: str, file: str, line: int, column: int) -> None:
        if len(message) > MAX_MESSAGE:  # it shows a word of the file, and that may be long
            message = f"{message[: MAX_MESSAGE - 3]}..."
        super().__init__(f"{file}:{line}:{column}: {message}")
        self.file = file
        self.line = line
        self.column = column

    def __str__(self) -> str:
        return str(self.strerror)
