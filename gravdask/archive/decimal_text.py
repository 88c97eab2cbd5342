"""Columns of decimal text to integers and a power of ten, without loss and without a loop over rows.

The text is taken apart as an array of bytes: tokens are found by their edges, a column of tokens is gathered into a
matrix of characters (rows, width), and mantissa and exponent are built from it one character position at a time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_DIGITS = 18
"""Decimal digits that an int64 always holds."""
FLOAT_DIGITS = 15
"""Significant digits beyond which a number with an exponent is a printed float64, and is kept as one."""
_MAX_WIDTH = 64
_NAN = np.frombuffer(b"nan", dtype=np.uint8)


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
        First byte and byte after the last of each word, int64, shape (rows, columns).
    lines
        Line of each row within the file, counted from 1, shape (rows,).
    """

    text: NDArray[np.uint8]
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
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

    def last_is_cut(self) -> bool:
        """Whether the last word has lost characters, going by the row before: meant for a row without line end."""
        if self.rows < 2:
            return False
        last, like = self.word(-1, -1), self.word(-2, -1)
        if "." in like:
            return len(last.partition(".")[2]) < len(like.partition(".")[2])
        return len(last) < len(like)

    def word(self, row: int, column: int) -> str:
        """Text of one word."""
        return bytes(self.text[self.starts[row, column] : self.stops[row, column]]).decode("latin-1")

    def characters(self, column: int) -> NDArray[np.uint8]:
        """Gather a column, shape (rows, width), padded with zeros on the right.

        Raises
        ------
        RaggedTextError
            If a word is longer than any number.
        """
        starts, length = self.starts[:, column], self.stops[:, column] - self.starts[:, column]
        width = int(length.max(initial=1))
        if width > _MAX_WIDTH:
            row = int(length.argmax())
            raise RaggedTextError(int(self.lines[row]), f"found a word of {width} characters, expected a number")
        position = np.arange(width)
        gathered = self.text[np.minimum(starts[:, None] + position, self.text.size - 1)]
        return np.where(position < length[:, None], gathered, np.uint8(0))


def tokenise(data: bytes, first_line: int, columns: int | None = None) -> tuple[Tokens, int | None]:
    """Find the words of a text whose every non-empty line has the same number of them.

    Parameters
    ----------
    data
        Lines that end with LF or CR LF.
    first_line
        Line number of the first line within the file.
    columns
        Words that each line must have; None takes the number of the first line.

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
    ink = text > 32
    edges = np.flatnonzero(np.diff(ink.view(np.int8), prepend=np.int8(0), append=np.int8(0)))
    starts, stops = edges[::2], edges[1::2]
    newlines = np.flatnonzero(text == 10)
    line = np.searchsorted(newlines, starts)
    first_words = np.flatnonzero(np.diff(line, prepend=-1))
    counts = np.diff(first_words, append=starts.size)
    expected = columns if columns is not None else int(counts[0]) if counts.size else 0
    cut_line = None
    if counts.size and counts[-1] < expected and line[-1] == newlines.size:
        cut_line = int(line[-1]) + first_line
        starts, stops = starts[: first_words[-1]], stops[: first_words[-1]]
        first_words, counts = first_words[:-1], counts[:-1]
    wrong = np.flatnonzero(counts != expected)
    if wrong.size:
        number = int(line[first_words[wrong[0]]]) + first_line
        raise RaggedTextError(number, f"found {counts[wrong[0]]} columns, expected {expected}")
    shape = (counts.size, max(expected, 1))
    tokens = Tokens(text, starts.reshape(shape), stops.reshape(shape), line[first_words] + first_line)
    return tokens, cut_line


@dataclass(frozen=True)
class Decimals:
    """A column of decimal numbers, ``mantissa * 10**power``.

    Attributes
    ----------
    characters
        The text, uint8, shape (rows, width).
    mantissa
        All digits of each number with its sign, int64, shape (rows,); meaningless where `digits` exceeds 18.
    power
        Power of ten that belongs to it, int64, shape (rows,).
    digits
        Significant digits written, int64, shape (rows,).
    exponential
        Whether any number is written with an exponent.
    missing
        True where the text is NaN, shape (rows,).
    """

    characters: NDArray[np.uint8]
    mantissa: NDArray[np.int64]
    power: NDArray[np.int64]
    digits: NDArray[np.int64]
    exponential: bool
    missing: NDArray[np.bool_]

    def places(self, valid: NDArray[np.bool_]) -> int:
        """Decimal places that the valid numbers need; zeros written with an exponent need none."""
        needed = valid & ((self.mantissa != 0) | (not self.exponential))
        return max(0, -int(self.power[needed].min(initial=0)))

    def integers(self, places: int, valid: NDArray[np.bool_]) -> NDArray[np.int64] | None:
        """Scale to integers of ``10**-places``, zero where not valid; None if that would lose digits."""
        scale = np.where(valid & (self.mantissa != 0), self.power + places, 0)
        mantissa = np.where(valid, self.mantissa, 0)
        limit = FLOAT_DIGITS if self.exponential else MAX_DIGITS
        if (valid & (self.digits > limit)).any() or scale.min(initial=0) < 0 or scale.max(initial=0) > MAX_DIGITS:
            return None
        factor = np.int64(10) ** scale
        if (np.abs(mantissa) > np.int64(10**MAX_DIGITS) // factor).any():
            return None
        return mantissa * factor

    def equals_any(self, numbers: Iterable[float]) -> NDArray[np.bool_]:
        """Where a number is one of the given ones, as decimal numbers, shape (rows,)."""
        found = np.zeros(self.mantissa.shape, dtype=bool)
        for number in numbers:
            exact = Decimal(repr(number))
            for power in np.unique(self.power[self.mantissa != 0]).tolist():
                scaled = exact.scaleb(-power)
                if abs(scaled) < 10**MAX_DIGITS and scaled == int(scaled):
                    found |= (self.mantissa == int(scaled)) & (self.power == power) & (self.digits <= MAX_DIGITS)
        return found

    def floats(self) -> NDArray[np.float64]:
        """Nearest float64 of each number (nan where it is written so)."""
        width = self.characters.shape[1]
        characters = np.where((self.characters | 32) == 100, np.uint8(101), self.characters)  # Python knows no 1D+03
        text = np.ascontiguousarray(characters).view(f"S{width}")[:, 0]
        return text.astype(np.float64)


def parse_column(tokens: Tokens, column: int) -> Decimals:
    """Read a column as decimal numbers: sign, digits, point and exponent as Fortran, C and people write them.

    Raises
    ------
    RaggedTextError
        At the first word that is no number.
    """
    text = tokens.characters(column)
    width = text.shape[1]
    letters = bool((text >= 64).any())
    lower = text | 32 if letters else text
    lower = np.where(lower == 100, np.uint8(101), lower) if letters else text  # D is Fortran's double exponent
    position = np.arange(width)
    digit, point, minus = (text >= 48) & (text <= 57), text == 46, text == 45
    mark = lower == 101 if letters else np.zeros((1, width), dtype=bool)
    exponential = bool(mark.any())
    mark_at = np.where(mark.any(axis=1), mark.argmax(axis=1), width)[:, None]
    in_mantissa = digit & (position < mark_at) if exponential else digit
    in_exponent = digit & (position > mark_at) if exponential else digit[:, :0]
    sign = (minus | (text == 43)) & ((position == 0) | (position == mark_at + 1))
    good = (digit | point | mark | sign | (text == 0)).all(axis=1) & in_mantissa.any(axis=1)
    points = np.count_nonzero(point, axis=1)
    point_at = np.where(points > 0, point.argmax(axis=1), mark_at[:, 0])
    good &= points <= 1
    if exponential:
        digits_after = np.count_nonzero(in_exponent, axis=1)
        good &= (np.count_nonzero(mark, axis=1) <= 1) & (point_at <= mark_at[:, 0]) & (digits_after <= 4)
        good &= (digits_after > 0) | (mark_at[:, 0] == width)
    missing = (lower[:, :3] == _NAN).all(axis=1) if letters and width >= 3 else np.zeros(len(text), dtype=bool)
    _refuse_words(tokens, column, good | missing)
    mantissa, digits = _horner(text, in_mantissa)
    power = -np.count_nonzero(in_mantissa & (position > point_at[:, None]), axis=1).astype(np.int64)
    if exponential:
        exponent, _ = _horner(text, digit & (position > mark_at))
        after = np.minimum(mark_at[:, 0] + 1, width - 1)
        negative = minus[np.arange(len(text)), after] & (mark_at[:, 0] < width)
        mantissa, power = _strip_zeros(mantissa, power + np.where(negative, -exponent, exponent))
    return Decimals(text, np.where(minus[:, 0], -mantissa, mantissa), power, digits, exponential, missing)


def _refuse_words(tokens: Tokens, column: int, good: NDArray[np.bool_]) -> None:
    """Raise at the first word of a column that is no number."""
    if not good.all():
        row = int(good.argmin())
        what = f"found {tokens.word(row, column)!r} in column {column + 1}, expected a number"
        raise RaggedTextError(int(tokens.lines[row]), what)


def _horner(text: NDArray[np.uint8], used: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Value of the used digits of each row, and how many of them are significant (from the first that is not 0)."""
    value = np.zeros(len(text), dtype=np.int64)
    significant = np.zeros(len(text), dtype=np.int64)
    for column in np.flatnonzero(used.any(axis=0)):
        here = used[:, column]
        significant += here & ((value != 0) | (text[:, column] != 48) | (significant > 0))
        step = here & (significant <= MAX_DIGITS)
        value = np.where(step, value * 10 + (text[:, column].astype(np.int64) - 48), value)
    return value, significant


def _strip_zeros(mantissa: NDArray[np.int64], power: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Move trailing zeros of the mantissa into the power, so that 1.50e+000 needs one place."""
    mantissa, power = mantissa.copy(), power.copy()
    while (even := (mantissa != 0) & (mantissa % 10 == 0)).any():
        mantissa[even] //= 10
        power[even] += 1
    return mantissa, power


def smallest(values: NDArray[np.int64]) -> NDArray[Any]:
    """Take int32 if every value and its negative fit, else leave int64."""
    limit = np.iinfo(np.int32).max
    fits = values.min(initial=0) >= -limit and values.max(initial=0) <= limit
    return values.astype(np.int32) if fits else values
