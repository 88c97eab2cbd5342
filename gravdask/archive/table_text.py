"""Fields of a separated text: where each one stands, without a loop over rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gravdask.archive.decimal_text import RaggedTextError, Tokens, tokenise

_BLANKS = (9, 13, 32, 34, 39)
"""Tabulator, return, blank and both quotation marks: taken off both ends of a field."""
_NAN = b"nan"


@dataclass(frozen=True)
class TableText:
    """The text of a table taken apart.

    Attributes
    ----------
    names
        Names of the columns, empty if no row names them.
    tokens
        The fields of the samples.
    cut_line
        Line that is cut off at the end of the file and was left out, or None.
    """

    names: tuple[str, ...]
    tokens: Tokens
    cut_line: int | None


def decode(data: bytes) -> bytes:
    """Text as UTF-8 or one byte a character, whatever mark of another encoding it begins with."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", errors="replace").encode()
    return data.removeprefix(b"\xef\xbb\xbf")


def split_table(data: bytes, separator: str, header_rows: int, comment: str) -> TableText:
    """Take a table apart.

    Parameters
    ----------
    data
        The whole text.
    separator
        One character, or empty for any blanks.
    header_rows
        Lines before the first sample, comments and empty lines included; the last one names the columns.
    comment
        Lines that begin so are left out.

    Raises
    ------
    RaggedTextError
        If a row has another number of fields than the row before it.
    """
    start, title = 0, b""
    for _ in range(header_rows):
        stop = data.find(b"\n", start)
        title, start = (data[start:], len(data)) if stop < 0 else (data[start:stop], stop + 1)
    body, lines = _without_comments(data[start:], comment.encode(), header_rows + 1)
    try:
        tokens, cut = _split(body, ord(separator)) if separator.strip(" ") else tokenise(body, 1)
    except RaggedTextError as error:
        raise RaggedTextError(int(lines[error.line - 1]), error.what) from error
    if cut is None and body and not body.endswith(b"\n") and tokens.last_is_cut():
        cut, tokens = int(tokens.lines[-1]), tokens.without_last()
    tokens = replace(tokens, lines=lines[tokens.lines - 1])
    names = _names(title, separator, comment) if header_rows else ()
    return TableText(names, tokens, None if cut is None else int(lines[cut - 1]))


def _names(title: bytes, separator: str, comment: str) -> tuple[str, ...]:
    """Names in a row of titles, without a mark of a comment before them."""
    try:
        text = title.decode("utf-8")
    except UnicodeDecodeError:
        text = title.decode("latin-1")
    text = text.strip().removeprefix(comment) if comment else text.strip()
    words = text.split(separator) if separator.strip(" ") else text.split()
    return tuple(word.strip(" \t\r\"'") for word in words)


def _without_comments(body: bytes, comment: bytes, first_line: int) -> tuple[bytes, NDArray[np.int64]]:
    """Leave out comments and empty lines; gives the rest and the line of each of its lines."""
    count = body.count(b"\n") + 1
    lines = np.arange(first_line, first_line + count, dtype=np.int64)
    lone_returns = b"\r" in body and b"\n" not in body
    if not lone_returns and not (comment and comment in body):
        return body, lines
    kept = body.replace(b"\r", b"\n").splitlines(keepends=True) if lone_returns else body.splitlines(keepends=True)
    good = [n for n, line in enumerate(kept) if not (comment and line.lstrip().startswith(comment))]
    numbers = np.array([*good, len(kept)], dtype=np.int64) + first_line
    return b"".join(kept[n] for n in good), numbers


def _split(body: bytes, separator: int) -> tuple[Tokens, int | None]:
    """Fields between separators; lines without anything but blanks are left out."""
    text = np.frombuffer(body if body.endswith(b"\n") else body + b"\n", dtype=np.uint8)
    ends = np.flatnonzero((text == 10) | (text == separator))
    newline = text[ends] == 10
    starts = np.concatenate([[0], ends[:-1] + 1])
    line = np.concatenate([[0], np.cumsum(newline)[:-1]]) + 1
    starts, stops = _stripped(text, starts, ends)
    firsts = np.flatnonzero(np.concatenate([[True], newline[:-1]]))
    counts = np.diff(np.append(firsts, ends.size))
    empty = (counts == 1) & (starts[firsts] == stops[firsts])
    keep = np.repeat(~empty, counts)
    starts, stops, line = starts[keep], stops[keep], line[keep]
    counts = counts[~empty]
    firsts = line[np.cumsum(np.concatenate([[0], counts]))[:-1]]
    cut = None
    expected = int(counts[0]) if counts.size else 1
    if counts.size and counts[-1] < expected and not body.endswith(b"\n"):
        cut = int(firsts[-1])
        starts, stops = starts[: -counts[-1]], stops[: -counts[-1]]
        counts, firsts = counts[:-1], firsts[:-1]
    wrong = np.flatnonzero(counts != expected)
    if wrong.size:
        what = f"found {counts[wrong[0]]} columns, expected {expected}"
        raise RaggedTextError(int(firsts[wrong[0]]), what)
    shape = (counts.size, expected)
    return Tokens(text, starts.reshape(shape), stops.reshape(shape), firsts), cut


def _stripped(
    text: NDArray[np.uint8], starts: NDArray[np.int64], stops: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Take blanks and quotation marks off both ends of fields."""
    blank = np.zeros(256, dtype=bool)
    blank[list(_BLANKS)] = True
    starts, stops = starts.copy(), stops.copy()
    while (more := (starts < stops) & blank[text[np.minimum(starts, text.size - 1)]]).any():
        starts[more] += 1
    while (more := (starts < stops) & blank[text[np.maximum(stops - 1, 0)]]).any():
        stops[more] -= 1
    return starts, stops


def with_missing(tokens: Tokens, column: int, words: Sequence[str], decimal_comma: bool) -> Tokens:
    """One column with NaN in place of empty fields and of words that stand for a missing value.

    Parameters
    ----------
    tokens
        The fields.
    column
        Which column, counted from 0.
    words
        Words that stand for a missing value, as written but for upper and lower case.
    decimal_comma
        Whether numbers are written with a comma.
    """
    starts, stops = tokens.starts[:, column].copy(), tokens.stops[:, column].copy()
    text = np.concatenate([tokens.text, np.frombuffer(_NAN, dtype=np.uint8)])
    if decimal_comma:
        text = np.where(text == 44, np.uint8(46), text)
    lower = np.where((text >= 65) & (text <= 90), text | 32, text)
    missing = starts == stops
    for word in {word.lower().replace(",", ".") if decimal_comma else word.lower() for word in words if word}:
        letters = np.frombuffer(word.encode(), dtype=np.uint8)
        long = np.flatnonzero(stops - starts == letters.size)
        if long.size:
            found = lower[starts[long][:, None] + np.arange(letters.size)] == letters
            missing[long[found.all(axis=1)]] = True
    starts[missing], stops[missing] = tokens.text.size, text.size
    return Tokens(text, starts[:, None], stops[:, None], tokens.lines)


def column_texts(tokens: Tokens, columns: Sequence[int]) -> list[str]:
    """Texts of some columns of every row, joined by blanks."""
    body = tokens.text.tobytes()
    spans = [list(zip(tokens.starts[:, n].tolist(), tokens.stops[:, n].tolist(), strict=True)) for n in columns]
    return [b" ".join(body[a:b] for a, b in row).decode("latin-1") for row in zip(*spans, strict=True)]


def fixed_texts(tokens: Tokens, columns: Sequence[int]) -> NDArray[np.uint8] | None:
    """Texts of some columns joined by blanks, shape (rows, width); None if they are not equally long in every row."""
    parts: list[NDArray[np.uint8]] = []
    for column in columns:
        starts, lengths = tokens.starts[:, column], tokens.stops[:, column] - tokens.starts[:, column]
        width = int(lengths[0]) if lengths.size else 0
        if not width or (lengths != width).any():
            return None
        parts += [np.full((starts.size, 1), 32, dtype=np.uint8)] if parts else []
        parts.append(tokens.text[starts[:, None] + np.arange(width)])
    return np.concatenate(parts, axis=1)
