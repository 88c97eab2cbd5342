"""Kymatio's Morlet filter bank, in the form the network uses it: only the bins where a filter is not zero.

This module is the one place that touches kymatio. `kymatio.scattering1d.filter_bank` and `kymatio.scattering1d.utils`
import with every SciPy, while ``kymatio.numpy`` asks for a function that SciPy 1.17 removed.

Frequencies are in cycles per sample here; the network multiplies them by its sampling rate.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from kymatio.scattering1d.filter_bank import (
    compute_params_filterbank,
    compute_temporal_support,
    gauss_1d,
    morlet_1d,
)
from kymatio.scattering1d.utils import compute_border_indices, compute_padding
from numpy.typing import NDArray

R_PSI = math.sqrt(0.5)
"""Relative height at which neighbouring wavelets cross; kymatio's value."""
SIGMA_0 = 0.1
"""Spectral standard deviation of the low-pass of one sample [cycles per sample]; kymatio's value."""
ALPHA = 5.0
"""Standard deviations above its centre up to which a wavelet must be free of aliasing; kymatio's value."""
CUT = 1e-16
"""Share of a filter's peak below which its bins count as zero.

As far down as double precision reaches: a cut leaves slow tails in time, which in quiet bands beside a great earthquake
(1e-12 of its coefficients) are seen at window edges: 1e-11 moved their logarithms by 7e-5.
"""


@dataclass(frozen=True)
class Wavelet:
    """Parameters of one wavelet.

    Attributes
    ----------
    xi
        Centre frequency [cycles per sample].
    sigma
        Spectral standard deviation [cycles per sample].
    j
        Largest power of two by which its output may be decimated.
    """

    xi: float
    sigma: float
    j: int

    @property
    def sd_samples(self) -> float:
        """Standard deviation of the wavelet's envelope in time [samples]."""
        return 1.0 / (2.0 * math.pi * self.sigma)


@dataclass(frozen=True)
class Path:
    """One path of the network: the positions of its wavelets in the banks of the first, second and third order."""

    wavelets: tuple[int, ...] = ()

    @property
    def order(self) -> int:
        """Number of wavelets on the path: 0 to 3."""
        return len(self.wavelets)


@dataclass(frozen=True)
class Band:
    """A real transfer function on the contiguous bins where it is not zero.

    Attributes
    ----------
    start
        First bin, negative below frequency zero.
    values
        Transfer function on the bins ``start, start + 1, ...``, float64.
    """

    start: int
    values: NDArray[np.float64]

    def folded(self, bins: int, cut: float = CUT) -> Band:
        """Alias onto a spectrum of ``bins`` bins, as decimation of the filter in time does, but with its gain kept."""
        periodic = np.zeros(bins)
        np.add.at(periodic, np.arange(self.start, self.start + self.values.size) % bins, self.values)
        return support(periodic, cut)


@lru_cache(maxsize=64)
def wavelets(J: tuple[int, ...], Q: tuple[int, ...]) -> tuple[tuple[Wavelet, ...], ...]:
    """Give the wavelets of each order, highest frequency first: J octaves, Q wavelets an octave.

    Source: ``compute_params_filterbank`` of kymatio 0.3.0 with its default constants.
    """
    banks = (compute_params_filterbank(SIGMA_0 / 2**j, q, ALPHA, R_PSI) for j, q in zip(J, Q, strict=True))
    return tuple(tuple(Wavelet(float(x), float(s), int(j)) for x, s, j in zip(*b, strict=True)) for b in banks)


@lru_cache(maxsize=64)
def paths(J: tuple[int, ...], Q: tuple[int, ...], max_order: int) -> tuple[Path, ...]:
    """Give the paths in kymatio's order: order by order, each wavelet followed by those of a larger scale j only."""
    banks = wavelets(J, Q)[:max_order]
    found = [Path()]
    last = [(Path(), -1)]
    for bank in banks:
        last = [(Path((*p.wavelets, n)), w.j) for p, j in last for n, w in enumerate(bank) if w.j > j]
        found.extend(p for p, _ in last)
    return tuple(found)


def morlet(samples: int, xi: float, sigma: float, cut: float = CUT) -> Band:
    """Build one wavelet on the bins of a window of ``samples`` samples.

    Source: ``morlet_1d`` of kymatio 0.3.0. Its decimated filters are the same values, aliased, times a factor 2^-level,
    which the network applies where kymatio's answer is wanted.
    """
    return support(morlet_1d(samples, xi, sigma), cut)


@lru_cache(maxsize=8)
def filter_bank(samples: int, J: tuple[int, ...], Q: tuple[int, ...]) -> tuple[tuple[Band, ...], ...]:
    """Build the wavelets of each order for windows of ``samples`` samples; kept for the life of the process."""
    return tuple(tuple(morlet(samples, w.xi, w.sigma) for w in bank) for bank in wavelets(J, Q))


def low_pass(samples: int, T: int) -> Band:
    """Build kymatio's low-pass of scale T, gain 1 at frequency zero, for windows of ``samples`` samples."""
    return support(gauss_1d(samples, SIGMA_0 / T))


def support(spectrum: NDArray[np.float64], cut: float = CUT) -> Band:
    """Reduce a transfer function in FFT order, shape (bins,), to the shortest stretch outside which it is zero."""
    bins = spectrum.size
    inside = np.flatnonzero(np.abs(spectrum) > cut * np.abs(spectrum).max())
    # the widest hole between two bins (around the circle) is what the support leaves out
    holes = np.diff(inside, append=inside[0] + bins)
    widest = int(np.argmax(holes))
    start = int(inside[(widest + 1) % inside.size])
    size = bins - int(holes[widest]) + 1
    values = np.take(spectrum, np.arange(start, start + size), mode="wrap")
    # a support that runs over the end of the spectrum begins at negative frequencies
    return Band(start - bins if start + size > bins else start, np.array(values, dtype=np.float64))


@dataclass(frozen=True)
class Padding:
    """How kymatio pads a record by reflection, and what it cuts out again: frames ``[first, last)``."""

    samples: int
    left: int
    right: int
    first: int
    last: int


@lru_cache(maxsize=64)
def padding(samples: int, J: int, T: int, level: int) -> Padding:
    """Give kymatio's padding of a record of ``samples`` samples whose result is decimated by 2^level.

    Source: ``ScatteringBase1D.build`` of kymatio 0.3.0.
    """
    low_pass = gauss_1d(samples, SIGMA_0 / T)
    with warnings.catch_warnings():
        # short records cannot be padded as far as kymatio wishes; it then pads as far as reflection can
        warnings.filterwarnings("ignore", message="Signal support is too small", category=UserWarning)
        wish = 3 * int(compute_temporal_support(low_pass.reshape(1, -1), criterion_amplitude=1e-3))
    log2 = min(math.ceil(math.log2(samples + 2 * wish)), math.floor(math.log2(3 * samples - 2)))
    left, right = compute_padding(2**log2, samples)
    first, last = compute_border_indices(math.floor(math.log2(T)), J, left, left + samples)
    return Padding(2**log2, int(left), int(right), int(first[level]), int(last[level]))
