"""The scattering transform of one window in pure NumPy and SciPy: samples in, pooled moduli out.

Each wavelet is applied to the bins of its support only, and the product is laid straight into the decimated spectrum
with its lowest bin first: the modulus that follows does not feel the frequency shift that this means. Records and
moduli are real, so only the half of their spectra at positive frequencies is computed; the rest is its mirror image.

All of it is double precision. A great earthquake stands 1e5 above the noise in the same window, and seismometer records
hold bands a million times quieter than their loudest; single precision buries both in its rounding.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from gravdask.scattering.filters import Band, filter_bank, paths, wavelets

Pool = Callable[[NDArray[np.float64], int, NDArray[np.complex128] | None], NDArray[np.float64]]
"""Takes moduli (n, samples) decimated by 2^level, the level, and their half spectra if known; gives (n, frames)."""

BATCH_POINTS = 1 << 17
"""Spectral points handled by one FFT call: large enough to fill its vector lanes, small enough for the cache."""
BATCH_ROWS = 4
"""Fewest wavelets handled by one FFT call where there are as many: SciPy's FFT works on several rows at once."""


@dataclass(frozen=True)
class Tree:
    """What the network computes, without its window: hashable, so that plans can be cached.

    Attributes
    ----------
    J, Q, T
        Octaves, wavelets an octave in the first and second order, scale of the low-pass [samples].
    max_order
        1 or 2.
    oversampling
        Powers of two by which moduli are kept finer than kymatio's rule says.
    max_level
        Largest power of two by which anything is decimated.
    level_gain
        Multiply by kymatio 0.3.0's factor 2^-level wherever a filter is applied to decimated samples.
    """

    J: int
    Q: tuple[int, int]
    T: int
    max_order: int
    oversampling: int
    max_level: int
    level_gain: bool

    def level(self, j: int) -> int:
        """Power of two by which the modulus of a wavelet of scale ``j`` is decimated."""
        return max(min(j, self.max_level) - self.oversampling, 0)


@dataclass(frozen=True)
class Piece:
    """A stretch of a wavelet's support: ``target[...] = source[...] * values``, mirrored where bins are negative.

    Attributes
    ----------
    source
        Bins of the half spectrum.
    mirrored
        Whether the source is to be reversed and conjugated.
    target
        Bins of the decimated spectrum.
    add
        Whether the target holds something already (aliasing).
    values
        Transfer function, with the normalisation of the inverse FFT included.
    """

    source: slice
    mirrored: bool
    target: slice
    add: bool
    values: NDArray[np.float64]


@dataclass(frozen=True)
class Stage:
    """One wavelet ready to use: the pieces of its support, and the length and decimation of its output."""

    pieces: tuple[Piece, ...]
    bins: int
    level: int


@dataclass(frozen=True)
class Branch:
    """First-order wavelets of one decimation, and the second-order wavelets that follow all of them.

    Attributes
    ----------
    level, bins
        Decimation of the first-order moduli as a power of two, and their length.
    first, first_paths
        The first-order wavelets and their path numbers, shape (n,).
    second, second_paths
        The second-order wavelets and their path numbers, shape (n_second, n).
    """

    level: int
    bins: int
    first: tuple[Stage, ...]
    first_paths: NDArray[np.intp]
    second: tuple[Stage, ...]
    second_paths: NDArray[np.intp]


def _stage(band: Band, bins_in: int, bins_out: int, level: int, gain: float) -> Stage:
    """Cut a wavelet's support where the half spectrum ends and where the decimated spectrum wraps."""
    size, zero = band.values.size, -band.start
    ends = [0, size, zero, zero + bins_in // 2 + 1, *range(0, size, bins_out)]
    cuts = sorted({c for c in ends if 0 <= c <= size})
    values = band.values * (gain / bins_in)
    pieces = []
    for low, high in itertools.pairwise(cuts):
        first = band.start + low
        mirrored = not 0 <= first <= bins_in // 2
        at = -(first + high - low - 1) % bins_in if mirrored else first
        source, target = slice(at, at + high - low), slice(low % bins_out, low % bins_out + high - low)
        pieces.append(Piece(source, mirrored, target, low >= bins_out, values[low:high].copy()))
    return Stage(tuple(pieces), bins_out, level)


@lru_cache(maxsize=8)
def plan(tree: Tree, samples: int) -> tuple[Branch, ...]:
    """Lay out the whole computation for windows of ``samples`` samples; kept for the life of the process."""
    bank = filter_bank(samples, tree.J, tree.Q, tree.T)
    first, second = wavelets(tree.J, tree.Q)
    numbers = {(p.first, p.second): n for n, p in enumerate(paths(tree.J, tree.Q, tree.max_order))}
    branches = []
    for j in sorted({w.j for w in first}):
        members = [n for n, w in enumerate(first) if w.j == j]
        followers = [n for n in range(len(second)) if (members[0], n) in numbers]
        level = tree.level(j)
        bins, gain = samples >> level, 2.0**-level if tree.level_gain else 1.0
        levels = [max(tree.level(second[n].j), level) for n in followers]
        branch = Branch(
            level=level,
            bins=bins,
            first=tuple(_stage(bank.first[n], samples, bins, level, 1.0) for n in members),
            first_paths=np.array([numbers[n, None] for n in members], dtype=np.intp),
            second=tuple(
                _stage(bank.second[n].folded(bins), bins, samples >> k, k, gain)
                for n, k in zip(followers, levels, strict=True)
            ),
            second_paths=np.array([[numbers[m, n] for m in members] for n in followers], dtype=np.intp),
        )
        branches.append(branch)
    return tuple(branches)


def _lay(spectra: NDArray[np.complex128], stage: Stage, target: NDArray[np.complex128]) -> None:
    """Lay half spectra (n, bins // 2 + 1) times a wavelet into decimated spectra (n, stage.bins) of zeros."""
    for piece in stage.pieces:
        source, into = spectra[:, piece.source], target[:, piece.target]
        if piece.mirrored:
            source = source[:, ::-1].conj()
        if piece.add:
            into += source * piece.values
        else:
            np.multiply(source, piece.values, out=into)


def _modulus(spectra: NDArray[np.complex128]) -> NDArray[np.float64]:
    """Transform spectra (n, bins) back to time and take the modulus; the spectra are overwritten."""
    moved = scipy.fft.ifft(spectra, axis=-1, norm="forward", overwrite_x=True)
    modulus: NDArray[np.float64] = np.abs(moved, dtype=np.float64)
    return modulus


def scatter(record: NDArray[np.float64], tree: Tree, pool: Pool, frames: int) -> NDArray[np.float64]:
    """Transform one window.

    Parameters
    ----------
    record
        Finite samples, shape (samples,).
    tree
        The network.
    pool
        Pools moduli over frames.
    frames
        Number of frames that ``pool`` gives.

    Returns
    -------
    coefficients
        Shape (n_paths, frames), float64, paths in kymatio's order; row 0 (order 0) is left zero.
    """
    result = np.zeros((len(paths(tree.J, tree.Q, tree.max_order)), frames))
    spectrum = scipy.fft.rfft(record)[np.newaxis]
    for branch in plan(tree, record.size):
        batch = max(BATCH_ROWS, BATCH_POINTS // branch.bins)
        for low in range(0, len(branch.first), batch):
            part = slice(low, low + batch)
            stages, numbers = branch.first[part], branch.first_paths[part]
            laid = np.zeros((len(stages), branch.bins), dtype=np.complex128)
            for row, stage in enumerate(stages):
                _lay(spectrum, stage, laid[row : row + 1])
            moduli = _modulus(laid)
            spectra = scipy.fft.rfft(moduli, axis=-1) if branch.second else None
            result[numbers] = pool(moduli, branch.level, spectra)
            if spectra is None:
                continue
            for stage, second_numbers in zip(branch.second, branch.second_paths, strict=True):
                laid = np.zeros((len(stages), stage.bins), dtype=np.complex128)
                _lay(spectra, stage, laid)
                result[second_numbers[part]] = pool(_modulus(laid), stage.level, None)
    return result
