"""Rows of a sweep on disk: a Parquet file and a journal of what came since.

Theory of operation.  A finished run is appended to the journal at once (one line of JSON), and the journal is folded
into `results.parquet` now and then and at the end: a new file beside the old one, then renamed over it.  So
whenever the process is killed, nothing finished is lost: a line that was cut off is one run to be made again, and a row
that is both in the file and in the journal is one row.  Needs pyarrow (the extra `tapstack[sim]`).
"""

import fcntl
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import pyarrow as pa
import pyarrow.parquet as pq

from stack.errors import ConfigError, StackError

FOLD_ROWS: Final = 2_000
Row = dict[str, Any]


class Results:
    """The rows in a folder, by key; one process at a time.  Raises ConfigError for what is no file of ours."""

    __slots__ = ("_journal", "_unfolded", "folder", "rows")

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: dict[str, Row] = {}
        self._unfolded = 0
        self._journal = (folder / "results.journal").open("a+b")
        try:
            fcntl.flock(self._journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._journal.close()
            raise StackError(f"another sweep is writing to {folder}") from None
        self._read()

    @property
    def path(self) -> Path:
        """The Parquet file."""
        return self.folder / "results.parquet"

    def add(self, row: Row) -> None:
        """A run has finished."""
        self._journal.write(json.dumps(row).encode() + b"\n")
        self._journal.flush()
        self.rows[row["key"]] = row
        self._unfolded += 1
        if self._unfolded >= FOLD_ROWS:
            self.fold()

    def fold(self) -> None:
        """Write everything to the Parquet file and begin the journal anew."""
        if not self._unfolded:
            return
        names = dict.fromkeys(name for row in self.rows.values() for name in row)
        columns = {name: _column([row.get(name) for row in self.rows.values()]) for name in names}
        beside = self.folder / "results.parquet.new"
        pq.write_table(pa.table(columns), beside)
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(self.path)
        self._journal.truncate(0)
        self._unfolded = 0

    def close(self) -> None:
        """Fold, and let others write."""
        try:
            self.fold()
        finally:
            self._journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self) -> None:
        if self.path.exists():
            try:
                rows = pq.read_table(self.path).to_pylist()
                self.rows = {row["key"]: row for row in rows}
            except (pa.ArrowException, KeyError) as error:
                self._journal.close()
                raise ConfigError(
                    f"{self.path} is not a file of results (move it away, or use another --out): {error}"
                ) from None
        self._journal.seek(0)
        for line in self._journal.read().split(b"\n"):
            try:
                row = json.loads(line)
                self.rows[row["key"]] = row
            except (ValueError, KeyError, TypeError):
                continue  # cut off as it was written
            self._unfolded += 1
        self._journal.seek(0, os.SEEK_END)
        if self._journal.tell():
            self._journal.write(b"\n")  # ends a line that was cut off
            self._unfolded = max(self._unfolded, 1)


def _column(values: list[Any]) -> Any:
    """Of one type; of several, as text."""
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([None if value is None else str(value) for value in values])
