"""Rows are read block by block; where a block ends changes nothing, and no file is held as text."""

from __future__ import annotations

import io
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gravdask.archive import number_rows, read_file, tsoft
from gravdask.archive.decimal_text import Decimals, RaggedTextError, parse_column, tokenise
from gravdask.archive.ggp_blocks import find_dividers, find_extents
from gravdask.archive.number_rows import NumberRows, line_blocks, read_rows

number = (
    st.integers(-(10**9), 10**9).map(str)
    | st.from_regex(r"-?[0-9]{1,4}\.[0-9]{1,12}", fullmatch=True)
    | st.from_regex(r"-?[1-9]\.[0-9]{1,16}[eE][+-]?[0-9]{1,2}", fullmatch=True)
    | st.sampled_from(["nan", "0.0", "1e22", "1e23", "123456789012345e9", "0.1234567890123456789"])
)


def rows_of(text: bytes, size: int) -> NumberRows:
    blocks = line_blocks(io.BytesIO(text), size=size)
    return read_rows(blocks, 5, tsoft.TIME_FORM)


def dated(values: list[tuple[str, str]], end: str) -> bytes:
    lines = [f"2021 2 3 4 {n // 60} {n % 60} {a}  {b}" for n, (a, b) in enumerate(values)]
    return ("\n".join(lines) + end).encode()


def same(one: Decimals, other: Decimals) -> None:
    for name in ("mantissa", "power", "digits", "missing", "rounded", "nearest"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert one.exponential == other.exponential


@given(st.lists(st.tuples(number, number), min_size=1, max_size=40), st.integers(1, 300), st.sampled_from(["\n", ""]))
@settings(max_examples=150, deadline=None)
def test_where_a_block_ends_changes_nothing(values: list[tuple[str, str]], size: int, end: str) -> None:
    text = dated(values, end)
    whole, parts = rows_of(text, 10**6), rows_of(text, size)
    np.testing.assert_array_equal(whole.times_ns, parts.times_ns)
    np.testing.assert_array_equal(whole.lines, parts.lines)
    assert whole.cut_line == parts.cut_line
    assert len(whole.columns) == len(parts.columns) == 2
    for one, other in zip(whole.columns, parts.columns, strict=True):
        same(one, other)


@given(st.lists(number, min_size=1, max_size=40))
@settings(max_examples=150, deadline=None)
def test_floats_are_the_nearest_to_what_is_written(words: list[str]) -> None:
    tokens, _ = tokenise(("\n".join(words) + "\n").encode(), 1)
    np.testing.assert_array_equal(parse_column(tokens, 0).floats(), [float(word) for word in words])


@given(st.binary(max_size=300).map(lambda b: b.replace(b"\r", b"\n")), st.integers(1, 50), st.integers(0, 300))
@settings(max_examples=100, deadline=None)
def test_blocks_are_whole_lines_and_together_the_text(text: bytes, size: int, stop: int) -> None:
    blocks = list(line_blocks(io.BytesIO(text), size=size))
    assert b"".join(blocks) == text
    assert all(block.endswith(b"\n") for block in blocks[:-1])
    ended = b"".join(line_blocks(io.BytesIO(text), stop, size))
    assert ended == text[:stop]


def test_a_row_in_error_is_named_by_its_line_in_the_file() -> None:
    good = dated([("1.5", "2.5")] * 50, "\n")
    for bad, what in (
        (b"2021 2 3 4 5 6 7\n", "found 7 columns, expected 8"),
        (b"2021 2 30 4 5 6 7 8\n", "'2021 2 30 4 5 6' is no date and time, expected year month day"),
        (b"2021 2 3 4 5 6 7 x8\n", "found 'x8' in column 8, expected a number"),
        (b"2021 2 3 4 5 6 7 \0\0\0\n", "found 3 control characters"),
    ):
        with pytest.raises(RaggedTextError, match=what) as caught:
            rows_of(good + bad + good, 100)
        assert caught.value.line == 5 + 50


def test_a_cut_row_alone_in_its_block_is_found_by_the_row_before() -> None:
    text = dated([("1.250", "2.125"), ("1.250", "2.12")], "")
    read = rows_of(text, text.index(b"\n") + 1)
    assert (read.cut_line, read.times_ns.size) == (6, 1)
    assert rows_of(text + b"5", 10**6).cut_line is None


def test_no_rows_and_too_few_columns() -> None:
    assert rows_of(b"\n \n", 2).times_ns.size == 0
    with pytest.raises(RaggedTextError, match="found 3 columns, expected year month day"):
        rows_of(b"1 2 3\n", 100)


# --- the blocks of GGP files ------------------------------------------------------------------------------------------

piece = st.sampled_from(
    [
        b"20210203 040506 1.25 1013.5\n",
        b"20210203 040507 1.5 99999.999\n",
        b"77777777 0.5 1.5\n",
        b"  77777777 0.5 1.5\n",
        b"99999999\n",
        b"88888888\n",
        b"INSTR 1.0 0.0 2\n",
        b"\n",
        b"C*******\n",
        b"20210203 040508 77777777 99999999\n",
    ]
)


def plain_dividers(text: bytes) -> list[tuple[bytes, int, int, bytes]]:
    """Line by line: text, first byte, line, and the last line before it that is not blank."""
    found, at, before = [], 0, b""
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        if line.split()[:1] in ([b"77777777"], [b"88888888"], [b"99999999"]):
            found.append((line, at, number, before))
        before = line.rstrip() or before
        at += len(line)
    return found


@given(st.lists(piece, max_size=40), st.integers(1, 120))
@settings(max_examples=200, deadline=None)
def test_dividers_are_found_wherever_blocks_of_text_end(pieces: list[bytes], size: int) -> None:
    text = b"".join(pieces)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(number_rows.line_blocks, "__defaults__", (None, size))
        found = list(find_dividers(io.BytesIO(text)))
    assert [(d.text, d.start, d.line, d.before) for d in found] == plain_dividers(text)
    assert all(text[d.before_start :].startswith(d.before) for d in found)


def test_extents_of_blocks_without_their_ends() -> None:
    row = b"20210203 040506 1.25\n"
    text = (
        b"head\nC****\nA 1.0\n77777777 0.0\n" + row * 2 + b"\nB 1.0\n\n77777777 1.0\n" + row + b"99999999\n" + row * 3
    )
    extents, header = find_extents(io.BytesIO(text))
    assert [(e.title, e.offsets, e.line) for e in extents] == [
        (b"A 1.0", b"77777777 0.0\n", 4),
        (b"B 1.0", b"77777777 1.0\n", 10),
    ]
    assert [text[e.start : e.stop].strip() for e in extents] == [(row * 2).strip(), row.strip()]
    assert [(e.lost, e.lost_line) for e in extents] == [(0, 0), (3, 13)]
    assert header == b"head\nC****\nA 1.0\n"
    assert find_extents(io.BytesIO(b"head\n"))[0] == []


def test_the_end_of_a_block_is_no_instrument() -> None:
    row = b"20210203 040506 1.25\n"
    text = b"C****\nA 1.0\n77777777 0.0\n" + row + b"99999999\n77777777 5.0\n" + row + b"88888888\n"
    extents, _ = find_extents(io.BytesIO(text))
    assert [e.title for e in extents] == [b"A 1.0", b""]


def test_rows_that_follow_the_header_at_once() -> None:
    text = b"Station : Somewhere\nC****\n20210203 040506 1.25 1000\n20210203 040507 1.5 1000\n88888888\n"
    (extent,), header = find_extents(io.BytesIO(text))
    assert (extent.title, extent.offsets, extent.line) == (b"", b"", 2)
    assert text[extent.start : extent.stop].count(b"\n") == 2
    assert header == text[: text.index(b"88888888")]


# --- whole files ------------------------------------------------------------------------------------------------------


def write_seconds(path: Path, rows: int) -> NDArray[np.int64]:
    """Write a GGP file of whole thousandths; gives them."""
    values = (np.arange(rows) * 7919) % 20011 - 10000
    stamps = np.datetime64("2021-01-01") + np.arange(rows).astype("timedelta64[s]")
    texts = (str(stamp).replace("-", "").replace("T", " ").replace(":", "") for stamp in stamps)
    lines = "\n".join(f"{text} {value / 1000:.3f} 1013.250" for text, value in zip(texts, values.tolist(), strict=True))
    path.write_text(f"Station : X\nC******\nG 1.0\n77777777 0.0 0.0\n{lines}\n99999999\n")
    return values


def test_the_memory_of_a_long_text_is_that_of_its_numbers(tmp_path: Path) -> None:
    values = write_seconds(tmp_path / "x.ggp", 400_000)
    read_file(tmp_path / "x.ggp")
    tracemalloc.start()
    (gravity, pressure) = read_file(tmp_path / "x.ggp")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(gravity.values, values)
    assert (pressure.npts, pressure.decimals) == (400_000, 3)
    # 16 bytes of time and line and 12 a number, and while a column is joined its parts: far less than text and words
    assert most < 400_000 * 80 + 20 * number_rows.BLOCK_BYTES


@pytest.mark.parametrize(("size", "cut"), [(50, 0), (1000, 7), (33, 3)])
def test_files_are_the_same_in_blocks_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, cut: int
) -> None:
    write_seconds(tmp_path / "x.ggp", 500)
    text = (tmp_path / "x.ggp").read_bytes()
    rows = dated([(f"{n}.25", "1013.5") for n in range(200)], "\n")
    (tmp_path / "bare.tsf").write_bytes(rows[: len(rows) - cut])
    (tmp_path / "x.ggp").write_bytes(text[: len(text) - cut - 9 * (cut > 0)])
    logger = b"".join(b"21 02 03 04 %02d %02d %d\n" % (n // 2, n % 2 * 30, 1000 + n) for n in range(100))
    (tmp_path / "meter.dat").write_bytes(logger[: len(logger) - cut])
    whole = [read_file(path) for path in sorted(tmp_path.iterdir())]
    monkeypatch.setattr(number_rows.line_blocks, "__defaults__", (None, size))
    parts = [read_file(path) for path in sorted(tmp_path.iterdir())]
    for one, other in zip(whole, parts, strict=True):
        assert [(t.channel, t.start_ns, t.npts, t.decimals, t.notes) for t in one] == [
            (t.channel, t.start_ns, t.npts, t.decimals, t.notes) for t in other
        ]
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a.values, b.values)
    assert {len(found) for found in whole} == {1, 2}
