"""The compiled loops of reading text, against the standard library."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from gravdask.archive.decimal_text import RaggedTextError, parse_column, tokenise
from gravdask.archive.text_rows import calendar_ns

SECOND_NS = 1_000_000_000


def columns(*rows: tuple[int, ...]) -> list[np.ndarray]:
    return [np.array(values, np.int64) for values in zip(*rows, strict=True)]


def test_every_day_of_a_quarter_of_a_millennium() -> None:
    days = np.arange(np.datetime64("1900-01-01"), np.datetime64("2151-01-01"))
    dates = [(d.year, d.month, d.day) for d in days.astype(object)]
    y, m, d = columns(*dates)
    hour, minute = np.arange(len(dates)) % 24, np.arange(len(dates)) % 60
    times, bad = calendar_ns((y, m, d), hour, minute, np.full(len(dates), 7 * SECOND_NS + 5))
    assert not bad.any()
    expected = days.astype("datetime64[ns]").astype(np.int64) + (hour * 3600 + minute * 60 + 7) * SECOND_NS + 5
    np.testing.assert_array_equal(times, expected)
    stamp = datetime(2024, 2, 29, 23, 59, 7, tzinfo=UTC).timestamp()
    (found,), _ = calendar_ns(tuple(columns((2024, 2, 29))), *columns((23, 59, 7 * SECOND_NS)))  # type: ignore[arg-type]
    assert found == stamp * SECOND_NS


@pytest.mark.parametrize(
    "date",
    [
        (2023, 2, 29),
        (1900, 2, 29),
        (2021, 4, 31),
        (2021, 13, 1),
        (2021, 0, 1),
        (2021, 1, 0),
        (1899, 1, 1),
        (2151, 1, 1),
    ],
)
def test_what_is_no_date_is_found(date: tuple[int, int, int]) -> None:
    good = (2000, 2, 29)
    _, bad = calendar_ns(tuple(columns(good, date, good)), *columns(*[(0, 0, 0)] * 3))  # type: ignore[arg-type]
    assert bad.tolist() == [False, True, False]


def test_hours_minutes_and_seconds_at_their_limits() -> None:
    clocks = [
        (24, 0, 0),
        (25, 0, 0),
        (-1, 0, 0),
        (0, 60, 0),
        (0, 0, 61 * SECOND_NS),
        (0, 0, 61 * SECOND_NS - 1),
        (0, 0, -1),
    ]
    _, bad = calendar_ns(tuple(columns(*[(2020, 1, 1)] * 7)), *columns(*clocks))  # type: ignore[arg-type]
    assert bad.tolist() == [False, True, True, True, True, False, True]


def test_a_long_text_is_read_row_by_row() -> None:
    generator = np.random.default_rng(1)
    numbers = generator.integers(-(10**9), 10**9, (5000, 3))
    text = "\n".join(" ".join(f"{v / 1000:.3f}" for v in row) for row in numbers) + "\n"
    tokens, cut = tokenise(text.encode(), 1)
    assert (tokens.rows, tokens.columns, cut) == (5000, 3, None)
    for n in range(3):
        column = parse_column(tokens, n)
        np.testing.assert_array_equal(column.mantissa, numbers[:, n])
        assert set(column.power.tolist()) == {-3}
        np.testing.assert_array_equal(column.floats(), numbers[:, n] / 1000)


def test_zeros_of_a_disk_fault_are_named_before_anything_else() -> None:
    with pytest.raises(RaggedTextError, match="found 3 control characters, the first of code 0") as caught:
        tokenise(b"1 2\n3\n4 5\n\0\0\0", 10)
    assert caught.value.line == 13


def test_a_word_longer_than_a_number_is_named() -> None:
    tokens, _ = tokenise(b"1.5\nx\n" + b"1" * 65 + b"\n", 1)
    with pytest.raises(RaggedTextError, match="found a word of 65 characters") as caught:
        parse_column(tokens, 0)
    assert caught.value.line == 3
