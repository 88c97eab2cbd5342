"""Decimal text becomes integers without loss; the oracle is the standard library's decimal arithmetic."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gravdask.archive.decimal_text import Decimals, RaggedTextError, parse_column, smallest, tokenise

plain = st.from_regex(r"[+-]?[0-9]{1,9}(\.[0-9]{0,7})?", fullmatch=True)
exponential = st.from_regex(r"[+-]?[0-9]\.[0-9]{1,12}[eEdD][+-]?[0-9]{1,2}", fullmatch=True)


def column_of(words: list[str]) -> Decimals:
    tokens, cut = tokenise(("\n".join(words) + "\n").encode(), 1)
    assert cut is None
    return parse_column(tokens, 0)


@given(st.lists(plain, min_size=1, max_size=20))
@settings(max_examples=100, deadline=None)
def test_plain_numbers_are_kept_exactly(words: list[str]) -> None:
    column = column_of(words)
    everywhere = np.ones(len(words), bool)
    places = column.places(everywhere)
    integers = column.integers(places, everywhere)
    assert integers is not None
    assert places == max(len(word.partition(".")[2]) for word in words)
    assert [Decimal(int(i)).scaleb(-places) for i in integers] == [Decimal(word) for word in words]


@given(st.lists(plain | exponential, min_size=1, max_size=20))
@settings(max_examples=100, deadline=None)
def test_any_number_is_exact_or_the_nearest_float(words: list[str]) -> None:
    column = column_of(words)
    readable = [word.lower().replace("d", "e") for word in words]
    np.testing.assert_array_equal(column.floats(), [float(word) for word in readable])
    everywhere = np.ones(len(words), bool)
    places = column.places(everywhere)
    integers = column.integers(places, everywhere)
    if integers is not None:
        assert [Decimal(int(i)).scaleb(-places) for i in integers] == [Decimal(word) for word in readable]


def test_more_digits_than_an_integer_holds_become_floats() -> None:
    everywhere = np.ones(2, bool)
    assert column_of(["0.1234567890123456789", "1.0"]).integers(19, everywhere) is None
    assert column_of(["1.234567890123456e+000", "1.0e0"]).integers(15, everywhere) is None
    wide = column_of(["1.0e+008", "1.2345e-012"])
    assert wide.integers(wide.places(everywhere), everywhere) is None
    np.testing.assert_array_equal(wide.floats(), [1e8, 1.2345e-12])


@pytest.mark.parametrize("word", ["1.2.3", "1e", "e5", "--1", "1-2", "abc", ".", "1,5", "0x10", "1e+"])
def test_other_words_are_refused_with_their_line(word: str) -> None:
    with pytest.raises(RaggedTextError, match="expected a number") as caught:
        column_of(["1.5", "2.5", word, "3.5"])
    assert caught.value.line == 3


def test_fills_are_recognised_however_they_are_written() -> None:
    column = column_of(["9999.999", "9.9999990000e+003", "9999.9990", "-9999.999", "9999.99", "99999.999", "0.0"])
    assert column.equals_any((9999.999, 99999.999)).tolist() == [True, True, True, False, False, True, False]


def test_nan_is_missing() -> None:
    assert column_of(["1", "NaN", "nan"]).missing.tolist() == [False, True, True]


def test_ragged_rows_and_cut_last_line() -> None:
    with pytest.raises(RaggedTextError, match="found 1 columns, expected 2") as caught:
        tokenise(b"1 2\r\n\r\n3\r\n4 5\r\n", 10)
    assert caught.value.line == 12
    tokens, cut = tokenise(b"1 2 \r\n\n 3 4\n5", 10)
    assert (tokens.rows, cut, tokens.lines.tolist()) == (2, 13, [10, 12])
    assert tokenise(b"", 1)[0].rows == 0
    assert tokenise(b" \n \n", 1)[0].rows == 0


def test_smallest_type() -> None:
    assert smallest(np.array([2**31 - 1, -(2**31) + 1])).dtype == np.int32
    assert smallest(np.array([-(2**31)])).dtype == np.int64
