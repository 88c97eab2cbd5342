"""AH files: whether their bytes add up to what their headers state.

obspy stops reading where a header cannot be read to its end, and takes as many samples as the header states from
wherever they should stand: a file that was cut, or spliced in the middle of its samples, would silently lose traces or
give samples that nobody measured. The headers tell how long the file has to be, and that is looked at here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

_HEADER = 996
"""Bytes of a version 1 header without its extra numbers; lengths of its texts are fixed by the format."""
_MAGIC = (1100).to_bytes(4, "big")
"""First bytes of every record of version 2; the length of what follows comes next."""
_DOUBLE = 6
"""Record type whose samples have 8 bytes; all others that obspy reads have 4."""


def ah_fault(path: Path, traces: Sequence[Any]) -> str:
    """Tell in what an AH file's size contradicts its headers.

    Parameters
    ----------
    path
        The file.
    traces
        What obspy made of it; of other formats as well.

    Returns
    -------
    what
        The contradiction; '' if there is none or this is no AH file.
    """
    if not traces or any(trace.stats.get("_format") != "AH" for trace in traces):
        return ""
    size = path.stat().st_size
    if traces[0].stats.ah.version == "1.0":
        stated, held = sum(map(_bytes_of, traces)), len(traces)
    else:
        stated, held = _records(path, size)
    if stated == size and held == len(traces):
        return ""
    told = f"the headers that can be read state {stated} bytes in {held} records"
    kind = "cut off, or spliced" if size > stated else "cut off"
    return f"damaged AH: {told}, the file has {size} bytes and {len(traces)} readable traces: it was {kind}"


def _bytes_of(trace: Any) -> int:  # noqa: ANN401 - obspy is untyped
    """Bytes that a trace takes in a file of version 1."""
    about, samples = trace.stats.ah, int(trace.stats.npts)
    return _HEADER + 4 * len(about.extras) + samples * (8 if about.record.type == _DOUBLE else 4)


def _records(path: Path, size: int) -> tuple[int, int]:
    """Bytes that the records of a file of version 2 state, and how many records these are."""
    at = held = 0
    with path.open("rb") as file:
        while at < size:
            file.seek(at)
            head = file.read(8)
            if len(head) < 8 or head[:4] != _MAGIC:
                break
            at += 8 + int.from_bytes(head[4:], "big")
            held += 1
    return at, held
