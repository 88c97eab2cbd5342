"""Times of a table's rows, in whatever form its owner says."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gravdask.archive import number_kernels
from gravdask.archive.decimal_text import MAX_DIGITS, Decimals, Tokens, parse_column
from gravdask.archive.table_text import column_texts, fixed_texts
from gravdask.archive.text_rows import calendar_ns
from gravdask.grid import DAY_NS

UNIX, MJD = "unix", "mjd"
MJD_1970 = 40_587
_LATEST_MJD = 2 * 10**5
_OFFSET = re.compile(r"[T\s]\d.*(?:[zZ]|[+-]\d\d(?::?\d\d)?)$")


def table_times(
    tokens: Tokens, columns: Sequence[int], time_format: str
) -> tuple[NDArray[np.int64], NDArray[np.bool_], bool]:
    """Times of the rows.

    Parameters
    ----------
    tokens
        The fields.
    columns
        Columns of the time, counted from 0, joined by blanks.
    time_format
        Empty for ISO 8601, "unix" for seconds since 1970, "mjd" for days, or a pattern of `strptime`.

    Returns
    -------
    times_ns
        Times [ns since 1970, clock of the file], shape (rows,).
    bad
        Where there is no time, shape (rows,).
    utc
        Whether the times are UTC by themselves: seconds since 1970, or stamps that state their offset.

    Raises
    ------
    RaggedTextError
        If a number is needed and there is none.
    """
    if time_format in {UNIX, MJD}:
        column = parse_column(tokens, columns[0])
        if time_format == UNIX:
            return *_since_1970(column), True
        places = np.clip(-column.power, 0, 12)
        scale = np.int64(10) ** places
        days, rest = np.divmod(column.mantissa, scale)
        bad = column.missing | (column.power > 0) | (column.power < -12) | (column.digits > MAX_DIGITS)
        bad |= (days < 0) | (days > _LATEST_MJD)
        parts = np.rint(rest / scale * DAY_NS).astype(np.int64)
        return (np.where(bad, MJD_1970, days) - MJD_1970) * DAY_NS + parts, bad, False
    even = fixed_texts(tokens, columns) if not time_format else None
    plain = _plain_iso(even) if even is not None else None
    return (*plain, False) if plain is not None else _dated(column_texts(tokens, columns), time_format)


def _plain_iso(text: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.bool_]] | None:
    """Times written ``yyyy-mm-ddThh:mm:ss[.fff]`` in every row, shape (rows, width); None if any is not."""
    width = text.shape[1]
    if width != 19 and not 21 <= width <= 29:
        return None
    fields = np.empty((6, text.shape[0]), np.int64)
    if not number_kernels.iso_fields(np.ascontiguousarray(text), fields):
        return None
    year, month, day, hour, minute, second_ns = fields
    return calendar_ns((year, month, day), hour, minute, second_ns)


def _since_1970(column: Decimals) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Seconds since 1970 in nanoseconds, and where that is finer or farther than they reach."""
    shift = np.clip(9 + column.power, 0, 9)
    factor = np.int64(10) ** shift
    bad = column.missing | (column.digits > MAX_DIGITS) | (column.power < -9) | (column.power > 0)
    bad |= np.abs(column.mantissa) > np.iinfo(np.int64).max // factor
    return np.where(bad, 0, column.mantissa) * factor, bad


def _dated(texts: list[str], time_format: str) -> tuple[NDArray[np.int64], NDArray[np.bool_], bool]:
    """Dates and times in words; stamps of which only some state their offset from UTC are bad."""
    import pandas as pd

    form = time_format or "ISO8601"
    stated = np.array([bool(_OFFSET.search(text)) for text in texts]) if not time_format else np.zeros(len(texts), bool)
    utc = bool(stated.any()) if not time_format else "%z" in time_format
    parsed = pd.to_datetime(pd.Series(texts, dtype=object), format=form, utc=True, errors="coerce")
    bad = parsed.isna().to_numpy() | (stated != utc if not time_format else False)
    times = parsed.dt.tz_localize(None).to_numpy().astype("datetime64[ns]").astype(np.int64)
    return np.where(bad, 0, times), bad, utc
