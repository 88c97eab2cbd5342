"""Spectra in 1/24-octave bands whose edges are fixed in frequency, so that channels of all rates share them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gravdask.grid import DAY_SECONDS, Rate

Array = NDArray[np.float64]

BANDS_PER_OCTAVE = 24


@dataclass(frozen=True)
class Bands:
    """Bands of constant relative width; band i holds frequencies in [edges[i], edges[i + 1]).

    Attributes
    ----------
    edges
        2^(j/24) Hz for whole j, the same for every rate, shape (b + 1,).
    centre
        Geometric middles [Hz], shape (b,).
    """

    edges: Array
    centre: Array


def octave_bands(sampling_rate: float, longest_period: float = DAY_SECONDS) -> Bands:
    """Bands from the lowest frequency of a day to Nyquist.

    Parameters
    ----------
    sampling_rate
        [Hz].
    longest_period
        The first band holds its frequency [s].
    """
    rate = Rate.from_hz(sampling_rate)
    first = math.floor(BANDS_PER_OCTAVE * math.log2(1 / longest_period))
    last = math.ceil(BANDS_PER_OCTAVE * math.log2(rate.hz / 2))
    steps = np.arange(first, last + 1)
    return Bands(np.exp2(steps / BANDS_PER_OCTAVE), np.exp2((steps[:-1] + 0.5) / BANDS_PER_OCTAVE))


def band_means(frequency: Array, psd: Array, bands: Bands) -> Array:
    """Linear mean of a spectrum in each band.

    Parameters
    ----------
    frequency, psd
        Spectrum at full resolution, shape (m,).
    bands
        As given by `octave_bands`.

    Returns
    -------
    means
        In the unit of ``psd``, NaN where a band holds no bin, shape (b,).
    """
    place = np.searchsorted(bands.edges, frequency, side="right") - 1
    inside = (place >= 0) & (place < bands.centre.size)
    count = np.bincount(place[inside], minlength=bands.centre.size)
    total = np.bincount(place[inside], psd[inside], minlength=bands.centre.size)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
