"""What is wrong with a file: the error a reader raises, and the entry the index keeps of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gravdask.archive.locations import as_location
from gravdask.errors import ReadError

Severity = Literal["quarantined", "note", "ignored"]


class DamagedFileError(ReadError):
    """A file claims to be of a format but cannot be read as such.

    Attributes
    ----------
    path
        The file: its path, or the text of its address.
    line
        Line of the damage, counted from 1, or None if it has none (binary files).
    what
        What was found and what was expected.
    cure
        What a person can do about it.
    """

    def __init__(self, path: Path | str, line: int | None, what: str, cure: str) -> None:
        super().__init__(path, line, what, cure)  # all of them in args: the error must survive pickling
        self.path = as_location(str(path))
        self.line = line
        self.what = what
        self.cure = cure

    def __str__(self) -> str:
        """Give ``file, line n: what; cure``."""
        where = f"{self.path}, line {self.line}" if self.line is not None else f"{self.path}"
        return f"{where}: {self.what}; {self.cure}"


@dataclass(frozen=True, order=True)
class Problem:
    """One entry of the index's list of problems.

    Attributes
    ----------
    path
        The file or folder, absolute.
    line
        Line, counted from 1; 0 if the whole file is meant.
    what
        What was found.
    cure
        What to do about it.
    severity
        "quarantined": nothing of the file is used; "note": it is used, with this remark; "ignored": not a record.
    """

    path: str
    line: int
    what: str
    cure: str
    severity: Severity = "quarantined"

    def __str__(self) -> str:
        """Give the problem as one line of text."""
        where = f"{self.path}, line {self.line}" if self.line else self.path
        cure = f"; {self.cure}" if self.cure else ""
        return f"[{self.severity}] {where}: {self.what}{cure}"
