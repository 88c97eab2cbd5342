"""Fields of a separated text: where each one stands, block by block."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from gravdask.archive.decimal_text import RaggedTextError, Tokens, tokenise, without_cut_row

_NAN = b"nan"


@contextmanager
def open_table(path: Path) -> Iterator[BinaryIO]:
    """Open a text as UTF-8 or one byte a character, behind whatever mark of an encoding it begins with."""
    with path.open("rb") as file:
        head = file.read(len(codecs.BOM_UTF8))
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            yield BytesIO((head + file.read()).decode("utf-16", errors="replace").encode())
        else:
            file.seek(len(head) if head == codecs.BOM_UTF8 else 0)
            yield file


def read_names(file: BinaryIO, separator: str, header_rows: int, comment: str) -> tuple[str, ...]:
    """Names of the columns, which leaves the file before its first sample; empty if no row names them.

    Parameters
    ----------
    file
        At its beginning.
    separator
        One character, or empty for any blanks.
    header_rows
        Lines before the first sample, comments and empty lines included; the last one names the columns.
    comment
        Lines that begin so are left out.
    """
    title = b""
    for _ in range(header_rows):
        title = file.readline()
    if not header_rows:
        return ()
    try:
        text = title.decode("utf-8")
    except UnicodeDecodeError:
        text = title.decode("latin-1")
    text = text.strip().removeprefix(comment) if comment else text.strip()
    words = (
        next(csv.reader([text], delimiter=separator, skipinitialspace=True)) if separator.strip(" ") else text.split()
    )
    return tuple(word.strip(" \t\r\"'") for word in words)


def split_rows(
    body: bytes, first_line: int, separator: str, comment: str, columns: int | None = None, before: str = ""
) -> tuple[Tokens, int | None]:
    """Take rows apart.

    Parameters
    ----------
    body
        The text, in whole lines.
    first_line
        Line of its first within the file, counted from 1.
    separator, comment
        As for the names.
    columns
        Fields of each row; None takes the number of the first.
    before
        Last field of the row before.

    Returns
    -------
    tokens
        The fields.
    cut_line
        Line that is cut off at the end of the text and was left out, or None.

    Raises
    ------
    RaggedTextError
        If a row has another number of fields.
    """
    body, lines = _without_comments(body, comment.encode(), first_line)
    try:
        tokens, cut = tokenise(body, 1, columns, ord(separator) if separator.strip(" ") else None)
    except RaggedTextError as error:
        raise RaggedTextError(int(lines[error.line - 1]), error.what) from error
    tokens, cut = without_cut_row(tokens, cut, body, before)
    return replace(tokens, lines=lines[tokens.lines - 1]), None if cut is None else int(lines[cut - 1])


def _without_comments(body: bytes, comment: bytes, first_line: int) -> tuple[bytes, NDArray[np.int64]]:
    """Leave out comments; gives the rest and the line of each of its lines."""
    count = body.count(b"\n") + 1
    lines = np.arange(first_line, first_line + count, dtype=np.int64)
    lone_returns = b"\r" in body and b"\n" not in body
    if not lone_returns and not (comment and comment in body):
        return body, lines
    kept = body.replace(b"\r", b"\n").splitlines(keepends=True) if lone_returns else body.splitlines(keepends=True)
    good = [n for n, line in enumerate(kept) if not (comment and line.lstrip().startswith(comment))]
    numbers = np.array([*good, len(kept)], dtype=np.int64) + first_line
    return b"".join(kept[n] for n in good), numbers


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
    text = tokens.text
    if decimal_comma:
        text = np.where(text == 44, np.uint8(46), text)
    length = stops - starts
    missing = length == 0
    for word in {word.lower().replace(",", ".") if decimal_comma else word.lower() for word in words if word}:
        letters = np.frombuffer(word.encode(), dtype=np.uint8)
        alike = np.flatnonzero(length == letters.size)
        if alike.size:  # the first letter leaves few to compare
            alike = alike[_lower(text[starts[alike]]) == letters[0]]
            found = _lower(text[starts[alike][:, None] + np.arange(letters.size)]) == letters
            missing[alike[found.all(axis=1)]] = True
    if missing.any():
        starts[missing], stops[missing] = text.size, text.size + len(_NAN)
        text = np.concatenate([text, np.frombuffer(_NAN, dtype=np.uint8)])
    return Tokens(text, starts[:, None], stops[:, None], tokens.lines)


def _lower(characters: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Letters A to Z in lower case, others as they are."""
    return np.where((characters >= 65) & (characters <= 90), characters | np.uint8(32), characters)


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
