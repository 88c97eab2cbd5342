"""Dated rows of decimal numbers, read block by block: a month of seconds is never in memory as text.

What is kept of a row is its time, its line and its numbers. Blocks end at line ends, and nothing depends on where.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from gravdask.archive.decimal_text import (
    Decimals,
    RaggedTextError,
    Tokens,
    parse_column,
    tokenise,
    without_cut_row,
)

BLOCK_BYTES = 1 << 20
"""Text that is taken apart at once: its words fit into a processor's cache."""
Splitter = Callable[[bytes, int, int | None], tuple[Tokens, int | None]]
"""Takes a text apart: as `tokenise`, by text, first line and number of columns."""


@dataclass(frozen=True)
class TimeForm:
    """How rows are dated.

    Attributes
    ----------
    columns
        Words of a row, from its first, that are its time.
    read
        Times of rows [ns since 1970, clock of the file] and where they are no times, each of shape (rows,).
    expected
        What these words should be, for a person.
    """

    columns: int
    read: Callable[[Tokens], tuple[NDArray[np.int64], NDArray[np.bool_]]]
    expected: str


@dataclass(frozen=True)
class NumberRows:
    """The rows of a text.

    Attributes
    ----------
    times_ns
        Times [ns since 1970, clock of the file], shape (rows,).
    lines
        Line of each row within the file, counted from 1, shape (rows,).
    columns
        The numbers behind the times.
    cut_line
        Line that is cut off at the end of the file and was left out, or None.
    """

    times_ns: NDArray[np.int64]
    lines: NDArray[np.int64]
    columns: tuple[Decimals, ...]
    cut_line: int | None


def line_blocks(file: BinaryIO, stop: int | None = None, size: int = BLOCK_BYTES) -> Iterator[bytes]:
    """Yield a file in blocks of whole lines, from where it stands.

    Parameters
    ----------
    file
        Opened in binary.
    stop
        Byte before which to end; None for the end of the file.
    size
        Bytes of a block, give or take a line.
    """
    left = stop - file.tell() if stop is not None else None
    while left is None or left > 0:
        block = file.read(size if left is None else min(size, left))
        if not block:
            return
        left = None if left is None else left - len(block)
        if not block.endswith(b"\n"):
            rest = file.readline() if left is None else file.readline(left)
            block += rest
            left = None if left is None else left - len(rest)
        yield block


def read_rows(
    blocks: Iterable[bytes], first_line: int, form: TimeForm, columns: int | None = None, split: Splitter = tokenise
) -> NumberRows:
    """Read rows of a time and numbers; every line that is not empty has the same number of words.

    Parameters
    ----------
    blocks
        The text, in whole lines.
    first_line
        Line of the first block's first line within the file, counted from 1.
    form
        How the rows are dated.
    columns
        Words of a row; None takes the number of the first.
    split
        Takes a block apart.

    Returns
    -------
    rows
        Without a last line that has no line end and has lost words or characters.

    Raises
    ------
    RaggedTextError
        At the first row that has another number of words, is not dated, or holds a word that is no number.
    """
    times: list[NDArray[np.int64]] = []
    lines: list[NDArray[np.int64]] = []
    numbers: list[list[Decimals]] = []
    cut: int | None = None
    before = ""
    line = first_line
    for block in blocks:
        tokens, cut = split(block, line, columns)
        line += block.count(b"\n")
        tokens, cut = without_cut_row(tokens, cut, block, before)
        if not tokens.rows:
            continue
        columns, before = tokens.columns, tokens.word(-1, -1)
        times.append(_times(tokens, form))
        lines.append(tokens.lines)
        numbers.append([parse_column(tokens, n) for n in range(form.columns, columns)])
    joined = []
    while numbers and numbers[0]:
        parts = [block.pop(0) for block in numbers]  # each column's parts go as soon as they are joined
        joined.append(Decimals.joined(parts))
    none = [np.empty(0, np.int64)]
    return NumberRows(np.concatenate(times or none), np.concatenate(lines or none), tuple(joined), cut)


def _times(tokens: Tokens, form: TimeForm) -> NDArray[np.int64]:
    """Times of the rows of a block.

    Raises
    ------
    RaggedTextError
        At the first row that is not dated.
    """
    if tokens.columns < form.columns:
        what = f"found {tokens.columns} columns, expected {form.expected} and what was measured"
        raise RaggedTextError(int(tokens.lines[0]), what)
    times, bad = form.read(tokens)
    if bad.any():
        row = int(bad.argmax())
        words = " ".join(tokens.word(row, n) for n in range(form.columns))
        raise RaggedTextError(int(tokens.lines[row]), f"{words!r} is no date and time, expected {form.expected}")
    return times
