"""Isolated wild samples: single readings that no ground motion makes, found by what stands right beside them.

A local test in the manner of Hampel's, made for records that hold earthquakes. A sample's *departure* is its distance
from where the two samples before it point or from where the two after it point, whichever is less. It is small on tide
and drift (both lines follow them) and at a step (one of them agrees), and as large as the motion itself in a wave
train. A sample is wild when it stands off both lines to the same side, and its departure is many times that of its
neighbours on the rougher side: an earthquake's first wave has its train behind it and is no rougher than that. Where
samples are so far apart that a near earthquake is over before the next one, the limit is much higher.

Nothing farther away than `halo_samples` has a say, so that no result depends on how a record was cut.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gravdask.compiling import compile_kernel, source_digest
from gravdask.errors import PreprocessError

Array = NDArray[np.float64]

HALO_S = 3600.0
"""No sample farther than this from another has a say in whether that one is wild [s]; see `halo_samples`."""
SIDE = 20
"""Valid samples on either side whose departures tell the roughness of that side."""
LIMIT = 8.0
"""Wild from so many times the roughness of the rougher side, at intervals up to `FAST_S`."""
SLOW_LIMIT = 100.0
"""The same at longer intervals, where a small near earthquake is a single sample too. Of the aftershocks of Tohoku seen
once a minute none reaches 50."""
FAST_S = 2.0
"""Longest interval at which every earthquake has several samples [s]."""
_RANK = 4
"""Roughness of a side is its fourth largest departure: three further spikes on it hide none, four samples of a wave
train do."""
_REACH = 2 * SIDE
"""Farthest of those samples: gaps that leave fewer within it leave a sample unjudged."""
_DIGEST = source_digest("gravdask.preprocess", ("spikes",))


def halo_samples(sampling_rate: float) -> int:
    """Samples on either side that the test of one sample follows from, at a sampling rate [Hz]."""
    return 2 * _reach(sampling_rate)


def _reach(sampling_rate: float) -> int:
    """Farthest neighbour that counts [samples]; its own departure follows from as many samples again."""
    return min(math.floor(HALO_S / 2 * sampling_rate + 1e-6), _REACH)


def mask_spikes(
    values: Array, sampling_rate: float, *, limit: float | None = None, least: float = 0.0
) -> NDArray[np.bool_]:
    """Mark isolated wild samples.

    Parameters
    ----------
    values
        An evenly sampled record in any unit, NaN where missing, shape (n,). To have a sample judged as in the whole
        record, give `halo_samples` further samples on either side.
    sampling_rate
        [Hz]. Records with less than `SIDE` samples in half of `HALO_S` are not tested: a single sample of theirs may
        be all that there is of an earthquake.
    limit
        A sample is wild from so many times the roughness of the rougher side on; None for `LIMIT` or, at intervals
        longer than `FAST_S`, `SLOW_LIMIT`.
    least
        Departures up to this are never marked [unit of the values]: the resolution of a coarse record, for instance.

    Returns
    -------
    spikes
        True where a sample is wild, shape (n,). Missing samples, and samples with fewer than `SIDE` judged neighbours
        on either side within the halo, are not.

    Raises
    ------
    PreprocessError
        If a parameter is out of its range, or the values are not one row.
    """
    record = np.ascontiguousarray(values, dtype=np.float64)
    if record.ndim != 1:
        msg = f"spikes: the record has shape {record.shape}, expected one row of samples; give channel by channel"
        raise PreprocessError(msg)
    if limit is None:
        limit = LIMIT if sampling_rate * FAST_S >= 1 else SLOW_LIMIT
    if not (math.isfinite(sampling_rate) and sampling_rate > 0 and limit >= 1 and least >= 0):
        msg = (
            f"spikes: sampling rate {sampling_rate!r} Hz, limit {limit!r}, least {least!r}; expected a positive rate, "
            "a limit from 1 on, and a least size from 0 on"
        )
        raise PreprocessError(msg)
    spikes = np.zeros(record.size, dtype=np.bool_)
    reach = _reach(sampling_rate)
    place = np.flatnonzero(np.isfinite(record))
    if reach >= SIDE and place.size > 2 * SIDE:
        present = record if place.size == record.size else record[place]
        departure, isolated = _departures(present, place, reach)
        wild = _wild(present, departure, isolated, place, reach, float(limit), float(least))
        spikes[place[wild]] = True
    return spikes


def _departures_kernel(present: Array, place: NDArray[np.int64], reach: int) -> tuple[Array, NDArray[np.bool_]]:
    """Departures of the valid samples, -1 where there are no two on either side; and which stand off to one side."""
    count = present.size
    departure = np.full(count, -1.0)
    isolated = np.zeros(count, dtype=np.bool_)
    for k in range(2, count - 2):
        if place[k] - place[k - 2] > reach or place[k + 2] - place[k] > reach:
            continue
        before = present[k] - (2 * present[k - 1] - present[k - 2])
        after = present[k] - (2 * present[k + 1] - present[k + 2])
        departure[k] = min(abs(before), abs(after))
        isolated[k] = before * after > 0
    return departure, isolated


def _rough_kernel(departure: Array, place: NDArray[np.int64], k: int, towards: int, reach: int, enough: float) -> bool:
    """Whether a side is so rough that a sample does not stand out of it, or holds too few samples to tell."""
    rough, known, j = 0, 0, k + towards
    while known < SIDE and 0 <= j < departure.size and abs(place[j] - place[k]) <= reach:
        if departure[j] >= 0:
            known += 1
            if departure[j] >= enough:
                rough += 1
                if rough == _RANK:
                    return True
        j += towards
    return known < SIDE


_rough = compile_kernel(_rough_kernel, _DIGEST)


def _resolution_kernel(present: Array, place: NDArray[np.int64], k: int, reach: int) -> float:
    """Least difference between two neighbours near a sample, its own put aside; 0 if nothing moves there."""
    least = 0.0
    first, last = max(k - SIDE, 1), min(k + SIDE + 1, present.size)
    for j in range(first, last):
        if j == k or j == k + 1 or abs(place[j] - place[k]) > reach or abs(place[j - 1] - place[k]) > reach:
            continue
        difference = abs(present[j] - present[j - 1])
        # below this it is the rounding of a record that stands at a large constant
        if difference > 1e-13 * abs(present[j]) and (least == 0 or difference < least):
            least = difference
    return least


_resolution = compile_kernel(_resolution_kernel, _DIGEST)


def _wild_kernel(
    present: Array,
    departure: Array,
    isolated: NDArray[np.bool_],
    place: NDArray[np.int64],
    reach: int,
    limit: float,
    least: float,
) -> NDArray[np.bool_]:
    """Which valid samples are wild."""
    wild = np.zeros(departure.size, dtype=np.bool_)
    for k in range(departure.size):
        if not isolated[k] or departure[k] <= least or departure[k] == 0:
            continue
        enough = departure[k] / limit
        if _rough(departure, place, k, -1, reach, enough) or _rough(departure, place, k, 1, reach, enough):
            continue
        # a coarse record shows no roughness at all, and its least change is no spike
        resolution = _resolution(present, place, k, reach)
        wild[k] = 0 < resolution <= enough
    return wild


_departures = compile_kernel(_departures_kernel, _DIGEST)
_wild = compile_kernel(_wild_kernel, _DIGEST)
