"""Channel names, traces, and the law that no sample is off its grid by more than half an interval."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gravdask.archive import ChannelId, Trace
from gravdask.archive.traces import grid_pieces
from gravdask.errors import GridError, ReadError
from gravdask.grid import Rate


def test_channel_text_round_trip() -> None:
    assert str(ChannelId("", "334", "", "UGZ")) == "XX.334.--.UGZ"
    assert ChannelId.parse("XX.334.--.UGZ") == ChannelId("XX", "334", "", "UGZ")
    assert ChannelId.parse("IU.ANMO.00.LHZ").location == "00"
    assert ChannelId("N", "Theory Sol. Earth/é", "", "A").station == "Theory_Sol_Earth"


@given(*[st.text("ABCxyz019_-", min_size=1, max_size=6)] * 4)
@settings(max_examples=50, deadline=None)
def test_channel_parses_what_it_prints(network: str, station: str, location: str, code: str) -> None:
    try:
        channel = ChannelId(network, station, location, code)
    except ReadError:
        assert not station.strip("_") or not code.strip("_")
        return
    assert ChannelId.parse(str(channel)) == channel


@pytest.mark.parametrize("text", ["A.B.C", "A.B.C.D.E", "IU.AN MO.00.LHZ", "IU..00.LHZ"])
def test_channel_refuses_other_text(text: str) -> None:
    with pytest.raises(ReadError):
        ChannelId.parse(text)


def test_trace_end_is_exact_where_the_interval_is_no_whole_nanosecond() -> None:
    rate = Rate(3, 1)
    trace = Trace(ChannelId("X", "Y", "", "Z"), rate, 7, 3_000_001, None, "int32")
    assert trace.end_ns == 7 + 10**15
    assert Trace(ChannelId("X", "Y", "", "Z"), rate, 0, 2, None, "int32").end_ns == 333_333_333


def test_trace_refuses_values_that_are_not_what_it_states() -> None:
    with pytest.raises(ReadError, match="stated 2 of int32"):
        Trace(ChannelId("X", "Y", "", "Z"), Rate(1, 1), 0, 2, np.zeros(2, np.float32), "int32")
    with pytest.raises(ReadError, match="needs samples"):
        Trace(ChannelId("X", "Y", "", "Z"), Rate(1, 1), 0, 0, None, "int32")


@given(st.integers(1, 200_000), st.floats(-9e-5, 9e-5))
@settings(max_examples=100, deadline=None)
def test_pieces_cover_all_samples_within_half_an_interval(npts: int, slip: float) -> None:
    rate = Rate(1, 1)
    stated = 1 / (1 + slip)
    pieces = grid_pieces(rate, npts, stated)
    assert pieces[0][0] == 0
    assert pieces[-1][1] == npts
    assert all(a[1] == b[0] for a, b in itertools.pairwise(pieces))
    ratio = Fraction(1) / Fraction(stated)
    for start, stop, slot in pieces:
        for sample in (start, stop - 1):
            assert abs(sample * ratio - (slot + sample - start)) <= Fraction(1, 2) + Fraction(1, 10**6)


def test_a_trace_within_half_an_interval_stays_whole() -> None:
    assert grid_pieces(Rate(1, 10), 28887, 0.10000009536752259) == [(0, 28887, 0)]
    assert len(grid_pieces(Rate(1, 1), 10_000, 1 / 1.00006)) == 2
    assert grid_pieces(Rate(1, 1), 10_000, float("nan")) == [(0, 10_000, 0)]


def test_pieces_refuse_another_rate() -> None:
    with pytest.raises(GridError, match="not the nominal"):
        grid_pieces(Rate(1, 1), 100, 1.2)
