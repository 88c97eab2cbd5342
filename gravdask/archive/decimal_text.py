"""Columns of decimal text to integers and a power of ten, without loss.

The text is an array of bytes. One compiled pass finds the words of its rows, another reads a column of them.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gravdask.archive import number_kernels

MAX_DIGITS = number_kernels.SIGNIFICANT
"""Decimal digits that an int64 always holds."""
FLOAT_DIGITS = 15
"""Significant digits beyond which a number with an exponent is a printed float64, and is kept as one."""
EXACT_POWER = 22
"""Largest power of ten that a float64 holds exactly."""


class RaggedTextError(ValueError):
    """A row has another number of columns than the rows before it, or no number where one is needed.

    Attributes
    ----------
    line
        Line, counted from 1 within the whole file.
    what
        What was found and expected.
    """

    def __init__(self, line: int, what: str) -> None:
        super().__init__(line, what)
        self.line = line
        self.what = what


@dataclass(frozen=True)
class Tokens:
    """Where the words of a rectangular text stand.

    Attributes
    ----------
    text
        The characters, uint8, shape (n_bytes,).
    starts, stops
        First byte and byte after the last of each word, integers, shape (rows, columns).
    lines
        Line of each row within the file, counted from 1, shape (rows,).
    """

    text: NDArray[np.uint8]
    starts: NDArray[np.signedinteger[Any]]
    stops: NDArray[np.signedinteger[Any]]
    lines: NDArray[np.int64]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.starts.shape[0])

    @property
    def columns(self) -> int:
        """Number of columns."""
        return int(self.starts.shape[1])

    def without_last(self) -> Tokens:
        """Drop the last row."""
        return Tokens(self.text, self.starts[:-1], self.stops[:-1], self.lines[:-1])

    def last_is_cut(self, before: str = "") -> bool:
        """Whether the last word has lost characters, going by the row before: meant for a row without line end.

        Parameters
        ----------
        before
            Last word of the row before the first, where there is one.
        """
        like = self.word(-2, -1) if self.rows > 1 else before
        if not self.rows or not like:
            return False
        last = self.word(-1, -1)
        if "." in like:
            return len(last.partition(".")[2]) < len(like.partition(".")[2])
        return len(last) < len(like)

    def word(self, row: int, column: int) -> str:
        """Text of one word."""
        return bytes(self.text[self.starts[row, column] : self.stops[row, column]]).decode("latin-1")

    def characters(self, column: int, rows: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Gather a column of some rows, shape (rows, width), padded with zeros on the right."""
        starts = self.starts[rows, column]
        length = self.stops[rows, column] - starts
        width = int(length.max(initial=1))
        position = np.arange(width)
        gathered = self.text[np.minimum(starts[:, None] + position, self.text.size - 1)]
        return np.where(position < length[:, None], gathered, np.uint8(0))


def _refuse_control_characters(text: NDArray[np.uint8], first_line: int) -> None:
    """Raise if a text holds characters that no text has: a disk fault writes zeros, which are no blanks.

    Raises
    ------
    RaggedTextError
        With the line of the first and how many there are.
    """
    odd = (text < 9) | ((text > 13) & (text < 32) & (text != 26))
    if odd.any():
        place = int(odd.argmax())
        line = first_line + int(np.count_nonzero(text[:place] == 10))
        what = f"found {int(odd.sum())} control characters, the first of code {text[place]}, expected plain text"
        raise RaggedTextError(line, what)


def tokenise(
    data: bytes, first_line: int, columns: int | None = None, separator: int | None = None
) -> tuple[Tokens, int | None]:
    """Find the words of a text whose every non-empty line has the same number of them.

    Parameters
    ----------
    data
        Lines that end with LF or CR LF.
    first_line
        Line number of the first line within the file.
    columns
        Words that each line must have; None takes the number of the first line.
    separator
        Code of the character between words, which may then be empty and hold blanks; None for blanks.

    Returns
    -------
    tokens
        The words, without a short last line that has no line end.
    cut_line
        Line number of that last line, or None.

    Raises
    ------
    RaggedTextError
        If another line has too few or too many words.
    """
    text = np.frombuffer(data, dtype=np.uint8)
    expected = columns if columns is not None else _first_columns(data, separator)
    most = number_kernels.count_lines(text) + 1 if expected else 0
    offset = np.int32 if len(data) < 2**31 else np.int64
    starts, stops = np.empty((most, max(expected, 1)), offset), np.empty((most, max(expected, 1)), offset)
    lines = np.empty(most, np.int64)
    if separator is None:
        rows, found, line, ended = number_kernels.find_words(text, expected, starts, stops, lines)
    else:
        rows, found, line, ended = number_kernels.find_fields(text, separator, expected, starts, stops, lines)
    cut_line = None
    if found:
        _refuse_control_characters(text, first_line)
        if not (ended and found < expected):
            raise RaggedTextError(line + first_line, f"found {found} columns, expected {expected}")
        cut_line = line + first_line
    lines = lines[:rows]
    lines += first_line
    return Tokens(text, starts[:rows], stops[:rows], lines), cut_line


def without_cut_row(tokens: Tokens, cut_line: int | None, data: bytes, before: str = "") -> tuple[Tokens, int | None]:
    """Drop the last row too if the text has no line end there and its last word has lost characters.

    Parameters
    ----------
    tokens, cut_line
        As `tokenise` gives them.
    data
        The text.
    before
        Last word of the row before the text.

    Returns
    -------
    tokens, cut_line
        The rows that are whole, and the line that is cut off, if any.
    """
    if cut_line is None and not data.endswith(b"\n") and tokens.last_is_cut(before):
        return tokens.without_last(), int(tokens.lines[-1])
    return tokens, cut_line


def _first_columns(data: bytes, separator: int | None) -> int:
    """Words of the first line that has any."""
    at = 0
    while at < len(data):
        end = data.find(b"\n", at) + 1 or len(data)
        line = data[at:end]
        if separator is not None and (separator in line or line.strip(bytes(number_kernels.BLANKS) + b"\n")):
            return len(next(csv.reader([line.decode("latin-1")], delimiter=chr(separator), skipinitialspace=True)))
        words = len(line.replace(b"\x1a", b" ").split()) if separator is None else 0
        if words:
            return words
        at = end
    return 0


@dataclass(frozen=True)
class Decimals:
    """A column of decimal numbers, ``mantissa * 10**power``.

    Attributes
    ----------
    mantissa
        All digits of each number with its sign, int64, shape (rows,); meaningless where `digits` exceeds 18.
    power
        Power of ten that belongs to it, int16, shape (rows,).
    digits
        Significant digits written, int8, shape (rows,).
    exponential
        Whether any number is written with an exponent.
    missing
        True where the text is NaN, shape (rows,).
    rounded
        Rows whose nearest float64 one multiplication of two exact ones does not give, shape (n,).
    nearest
        That float64, shape (n,).
    """

    mantissa: NDArray[np.int64]
    power: NDArray[np.int16]
    digits: NDArray[np.int8]
    exponential: bool
    missing: NDArray[np.bool_]
    rounded: NDArray[np.intp]
    nearest: NDArray[np.float64]

    @classmethod
    def joined(cls, parts: Sequence[Decimals]) -> Decimals:
        """One column of the rows of several, in their order."""
        if len(parts) == 1:
            return parts[0]
        before = itertools.accumulate((part.mantissa.size for part in parts), initial=0)
        exponential = any(part.exponential for part in parts)
        if exponential:  # a zero at the end of a number says nothing then
            for part in parts:
                if not part.exponential:
                    number_kernels.strip_zeros(part.mantissa, part.power)
        return cls(
            np.concatenate([part.mantissa for part in parts]),
            np.concatenate([part.power for part in parts]),
            np.concatenate([part.digits for part in parts]),
            exponential,
            np.concatenate([part.missing for part in parts]),
            np.concatenate([part.rounded + first for part, first in zip(parts, before, strict=False)]),
            np.concatenate([part.nearest for part in parts]),
        )

    def places(self, valid: NDArray[np.bool_]) -> int:
        """Decimal places that the valid numbers need; zeros written with an exponent need none."""
        needed = valid & ((self.mantissa != 0) | (not self.exponential))
        return max(0, -int(self.power[needed].min(initial=0)))

    def integers(self, places: int, valid: NDArray[np.bool_]) -> NDArray[np.int64] | None:
        """Scale to integers of ``10**-places``, zero where not valid; None if that would lose digits."""
        limit = FLOAT_DIGITS if self.exponential else MAX_DIGITS
        out = np.empty(self.mantissa.size, np.int64)
        kept = number_kernels.scale(self.mantissa, self.power, self.digits, valid, places, limit, out)
        return out if kept else None

    def equals_any(self, numbers: Iterable[float]) -> NDArray[np.bool_]:
        """Where a number is one of the given ones, as decimal numbers, shape (rows,)."""
        found = np.zeros(self.mantissa.shape, dtype=bool)
        least = int(self.power.min(initial=0))
        powers = (np.flatnonzero(np.bincount(self.power.astype(np.int64) - least)) + least).tolist()
        for number in numbers:
            exact = Decimal(repr(number))
            for power in powers:
                scaled = exact.scaleb(-power)
                if abs(scaled) < 10**MAX_DIGITS and scaled == int(scaled):
                    alike = self.mantissa == int(scaled)
                    if alike.any():
                        found |= alike & (self.power == power) & (self.digits <= MAX_DIGITS)
        return found

    def floats(self) -> NDArray[np.float64]:
        """Nearest float64 of each number (nan where it is written so)."""
        # Both factors are exact (Clinger's fast path), so the one rounding of their product or quotient is right.
        tens = 10.0 ** np.arange(EXACT_POWER + 1)
        size = tens[np.minimum(np.abs(self.power), EXACT_POWER)]
        values = np.where(self.power < 0, self.mantissa / size, self.mantissa * size)
        values[self.rounded] = self.nearest
        values[self.missing] = np.nan
        return values


def parse_column(tokens: Tokens, column: int) -> Decimals:
    """Read a column as decimal numbers: sign, digits, point and exponent as Fortran, C and people write them.

    Raises
    ------
    RaggedTextError
        At the first word that is no number.
    """
    text = tokens.text.view()
    text.flags.writeable = False
    starts, stops = np.ascontiguousarray(tokens.starts), np.ascontiguousarray(tokens.stops)
    mantissa, missing = np.empty(tokens.rows, np.int64), np.empty(tokens.rows, np.bool_)
    power, digits = np.empty(tokens.rows, np.int16), np.empty(tokens.rows, np.int8)
    bad, exponential = number_kernels.read_numbers(text, starts, stops, column, mantissa, power, digits, missing)
    if bad >= 0:
        length = stops[:, column] - starts[:, column]
        if length.max() > number_kernels.LONGEST:
            row = int(length.argmax())
            raise RaggedTextError(
                int(tokens.lines[row]), f"found a word of {length[row]} characters, expected a number"
            )
        what = f"found {tokens.word(bad, column)!r} in column {column + 1}, expected a number"
        raise RaggedTextError(int(tokens.lines[bad]), what)
    if exponential:
        number_kernels.strip_zeros(mantissa, power)
    rounded = np.flatnonzero((digits > FLOAT_DIGITS) | (np.abs(power) > EXACT_POWER))
    nearest = _nearest_floats(tokens.characters(column, rounded)) if rounded.size else np.empty(0)
    return Decimals(mantissa, power, digits, exponential, missing, rounded, nearest)


def _nearest_floats(text: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Numbers from their characters, shape (rows, width)."""
    text = np.where((text | 32) == 100, np.uint8(101), text)  # Python knows no 1D+03
    return np.ascontiguousarray(text).view(f"S{text.shape[1]}")[:, 0].astype(np.float64)


def smallest(values: NDArray[np.int64]) -> NDArray[Any]:
    """Take int32 if every value and its negative fit, else leave int64."""
    limit = np.iinfo(np.int32).max
    fits = values.min(initial=0) >= -limit and values.max(initial=0) <= limit
    return values.astype(np.int32) if fits else values
