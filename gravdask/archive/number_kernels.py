"""The loops of reading decimal text, compiled: words of a text, numbers in a column of words, dates to times."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gravdask.compiling import compile_kernel, source_digest

SIGNIFICANT = 18
"""Decimal digits that an int64 always holds; further ones are counted and not kept."""
LONGEST = 64
"""Characters of the longest word that is taken for a number."""
CONTROL = -1
"""Instead of the columns of a row: there is a character that no text has."""
BLANKS = (9, 13, 32, 34, 39)
"""Tabulator, return, blank and both quotation marks: taken off both ends of a field."""
QUOTE = 34
_DIGEST = source_digest(__package__, ("number_kernels",))
_YEARS = (1900, 2150)
_ISO_MARKS = (4, 7, 10, 13, 16, 19)
_ISO_ENDS = (3, 6, 9, 12, 15, 18)
"""Characters of an ISO 8601 time that are no digits, and those that end a field."""
_SECOND_NS = 1_000_000_000


def _count_lines(text: NDArray[np.uint8]) -> int:
    """How many line ends a text has."""
    count = 0
    for at in range(text.size):
        count += text[at] == 10
    return count


def _runs_together(text: NDArray[np.uint8]) -> bool:
    """Whether a minus follows a digit at once anywhere."""
    found = False
    for at in range(1, text.size):
        found |= (text[at] == 45) & (text[at - 1] >= 48) & (text[at - 1] <= 57)
    return found


def _find_words(
    text: NDArray[np.uint8],
    columns: int,
    starts: NDArray[np.int32],
    stops: NDArray[np.int32],
    lines: NDArray[np.int64],
) -> tuple[int, int, int, bool]:
    """Find the words of a text whose every line that is not empty has the same number of them.

    Parameters
    ----------
    text
        The text.
    columns
        Words of a line.
    starts, stops
        First character of each word and the one after its last, shape (lines at most, columns), written.
    lines
        Line of each row, counted from 0, shape (lines at most,), written.

    Returns
    -------
    rows, found, line, ended
        Whole rows; the columns of the row after them, which has another number, 0 if there is none, `CONTROL` if a
        character was met that no text has; the line at which this ends; and whether the text ends there.
    """
    row, column, line, at = 0, 0, 0, 0
    while at < text.size:
        character = text[at]
        if character > 32:
            begin = at
            at += 1
            while at < text.size and text[at] > 32:
                at += 1
            if column < columns:
                starts[row, column] = begin
                stops[row, column] = at
            column += 1
            continue
        if character == 10:
            if column == columns and column > 0:
                lines[row] = line
                row += 1
                column = 0
            elif column > 0:
                return row, column, line, False
            line += 1
        elif character < 9 or (character > 13 and character < 32 and character != 26):
            return row, CONTROL, line, False
        at += 1
    if column == columns and column > 0:
        lines[row] = line
        return row + 1, 0, line, True
    return row, column, line, True


def _find_fields(
    text: NDArray[np.uint8],
    separator: int,
    columns: int,
    starts: NDArray[np.int32],
    stops: NDArray[np.int32],
    lines: NDArray[np.int64],
) -> tuple[int, int, int, bool]:
    """Find the fields of a text between separators, without the blanks and quotation marks at their ends.

    Between double quotation marks around a whole field a separator is a character like others (RFC 4180).

    Parameters
    ----------
    separator
        Code of the character between fields.
    text, columns, starts, stops, lines
        As those of words; a line without anything but blanks is empty.

    Returns
    -------
    rows, found, line, ended
        As those of words.
    """
    row, column, line, begin = 0, 0, 0, 0
    quoted, started = False, False
    for at in range(text.size + 1):
        ended = at == text.size
        if not ended and text[at] != 10 and (text[at] != separator or quoted):
            quoted = text[at] == QUOTE and not started if not quoted else text[at] != QUOTE
            started |= text[at] != 32
            continue
        quoted, started = False, False
        first, last = begin, at
        while first < last and text[first] in BLANKS:
            first += 1
        while last > first and text[last - 1] in BLANKS:
            last -= 1
        begin = at + 1
        empty = column == 0 and first == last
        if column < columns:
            starts[row, column] = first
            stops[row, column] = last
        column += 1
        if ended or text[at] == 10:
            if not empty and column != columns:
                return row, column, line, ended
            if not empty:
                lines[row] = line
                row += 1
            column = 0
            line += 1
    return row, 0, line, True


def _is_nan(text: NDArray[np.uint8], start: int, stop: int) -> bool:
    """Whether a word begins with NaN."""
    return bool(
        stop - start >= 3
        and (text[start] | 32) == 110
        and (text[start + 1] | 32) == 97
        and (text[start + 2] | 32) == 110
    )


def _read_number(text: NDArray[np.uint8], start: int, stop: int) -> tuple[bool, np.int64, np.int64, int, bool]:
    """Read a word as a decimal number: whether it is one, mantissa, power, digits, and whether it has an exponent."""
    value, exponent = np.int64(0), np.int64(0)
    significant, whole, decimals, exponent_digits = 0, 0, 0, 0
    pointed, marked, negative, negative_exponent = False, False, False, False
    for at in range(start, stop):
        character = text[at]
        figure = np.int64(character) - 48
        if figure >= 0 and figure <= 9 and marked:
            exponent = exponent * 10 + figure
            exponent_digits += 1
            if exponent_digits > 4:
                return False, value, exponent, 0, False
        elif figure >= 0 and figure <= 9:
            whole += 1
            decimals += pointed
            significant += 1 if significant > 0 or figure > 0 else 0
            if significant <= SIGNIFICANT:
                value = value * 10 + figure
        elif character == 46 and not pointed and not marked:
            pointed = True
        elif (character | 32) in (100, 101) and character > 64 and not marked:
            marked = True
        elif (character == 43 or character == 45) and (at == start or (text[at - 1] | 32) in (100, 101)):
            negative |= character == 45 and not marked
            negative_exponent |= character == 45 and marked
        else:
            return False, value, exponent, 0, False
    power = (-exponent if negative_exponent else exponent) - decimals
    return whole > 0 and (exponent_digits > 0) == marked, -value if negative else value, power, significant, marked


def _read_numbers(
    text: NDArray[np.uint8],
    starts: NDArray[np.signedinteger[Any]],
    stops: NDArray[np.signedinteger[Any]],
    column: int,
    mantissa: NDArray[np.int64],
    power: NDArray[np.int16],
    digits: NDArray[np.int8],
    missing: NDArray[np.bool_],
) -> tuple[int, bool]:
    """Read words as decimal numbers: sign, digits, point and exponent as Fortran, C and people write them.

    Parameters
    ----------
    text, starts, stops, column
        The words, shape (rows, columns), and which column is read.
    mantissa, power, digits, missing
        As in `gravdask.archive.decimal_text.Decimals`, written.

    Returns
    -------
    bad, exponential
        The first row that is no number, -1 if all are; and whether any is written with an exponent.
    """
    exponential = False
    for row in range(starts.shape[0]):
        start, stop = int(starts[row, column]), int(stops[row, column])
        good, value, exponent, significant, marked = _read_number(text, start, min(stop, start + LONGEST))
        good &= stop - start <= LONGEST
        missing[row] = not good and _is_nan(text, start, stop)
        if not good:
            if not missing[row]:
                return row, exponential
            value, exponent, significant, marked = np.int64(0), np.int64(0), 0, False
        exponential |= marked
        mantissa[row], power[row], digits[row] = value, exponent, significant
    return -1, exponential


def _strip_zeros(mantissa: NDArray[np.int64], power: NDArray[np.int16]) -> None:
    """Move trailing zeros of the mantissa into the power, so that 1.50e+000 needs one place."""
    for row in range(mantissa.size):
        value, zeros = mantissa[row], 0
        while value != 0 and value % 10 == 0:
            value //= 10
            zeros += 1
        mantissa[row] = value
        power[row] += zeros


def _scale(
    mantissa: NDArray[np.int64],
    power: NDArray[np.int16],
    digits: NDArray[np.int8],
    valid: NDArray[np.bool_],
    places: int,
    limit: int,
    out: NDArray[np.int64],
) -> bool:
    """Write the valid numbers as integers of ``10**-places``, zero elsewhere; whether that loses nothing.

    Parameters
    ----------
    limit
        Significant digits that a number may have.
    """
    for row in range(mantissa.size):
        value = np.int64(0)
        if valid[row]:
            value = mantissa[row]
            shift = power[row] + places
            if digits[row] > limit or (value != 0 and (shift < 0 or shift > SIGNIFICANT)):
                return False
            if value != 0 and shift > 0:
                factor = np.int64(1)
                for _ in range(shift):
                    factor *= 10
                if abs(value) > 10**SIGNIFICANT // factor:
                    return False
                value *= factor
        out[row] = value
    return True


def _calendar(
    year: NDArray[np.int64],
    month: NDArray[np.int64],
    day: NDArray[np.int64],
    hour: NDArray[np.int64],
    minute: NDArray[np.int64],
    second_ns: NDArray[np.int64],
    times: NDArray[np.int64],
    bad: NDArray[np.bool_],
) -> None:
    """Write the times of calendar dates [ns since 1970], zero where they are no dates."""
    for row in range(year.size):
        y, m, d = year[row], month[row], day[row]
        s = second_ns[row]
        leap = y % 4 == 0 and (y % 100 != 0 or y % 400 == 0)
        last = 29 if leap else 28
        if m != 2:
            last = 30 if m in (4, 6, 9, 11) else 31
        good = y >= _YEARS[0] and y <= _YEARS[1] and m >= 1 and m <= 12 and d >= 1 and d <= last
        good &= hour[row] >= 0 and hour[row] <= 24 and minute[row] >= 0 and minute[row] <= 59
        good &= s >= 0 and s < 61 * _SECOND_NS
        bad[row] = not good
        times[row] = 0
        if good:
            # days since 1970 of a year that begins in March, so that the leap day is its last
            april, spring = (m + 9) % 12, y - (m <= 2)
            days = 365 * spring + spring // 4 - spring // 100 + spring // 400 + (april * 306 + 5) // 10 + d - 719469
            times[row] = ((days * 24 + hour[row]) * 60 + minute[row]) * 60 * _SECOND_NS + s


def _is_iso_mark(at: int, character: np.uint8) -> bool:
    """Whether a character may stand at one of the places of an ISO 8601 time that hold no digit."""
    if at in (4, 7):
        return bool(character == 45)
    if at in (13, 16):
        return bool(character == 58)
    return bool(character == 84 or character == 32) if at == 10 else bool(at == 19 and character == 46)


def _iso_fields(text: NDArray[np.uint8], fields: NDArray[np.int64]) -> bool:
    """Read times written ``yyyy-mm-ddThh:mm:ss[.fff]``, with a T or a blank.

    Parameters
    ----------
    text
        Their characters, 19 or 21 to 29 of each, shape (rows, width).
    fields
        Year, month, day, hour, minute and second with its decimals [ns] of each, shape (6, rows), written.

    Returns
    -------
    good
        Whether all are written so.
    """
    width = text.shape[1]
    for row in range(text.shape[0]):
        field, value, digits = 0, np.int64(0), 0
        for at in range(width):
            character = text[row, at]
            figure = np.int64(character) - 48
            if figure >= 0 and figure <= 9 and at not in _ISO_MARKS:
                value = value * 10 + figure
                digits += 1
                if at not in _ISO_ENDS:
                    continue
                fields[field, row] = value
                field, value, digits = field + 1, np.int64(0), 0
            elif not _is_iso_mark(at, character):
                return False
        for _ in range(9 - digits):
            value *= 10
        fields[5, row] = fields[5, row] * _SECOND_NS + value
    return True


count_lines = compile_kernel(_count_lines, _DIGEST)
runs_together = compile_kernel(_runs_together, _DIGEST)
find_words = compile_kernel(_find_words, _DIGEST)
find_fields = compile_kernel(_find_fields, _DIGEST)
_is_nan = compile_kernel(_is_nan, _DIGEST)
_read_number = compile_kernel(_read_number, _DIGEST)
read_numbers = compile_kernel(_read_numbers, _DIGEST)
strip_zeros = compile_kernel(_strip_zeros, _DIGEST)
scale = compile_kernel(_scale, _DIGEST)
calendar = compile_kernel(_calendar, _DIGEST)
_is_iso_mark = compile_kernel(_is_iso_mark, _DIGEST)
iso_fields = compile_kernel(_iso_fields, _DIGEST)
