"""Places of traces as columns: the same as objects one by one, and the same digests of what touches a chunk."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gravdask.config import digest
from gravdask.stages.placements import Placement, Placements

SIZE = 10
PLACEMENTS = st.lists(
    st.builds(
        Placement,
        path=st.sampled_from(["a.ms", "b.ms"]),
        digest=st.sampled_from(["d0", "d1", "d2"]),
        number=st.integers(0, 2),
        start=st.integers(0, 120),
        npts=st.integers(1, 45),
        recipe=st.sampled_from(["", "linear 90s"]),
    ),
    max_size=12,
)


def touching(placements: list[Placement]) -> dict[int, str]:
    """Digest of every chunk, from each trace by itself."""
    found: dict[int, set[tuple[str | int, ...]]] = {}
    for p in placements:
        told = (p.digest, p.number, p.start, p.npts, *([p.recipe] if p.recipe else []))
        for chunk in range(p.start // SIZE, -(-p.stop // SIZE)):
            found.setdefault(chunk, set()).add(told)
    return {chunk: digest(sorted(items)) for chunk, items in found.items()}


@settings(max_examples=150, deadline=None)
@given(placements=PLACEMENTS)
def test_every_chunk_has_the_digest_of_what_touches_it(placements: list[Placement]) -> None:
    columns = Placements.of(placements)
    runs = list(columns.runs(SIZE))
    found = {chunk: made for first, last, made in runs for chunk in range(first, last)}
    assert found == touching(placements)
    assert list(found) == sorted(found)
    assert sum(last - first for first, last, _ in runs) == len(found)
    assert columns.chunks(SIZE).tolist() == sorted(found)


@settings(max_examples=50, deadline=None)
@given(placements=PLACEMENTS, start=st.integers(0, 150), length=st.integers(0, 60))
def test_columns_give_back_the_placements(placements: list[Placement], start: int, length: int) -> None:
    columns = Placements.of(placements)
    assert Placements.of(columns) is columns
    assert list(columns) == placements
    assert columns[1:4] == placements[1:4]
    assert columns.spans.tolist() == [[p.start, p.stop] for p in placements]
    stop = start + length
    assert columns.within(start, stop) == [p for p in placements if p.start < stop and p.stop > start]
    if placements:
        assert (columns[0], columns[-1]) == (placements[0], placements[-1])
    with pytest.raises(IndexError):
        columns[len(placements)]
