"""Fewer samples of a fast record: linear-phase anti-alias filters on the absolute grid.

Sample ``k`` of the decimated record stands exactly at sample ``k x factor`` of the original one (group delay zero),
whatever span is asked for. Large factors are reached in stages of at most 10, each a symmetric FIR filter (Kaiser
window) of which only the samples that are kept are computed. Of all stages together, at an output rate r:

- up to 0.45 r the record passes within 1e-4 of its amplitude;
- above 0.55 r it is lowered by at least 100 dB, so that nothing folds onto the band below 0.45 r. What lies between
  0.5 r and 0.55 r folds onto 0.45 r to 0.5 r, lowered by the falling edge of the filter.

A sample more than `MISSING_SHARE` of whose filter's weight falls on missing samples is missing; gaps smaller than
that are bridged by a straight line for the filter's sake alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gravdask.gaps import valid_runs
from gravdask.grid import Rate

Array = NDArray[np.float64]
Read = Callable[[int, int], Array]
"""Gives the samples of an absolute range ``[start, stop)``, float64, NaN where one is missing."""

PASS = 0.45
"""Highest frequency that passes unharmed, as a share of the output rate; as far above half the rate all is stopped."""
STOP_DB = 105.0
"""Design attenuation of each stage [dB]; 100 dB are promised."""
LARGEST_STAGE = 10
MISSING_SHARE = 0.1
"""Largest share of the filter's weight on missing samples."""
AS_RECORDED_HZ = 2.0
"""Records up to this rate are used as they are where no rate is asked for."""
USUAL_RATE = Rate(1, 1)
"""Rate that faster records are brought to where none is asked for."""
PIECE_SAMPLES = 1 << 22
"""Samples of the original record that are read at once, about."""


@dataclass(frozen=True)
class DecimationStage:
    """One filter of a decimation.

    Attributes
    ----------
    factor
        Of every so many samples one is kept.
    taps
        Symmetric, of odd number and of sum 1.
    """

    factor: int
    taps: tuple[float, ...]

    @property
    def half(self) -> int:
        """Reach of the filter on either side [samples of its input]."""
        return len(self.taps) // 2


@dataclass(frozen=True)
class Decimation:
    """The stages of a decimation.

    Attributes
    ----------
    factor
        Of every so many samples one is kept, by all stages together.
    stages
        The filters, the fastest first.
    """

    factor: int
    stages: tuple[DecimationStage, ...]

    @property
    def half(self) -> int:
        """Reach of all filters together on either side [samples of the original]."""
        reach, step = 0, 1
        for stage in self.stages:
            reach += stage.half * step
            step *= stage.factor
        return reach

    @property
    def halo(self) -> int:
        """Samples of the original on either side that a value follows from, the ends of bridged gaps included."""
        return 3 * self.half + 1

    def reach(self, start: int, stop: int) -> tuple[int, int]:
        """Absolute range of the original that the decimated samples ``[start, stop)`` follow from."""
        return start * self.factor - self.halo, (stop - 1) * self.factor + self.halo + 1


@lru_cache(maxsize=32)
def decimation(factor: int) -> Decimation:
    """Design the stages for a factor; factors with large primes have a stage as large as that prime.

    The transition band of an early stage may reach as far as what folds onto the final pass band, so that only the
    last stage is long.
    """
    from scipy import signal  # here: 60 MB that a worker which only converts has no use for

    factors = _stage_factors(factor)
    stages = []
    rest = factor
    for size in factors:
        # In units of this stage's input rate; `rest` such samples make one of the output's.
        passed = PASS / rest
        stopped = (1 - PASS) / rest if size == rest else 1 / size - (1 - PASS) / rest
        taps_needed, beta = signal.kaiserord(STOP_DB, (stopped - passed) * 2)
        taps = signal.firwin(taps_needed | 1, (passed + stopped) / 2, window=("kaiser", beta), fs=1.0)
        stages.append(DecimationStage(size, tuple(float(t) for t in taps / taps.sum())))
        rest //= size
    return Decimation(factor, tuple(stages))


def _stage_factors(factor: int) -> list[int]:
    """Factors of the stages, the largest first: products of primes up to 10, or single larger primes."""
    primes, rest, divisor = [], factor, 2
    while rest > 1:
        while rest % divisor == 0:
            primes.append(divisor)
            rest //= divisor
        divisor += 1
    stages: list[int] = []
    for prime in reversed(primes):
        fitting = [i for i, stage in enumerate(stages) if stage * prime <= LARGEST_STAGE]
        if fitting:
            stages[fitting[0]] *= prime
        else:
            stages.append(prime)
    return sorted(stages, reverse=True)


def feature_rate(rate: Rate, wanted: str = "") -> Rate:
    """Rate at which features of a record are computed.

    Parameters
    ----------
    rate
        Of the record.
    wanted
        As ``"1Hz"`` or ``"20s"``. Slower records stay as they are, faster ones are brought to it, or, where it is no
        whole factor away, to the next lower rate of which a whole number of samples makes a day. '': records up to
        2 Hz stay as they are, faster ones are brought to 1 Hz.

    Raises
    ------
    GridError
        If ``wanted`` is no rate.
    """
    if not wanted and rate.hz <= AS_RECORDED_HZ:
        return rate
    target = Rate.parse(wanted) if wanted else USUAL_RATE
    daily = rate.samples_per_day
    most = target.samples_per_day
    if daily <= most:
        return rate
    factor = next(f for f in range(-(-daily // most), daily + 1) if daily % f == 0)
    return Rate(rate.samples, rate.seconds * factor)


def factor_between(rate: Rate, slower: Rate) -> int:
    """How many samples of a rate make one of a slower one, as `feature_rate` gives it."""
    return (rate.samples * slower.seconds) // (rate.seconds * slower.samples)


def decimate_span(made: Decimation, read: Read, start: int, stop: int) -> Array:
    """Samples ``[start, stop)`` of the decimated record, NaN where missing.

    Parameters
    ----------
    made
        The stages.
    read
        Reads the original by absolute sample numbers; it is asked for ranges that reach beyond the record.
    start, stop
        Numbers of decimated samples.
    """
    result = np.full(max(stop - start, 0), np.nan)
    piece = max(PIECE_SAMPLES // made.factor, 1)
    for first in range(start, stop, piece):
        last = min(first + piece, stop)
        low, high = made.reach(first, last)
        result[first - start : last - start] = decimate(made, read(low, high))
    return result


def decimate(made: Decimation, window: Array) -> Array:
    """Decimate a window as `Decimation.reach` gives it: with its halo, from the first sample wanted to the last."""
    valid = np.isfinite(window)
    core = slice(made.halo - made.half, window.size - (made.halo - made.half))
    if not valid.any():
        return _staged(made, np.full(window[core].size, np.nan))
    filled = window if valid.all() else _bridged(window, valid, 2 * made.half)
    values = _staged(made, filled[core])
    if not valid[core].all():
        share = _staged(made, (~valid[core]).astype(np.float64), absolute=True)
        values[share > MISSING_SHARE] = np.nan
    return values


def _staged(made: Decimation, values: Array, absolute: bool = False) -> Array:
    """Send a window through all stages; the reach of the filters falls away at either end."""
    for stage in made.stages:
        taps = np.array(stage.taps)
        if absolute:
            taps = np.abs(taps) / np.abs(taps).sum()
        values = _valid(taps, values, stage.factor)
    return values


def _valid(taps: Array, values: Array, factor: int) -> Array:
    """Sums of the taps over whole windows, every ``factor``-th of them from the first."""
    from scipy import signal

    # upfirdn keeps every factor-th sum counted from the first sample; zeros before it bring the first whole sum there.
    lead = -(taps.size - 1) % factor
    padded = np.concatenate([np.zeros(lead), values])
    first = (lead + taps.size - 1) // factor
    kept = (values.size - taps.size) // factor + 1
    return np.asarray(signal.upfirdn(taps, padded, 1, factor)[first : first + kept], np.float64)


def _bridged(window: Array, valid: NDArray[np.bool_], longest: int) -> Array:
    """Fill gaps: straight lines over those up to ``longest``, the nearest sample's value beside longer ones."""
    filled = window.copy()
    for start, stop in valid_runs(~valid):
        if start == 0 or stop == window.size or stop - start > longest:
            left = window[start - 1] if start else window[min(stop, window.size - 1)]
            right = window[stop] if stop < window.size else left
            middle = (start + stop) // 2 if start and stop < window.size else (stop if start else start)
            filled[start:middle], filled[middle:stop] = left, right
        else:
            share = np.arange(1, stop - start + 1) / (stop - start + 1)
            filled[start:stop] = window[start - 1] + share * (window[stop] - window[start - 1])
    return filled
