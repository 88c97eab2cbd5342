"""Instrument response taken out of a record, as a filter of stated length on blocks of the absolute grid.

The inverse of the response within a band (to acceleration, zero phase) is designed once for an epoch as a filter of
finite length: the inverse spectrum times a smooth band is brought to the time domain and cut off, smoothly, at
``HALF_PERIODS`` periods of the band's lower edge on either side. What the cut costs is known and kept with the filter
(`LongFilter.error`, 5e-4 of the response for a broadband seismometer at a lower edge of 1 mHz; an offset gives
exactly nothing). A record is filtered in blocks that lie on the absolute grid, each read with its own halo: a sample
has the same value, to the last bit, whatever span is asked for.

Gaps stay gaps. Beside one the record is levelled (`gravdask.gaps.level_gaps`, which the filter does not see). On a
quiet day of a broadband seismometer, lower edge 1 mHz, a gap of any length then changes what is farther than 50 s by
less than 0.3 % of the rms, and what lies between 200 s and 600 s in period by less than 8 % beyond 250 s; samples
nearer than 100 s to a gap of more than 30 s are missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gravdask.errors import UnitsError
from gravdask.gaps import level_gaps, valid_runs
from gravdask.preprocess.response import ResponseEpoch, joined

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
Read = Callable[[int, int], Array]
"""Gives the samples of an absolute range ``[start, stop)``, float64, NaN where one is missing."""
Times = Callable[[int, int], NDArray[np.int64]]
"""Gives the times [ns since 1970] of an absolute range ``[start, stop)``."""

BAND_START = 0.5
"""Frequency at which the band begins to rise, as a share of its lower edge."""
HIGHEST = 0.4
"""Upper edge of the band where none is stated, as a share of the sampling rate; it falls off to 0.49."""
HALF_PERIODS = 8
"""Half length of a filter, in periods of the band's lower edge."""
WATER_LEVEL = 1e-3
"""Least response that is undone in full, as a share of its largest in the band (-60 dB); less is not amplified more."""
BRIDGE_PERIODS = 0.03
"""Longest gap that is bridged by a straight line for the filter's sake, in periods of the band's lower edge."""
EDGE_PERIODS = 0.1
"""Samples so near to a longer gap are missing as well, in periods of the band's lower edge."""
MISSING_SHARE = 0.15
"""Largest share of missing neighbours, however short their gaps, in a Hann window of `SHARE_PERIODS` to either side."""
SHARE_PERIODS = 0.25
_TAPER_PERIODS = 0.05


class Lengths(NamedTuple):
    """Lengths of a filter and of the windows that it is applied to [samples].

    Attributes
    ----------
    half
        Reach of the filter on either side.
    size
        Samples of a window.
    taper, bridge
        How the record is levelled beside gaps; see `gravdask.gaps.level_gaps`.
    edge
        How near to a gap that is not bridged samples are missing.
    """

    half: int
    size: int
    taper: int
    bridge: int
    edge: int

    @property
    def halo(self) -> int:
        """Samples beside a block that its values follow from: reach of the filter and of the levelling of gaps."""
        return self.half + 2 * self.taper + self.bridge + 2

    @property
    def block(self) -> int:
        """Samples that one window gives."""
        return self.size - 2 * self.halo

    def reach(self, start: int, stop: int) -> tuple[int, int]:
        """Absolute range that is read for the samples ``[start, stop)``: whole blocks and their halo."""
        return (start // self.block) * self.block - self.halo, -(-stop // self.block) * self.block + self.halo


def lengths_of(rate_hz: float, low_hz: float) -> Lengths:
    """Lengths that follow from a sampling rate and the lower edge of a band [Hz]."""
    period = rate_hz / low_hz
    half = round(HALF_PERIODS * period)
    size = int(2 ** np.ceil(np.log2(8 * half)))
    taper, bridge, edge = (max(round(share * period), 1) for share in (_TAPER_PERIODS, BRIDGE_PERIODS, EDGE_PERIODS))
    return Lengths(half, size, taper, bridge, edge)


@dataclass(frozen=True, eq=False)
class LongFilter:
    """A linear filter of finite length and of no response to a constant, applied by FFT.

    Attributes
    ----------
    lengths
        Its reach, and the windows that it is applied to.
    spectrum
        Of the taps, arranged around sample 0, for windows of ``lengths.size`` samples, shape (size // 2 + 1,).
    weights
        Spectrum of the weights of missing neighbours, same shape.
    error
        Largest deviation within the band from the response wanted, relative to it.
    leak
        Largest response beyond the band, more than wanted, relative to the largest within it.
    """

    lengths: Lengths
    spectrum: Complex
    weights: Complex
    error: float
    leak: float

    def apply(self, window: Array) -> Array:
        """Filter one window; the first and last ``halo`` samples of the result mean nothing, shape (size,)."""
        from scipy import fft  # here: a worker that only converts has no use for SciPy

        missing = ~np.isfinite(window)
        if missing.all():
            return np.full(window.shape, np.nan)
        levelled = level_gaps(window, self.lengths.taper, self.lengths.bridge)
        filtered: Array = fft.irfft(fft.rfft(levelled) * self.spectrum, self.lengths.size)
        if missing.any():
            share = fft.irfft(fft.rfft(missing.astype(np.float64)) * self.weights, self.lengths.size)
            filtered[missing | (share > MISSING_SHARE)] = np.nan
            for start, stop in valid_runs(missing):
                if stop - start > self.lengths.bridge:
                    filtered[max(start - self.lengths.edge, 0) : stop + self.lengths.edge] = np.nan
        return filtered


def band_edges(band: tuple[float, float], rate_hz: float) -> tuple[float, float]:
    """Lower and upper edge [Hz] of what is kept of a record: as stated, at most 0.4 of the sampling rate.

    Raises
    ------
    UnitsError
        If nothing is left between them.
    """
    low, high = band
    high = min(high, HIGHEST * rate_hz) if high else HIGHEST * rate_hz
    if not 0 < low < high:
        msg = (
            f"preprocess.band = [{band[0]:g}, {band[1]:g}] Hz leaves nothing of a record of {rate_hz:g} Hz, of which "
            f"at most {HIGHEST * rate_hz:g} Hz can be used; lower its first number"
        )
        raise UnitsError(msg)
    return low, high


def band_shape(frequency: Array, low: float, high: float, rate_hz: float) -> Array:
    """Weight of each frequency [Hz]: 1 from ``low`` to ``high``, falling smoothly to 0 at low / 2 and 0.49 rate."""
    rise = _smooth((frequency - BAND_START * low) / ((1 - BAND_START) * low))
    return rise * _smooth((0.49 * rate_hz - frequency) / (0.49 * rate_hz - high))


def _smooth(position: Array) -> Array:
    """From 0 to 1 as the position does, with three continuous derivatives."""
    x = np.clip(position, 0.0, 1.0)
    return np.asarray(x**4 * (35 - 84 * x + 70 * x**2 - 20 * x**3))


def design(wanted: Callable[[Array], Complex], rate_hz: float, band: tuple[float, float]) -> LongFilter:
    """Make a filter of finite length that has a wanted response within a band.

    Parameters
    ----------
    wanted
        Response at frequencies [Hz] above 0, shape (n,) to (n,).
    rate_hz
        Sampling rate [Hz].
    band
        Lower and upper edge [Hz], as `band_edges` gives them.
    """
    from scipy import fft

    low, high = band
    lengths = lengths_of(rate_hz, low)
    half, size = lengths.half, lengths.size
    frequency = fft.rfftfreq(4 * size, 1 / rate_hz)
    shape = band_shape(frequency, low, high, rate_hz)
    ideal = np.zeros(frequency.shape, np.complex128)
    used = shape > 0
    ideal[used] = shape[used] * wanted(frequency[used])
    impulse = fft.irfft(ideal, 4 * size)
    around = np.arange(-half, half + 1)
    cut = np.cos(np.pi / 2 * np.clip((np.abs(around) - half / 2) / (half / 2 + 1), 0, 1)) ** 2
    taps = impulse[around] * cut
    # An offset of millions of counts must give nothing at all.
    taps -= cut * (taps.sum() / cut.sum())
    made = fft.rfft(_around_zero(taps, half, 4 * size))
    inside = (frequency >= low) & (frequency <= high)
    reach = max(round(SHARE_PERIODS * rate_hz / low), 1)
    hann = np.cos(np.pi / 2 * np.arange(-reach, reach + 1) / (reach + 1)) ** 2
    return LongFilter(
        spectrum=fft.rfft(_around_zero(taps, half, size)),
        weights=fft.rfft(_around_zero(hann / hann.sum(), reach, size)),
        lengths=lengths,
        error=float(np.max(np.abs(made[inside] / ideal[inside] - 1))),
        leak=float(np.max(np.abs(made - ideal)[~inside]) / np.max(np.abs(ideal[inside]))),
    )


def _around_zero(taps: Array, half: int, size: int) -> Array:
    """Arrange taps around sample 0 of a window that is thought to be periodic."""
    window = np.zeros(size)
    window[: half + 1] = taps[half:]
    window[size - half :] = taps[:half]
    return window


@lru_cache(maxsize=16)
def inverse_filter(epoch: ResponseEpoch, rate_hz: float, band: tuple[float, float]) -> LongFilter:
    """Filter from an epoch's counts to acceleration [nm s⁻²] within a band [Hz].

    Raises
    ------
    UnitsError
        If the response is of no ground motion, or nothing in the band.
    """
    low, high = band_edges(band, rate_hz)
    largest = float(np.max(np.abs(epoch.acceleration_at(np.geomspace(low, high, 500)))))
    if not np.isfinite(largest) or largest == 0:
        msg = f"a response gives no finite counts for accelerations of {low:g} to {high:g} Hz; check its stages"
        raise UnitsError(msg)

    def inverse(frequency: Array) -> Complex:
        response = epoch.acceleration_at(frequency)
        size = np.abs(response)
        floor = WATER_LEVEL * largest
        # Below the water level the phase is undone, the amplitude only as far as the level.
        weak = np.where(size > 0, np.maximum(floor / np.where(size > 0, size, 1), 1), 1)
        return np.asarray(np.where(size > 0, 1 / (np.where(size > 0, response, 1) * weak), 0))

    return design(inverse, rate_hz, (low, high))


@lru_cache(maxsize=16)
def velocity_filter(rate_hz: float, band: tuple[float, float]) -> LongFilter:
    """Filter from acceleration to velocity within a band [Hz]."""
    return design(lambda frequency: np.asarray(1 / (2j * np.pi * frequency)), rate_hz, band_edges(band, rate_hz))


def resolved_band(epoch: ResponseEpoch, rate_hz: float, band: tuple[float, float]) -> tuple[float, float]:
    """Frequencies [Hz] within the band between which the response is above the water level and thus undone in full."""
    low, high = band_edges(band, rate_hz)
    frequency = np.geomspace(low, high, 2000)
    size = np.abs(epoch.acceleration_at(frequency))
    above = frequency[size >= WATER_LEVEL * size.max()]
    return float(above[0]), float(above[-1])


def filter_span(made: LongFilter, read: Read, start: int, stop: int) -> Array:
    """Samples ``[start, stop)`` of a filtered record, NaN where missing."""
    return _span([(made, None)], read, None, start, stop)


def deconvolve(
    epochs: Sequence[ResponseEpoch],
    read: Read,
    times_ns: Times,
    rate_hz: float,
    band: tuple[float, float],
    start: int,
    stop: int,
) -> Array:
    """Acceleration [nm s⁻²] of the samples ``[start, stop)`` of a record in counts.

    Parameters
    ----------
    epochs
        Responses by time. At the edge of an epoch the record is cut: what lies beyond is a gap for it, unless the
        response goes on as it was.
    read, times_ns
        Give counts and times of an absolute range of samples.
    rate_hz
        Sampling rate [Hz].
    band
        Lower and upper edge of what is kept [Hz]; see `band_edges`.
    start, stop
        Absolute sample numbers.

    Returns
    -------
    acceleration
        NaN where the counts are missing, where no epoch has a response, and beside gaps; shape (stop - start,).
    """
    made = [
        (inverse_filter(replace(epoch, start_ns=0, end_ns=0), rate_hz, band), (epoch.start_ns, epoch.end_ns))
        for epoch in joined(epochs)
    ]
    return _span(made, read, times_ns, start, stop)


def _span(
    filters: Sequence[tuple[LongFilter, tuple[int, int] | None]],
    read: Read,
    times_ns: Times | None,
    start: int,
    stop: int,
) -> Array:
    """Filter the blocks that hold a span, each stretch of time with the filter that applies to it."""
    result = np.full(max(stop - start, 0), np.nan)
    if not filters or stop <= start:
        return result
    # All filters of one rate and band have the same blocks.
    first = filters[0][0].lengths
    low, high = first.reach(start, stop)
    record = read(low, high)
    times = times_ns(low, high) if times_ns is not None else None
    for begin in range(low, high - 2 * first.halo, first.block):
        part = slice(begin - low, begin - low + first.size)
        a, b = max(begin + first.halo, start), min(begin + first.halo + first.block, stop)
        inner = slice(a - begin, b - begin)
        window = record[part]
        for made, epoch in filters:
            inside = np.ones(first.size, bool)
            if epoch is not None and times is not None:
                inside = (times[part] >= epoch[0]) & (times[part] < epoch[1])
            if inside[inner].any():
                values = made.apply(np.where(inside, window, np.nan))
                result[a - start : b - start][inside[inner]] = values[inner][inside[inner]]
    return result


def reach(rate_hz: float, band: tuple[float, float], start: int, stop: int) -> tuple[int, int]:
    """Absolute range of samples that the response-free samples ``[start, stop)`` follow from."""
    return lengths_of(rate_hz, band_edges(band, rate_hz)[0]).reach(start, stop)


def fault(epochs: Sequence[ResponseEpoch], rate_hz: float, band: tuple[float, float]) -> str:
    """Why responses cannot be taken out of a record, '' if they can."""
    try:
        low, high = band_edges(band, rate_hz)
        for epoch in epochs:
            counts = np.abs(epoch.acceleration_at([low, (low * high) ** 0.5, high]))
            if not (np.isfinite(counts).all() and counts.max() > 0):
                return f"its response gives no finite counts at {low:g} to {high:g} Hz; check its stages"
    except UnitsError as error:
        return str(error)
    return ""
