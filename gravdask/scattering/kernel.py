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
    J, Q
        Octaves, and wavelets an octave, of each order.
    oversampling
        Powers of two by which moduli are kept finer than kymatio's rule says.
    max_level
        Largest power of two by which anything is decimated.
    level_gain
        Multiply by kymatio 0.3.0's factor 2^-level wherever a filter is applied to decimated samples.
    """

    J: tuple[int, ...]
    Q: tuple[int, ...]
    oversampling: int
    max_level: int
    level_gain: bool

    @property
    def max_order(self) -> int:
        """Number of orders: 1, 2 or 3."""
        return len(self.J)

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
class Follower:
    """A wavelet applied to several moduli at once.

    Attributes
    ----------
    stage
        The wavelet.
    paths
        Path number of each result, shape (n,).
    followers
        The wavelets of the next order that follow it.
    """

    stage: Stage
    paths: NDArray[np.intp]
    followers: tuple[Follower, ...]

    def part(self, rows: NDArray[np.intp]) -> Follower:
        """The same for some of the moduli."""
        return Follower(self.stage, self.paths[rows], tuple(f.part(rows) for f in self.followers))

    def needed(self, wanted: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether any path that ends here or further on is wanted, for each of the moduli."""
        here: NDArray[np.bool_] = np.logical_or.reduce(
            [wanted[self.paths], *(f.needed(wanted) for f in self.followers)]
        )
        return here


@dataclass(frozen=True)
class Branch:
    """First-order wavelets of one decimation, and what follows all of them.

    Attributes
    ----------
    level, bins
        Decimation of the first-order moduli as a power of two, and their length.
    first, first_paths
        The first-order wavelets and their path numbers, shape (n,).
    followers
        The second-order wavelets that follow.
    """

    level: int
    bins: int
    first: tuple[Stage, ...]
    first_paths: NDArray[np.intp]
    followers: tuple[Follower, ...]


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
    bank = filter_bank(samples, tree.J, tree.Q)
    waves = wavelets(tree.J, tree.Q)
    numbers = {p.wavelets: n for n, p in enumerate(paths(tree.J, tree.Q, tree.max_order))}

    def follow(order: int, keys: list[tuple[int, ...]], level: int) -> tuple[Follower, ...]:
        """Wavelets of an order (counted from 0) that follow signals of one level."""
        followers = []
        for n in range(len(waves[order])) if order < tree.max_order else []:
            mine = [(*key, n) for key in keys]
            if mine[0] in numbers:
                own = max(tree.level(waves[order][n].j), level)
                bins, gain = samples >> level, 2.0**-level if tree.level_gain else 1.0
                stage = _stage(bank[order][n].folded(bins), bins, samples >> own, own, gain)
                found = np.array([numbers[key] for key in mine], dtype=np.intp)
                followers.append(Follower(stage, found, follow(order + 1, mine, own)))
        return tuple(followers)

    branches = []
    for j in sorted({w.j for w in waves[0]}):
        members = [n for n, w in enumerate(waves[0]) if w.j == j]
        level = tree.level(j)
        stages = tuple(_stage(bank[0][n], samples, samples >> level, level, 1.0) for n in members)
        rows = np.array([numbers[(n,)] for n in members], dtype=np.intp)
        branches.append(Branch(level, samples >> level, stages, rows, follow(1, [(n,) for n in members], level)))
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


def scatter(
    record: NDArray[np.float64], tree: Tree, pool: Pool, frames: int, wanted: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
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
    wanted
        Paths that are asked for, shape (n_paths,); by default all.

    Returns
    -------
    coefficients
        Shape (n_paths, frames), float64, paths in kymatio's order; row 0 (order 0) is left zero, and so are paths that
        nothing wanted needs.
    """
    result = np.zeros((len(paths(tree.J, tree.Q, tree.max_order)), frames))
    asked = np.ones(len(result), dtype=bool) if wanted is None else wanted
    spectrum = scipy.fft.rfft(record)[np.newaxis]
    for branch in plan(tree, record.size):
        batch = max(BATCH_ROWS, BATCH_POINTS // branch.bins)
        needed = [asked[branch.first_paths], *(f.needed(asked) for f in branch.followers)]
        members = np.flatnonzero(np.logical_or.reduce(needed))
        for low in range(0, len(members), batch):
            part = members[low : low + batch]
            laid = np.zeros((len(part), branch.bins), dtype=np.complex128)
            for row, number in enumerate(part):
                _lay(spectrum, branch.first[number], laid[row : row + 1])
            followers = tuple(f.part(part) for f in branch.followers)
            _descend(_modulus(laid), branch.level, branch.first_paths[part], followers, pool, asked, result)
    return result


def _descend(
    moduli: NDArray[np.float64],
    level: int,
    numbers: NDArray[np.intp],
    followers: tuple[Follower, ...],
    pool: Pool,
    asked: NDArray[np.bool_],
    result: NDArray[np.float64],
) -> None:
    """Pool moduli of one level into their rows of the result, and all that follows them."""
    needed = [(f, np.flatnonzero(f.needed(asked))) for f in followers]
    spectra = scipy.fft.rfft(moduli, axis=-1) if any(rows.size for _, rows in needed) else None
    result[numbers] = pool(moduli, level, spectra)
    for follower, rows in needed:
        if spectra is not None and rows.size:
            mine = follower if rows.size == len(moduli) else follower.part(rows)
            laid = np.zeros((rows.size, mine.stage.bins), dtype=np.complex128)
            _lay(spectra[rows], mine.stage, laid)
            _descend(_modulus(laid), mine.stage.level, mine.paths, mine.followers, pool, asked, result)
