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
    scattering_filter_factory,
)
from kymatio.scattering1d.utils import compute_border_indices, compute_meta_scattering, compute_padding
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
    """One path of the network: the positions of its wavelets in the first and second bank (None where it has none)."""

    first: int | None = None
    second: int | None = None

    @property
    def order(self) -> int:
        """Number of wavelets on the path: 0, 1 or 2."""
        return (self.first is not None) + (self.second is not None)


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

    def folded(self, bins: int) -> Band:
        """Alias onto a spectrum of ``bins`` bins, as decimation of the filter in time does, but with its gain kept."""
        periodic = np.zeros(bins)
        np.add.at(periodic, np.arange(self.start, self.start + self.values.size) % bins, self.values)
        return support(periodic)


@dataclass(frozen=True)
class FilterBank:
    """All filters for windows of one length.

    Attributes
    ----------
    samples
        Length of the window the filters are made for.
    low_pass
        Low-pass of scale T (gain 1 at frequency zero).
    first, second
        Wavelets of the first and second order, at the full rate.
    """

    samples: int
    low_pass: Band
    first: tuple[Band, ...]
    second: tuple[Band, ...]


@lru_cache(maxsize=64)
def wavelets(J: int, Q: tuple[int, int]) -> tuple[tuple[Wavelet, ...], tuple[Wavelet, ...]]:
    """Give the wavelets of the first and of the second order, highest frequency first.

    Source: ``compute_params_filterbank`` of kymatio 0.3.0 with its default constants.
    """
    banks = (compute_params_filterbank(SIGMA_0 / 2**J, q, ALPHA, R_PSI) for q in Q)
    first, second = (tuple(Wavelet(float(x), float(s), int(j)) for x, s, j in zip(*b, strict=True)) for b in banks)
    return first, second


@lru_cache(maxsize=64)
def paths(J: int, Q: tuple[int, int], max_order: int) -> tuple[Path, ...]:
    """Give the paths in kymatio's order: order 0, every first-order path, then the second-order ones with j2 > j1."""
    meta = compute_meta_scattering(J, Q, 2**J, max_order, r_psi=R_PSI, sigma0=SIGMA_0, alpha=ALPHA)
    return tuple(Path(*(int(n) for n in key)) for key in meta["key"])


@lru_cache(maxsize=8)
def filter_bank(samples: int, J: int, Q: tuple[int, int], T: int) -> FilterBank:
    """Build the filters for windows of ``samples`` samples; kept for the life of the process.

    Source: ``scattering_filter_factory`` of kymatio 0.3.0. Only its full-rate filters are asked for: its decimated ones
    are the same values, aliased, times a factor 2^-level, which the network applies where kymatio's answer is wanted.
    """
    phi, psi1, psi2 = scattering_filter_factory(
        samples, J, Q, T, r_psi=R_PSI, max_subsampling=0, sigma0=SIGMA_0, alpha=ALPHA
    )
    first, second = (tuple(support(f["levels"][0]) for f in psi) for psi in (psi1, psi2))
    return FilterBank(samples, support(phi["levels"][0]), first, second)


def support(spectrum: NDArray[np.float64]) -> Band:
    """Reduce a transfer function in FFT order, shape (bins,), to the shortest stretch outside which it is zero."""
    bins = spectrum.size
    inside = np.flatnonzero(np.abs(spectrum) > CUT * np.abs(spectrum).max())
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
