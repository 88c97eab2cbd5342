"""The scattering network: its parameters, its paths, and the transform of a window."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.fft
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from gravdask.errors import ScatteringError
from gravdask.gaps import level_gaps
from gravdask.scattering.filters import padding, paths, wavelets
from gravdask.scattering.geometry import TAPER_SAMPLES, Geometry, fit_window, least_halo, low_pass_sd
from gravdask.scattering.kernel import Tree, scatter
from gravdask.scattering.pooling import POOLINGS, FramePool, LowPassPool

if TYPE_CHECKING:
    import dask.array

VALUES_VERSION = 1
"""Raised when the same parameters give other values; part of every digest."""
LARGEST_SAMPLE = 1e37
"""Samples of a larger magnitude count as missing: no coefficient exceeds the largest sample, and must fit float32."""
REACH_SD = 5.0
"""Standard deviations of wavelet or low-pass that count as within reach."""

PRESETS: dict[str, dict[str, Any]] = {
    "gravity-1s": {"sampling_rate": 1.0, "J": 8, "Q": 8, "T": 4096, "pooling": "mean"},
    "gravity-1min": {"sampling_rate": 1.0 / 60.0, "J": 4, "Q": 8, "T": 256, "pooling": "mean"},
    "kymatio": {"sampling_rate": 1.0, "J": 8, "Q": 8, "T": None, "pooling": "lowpass"},
}
"""Parameters by name: the defaults for records of one sample a second and a minute, and kymatio's lineage."""


@dataclass(frozen=True, init=False)
class ScatteringNetwork:
    """A wavelet scattering network with kymatio's Morlet wavelets.

    Hashable, comparable, and small when pickled: filters are built in each process when first used, and kept there.

    Parameters
    ----------
    sampling_rate
        Samples per second [Hz].
    J
        Octaves: the longest wavelet has a period of about 3.9 x 2^J samples.
    Q
        Wavelets an octave in the first order, or in both: ``(Q1, Q2)``. One number means ``(Q, 1)``.
    T
        Samples in a frame, or scale of the low-pass; at least 2, by default 2^J.
    max_order
        1 or 2.
    oversampling
        Powers of two by which moduli (and with the low-pass also frames) are sampled finer than kymatio's rule says.
    pooling
        "lowpass" as in kymatio, its factors 2^-level for decimated samples included; or "mean", "median" or "max"
        of the moduli over the frame ``[m T, (m + 1) T)``, without such factors. "median" and "max" are those of the
        decimated samples.
    min_valid
        Least share of valid samples in a frame whose coefficients are given.
    segment_frames
        Frames transformed at once by `transform_window`; chosen for speed unless given.

    Raises
    ------
    ScatteringError
        If a parameter lies outside its limits.
    """

    sampling_rate: float
    J: int
    Q: tuple[int, int]
    T: int
    max_order: int
    oversampling: int
    pooling: str
    min_valid: float
    segment_frames: int

    def __init__(
        self,
        sampling_rate: float,
        J: int,
        Q: int | tuple[int, ...],
        T: int | None = None,
        max_order: int = 2,
        oversampling: int = 0,
        pooling: str = "lowpass",
        *,
        min_valid: float = 0.9,
        segment_frames: int | None = None,
    ) -> None:
        """Check the parameters and put them into one form, so that equal networks compare equal."""
        bank = tuple(Q) if isinstance(Q, (tuple, list)) else (Q,)
        _require(len(bank) in {1, 2}, "Q", Q, "one number or two (first and second order)")
        _require(math.isfinite(sampling_rate) and sampling_rate > 0, "sampling_rate", sampling_rate, "above 0 Hz")
        _require(pooling in POOLINGS, "pooling", pooling, f"one of {', '.join(POOLINGS)}")
        _require(max_order in {1, 2}, "max_order", max_order, "1 or 2")
        _require(0 < min_valid <= 1, "min_valid", min_valid, "above 0 and at most 1")
        octaves = _whole("J", J, 1)
        values = {
            "sampling_rate": float(sampling_rate),
            "J": octaves,
            "Q": tuple(_whole("Q", q, 1) for q in (*bank, 1)[:2]),
            "T": 2**octaves if T is None else _whole("T", T, 2),
            "max_order": int(max_order),
            "oversampling": _whole("oversampling", oversampling, 0),
            "pooling": pooling,
            "min_valid": float(min_valid),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        frames = None if segment_frames is None else _whole("segment_frames", segment_frames, 1)
        object.__setattr__(self, "segment_frames", self._fit(frames).frames)

    @classmethod
    def from_preset(cls, name: str, sampling_rate: float | None = None, **changes: Any) -> ScatteringNetwork:  # noqa: ANN401
        """Make a network by the name of its parameters, with the preset's own sampling rate [Hz] unless one is given.

        Raises
        ------
        ScatteringError
            If there is no such preset.
        """
        _require(name in PRESETS, "preset", name, f"one of {', '.join(sorted(PRESETS))}")
        rate = {} if sampling_rate is None else {"sampling_rate": sampling_rate}
        return cls(**(PRESETS[name] | rate | changes))

    @property
    def _tree(self) -> Tree:
        """What the kernel needs to know."""
        low = self.pooling == "lowpass"
        deepest = self.T.bit_length() - 1 if low else (self.T & -self.T).bit_length() - 1
        return Tree(self.J, self.Q, self.T, self.max_order, self.oversampling, deepest, level_gain=low)

    def _fit(self, frames: int | None) -> Geometry:
        """Cut windows for segments of ``frames`` frames (None: chosen for speed)."""
        low = self.pooling == "lowpass"
        least = least_halo(self.J, self.Q, self.max_order, self.T if low else None)
        return fit_window(self.frame_samples, self._grain, least, frames, 0.5 if low else 0.8)

    @property
    def _geometry(self) -> Geometry:
        """The window that `transform_window` takes."""
        return self._fit(self.segment_frames)

    @property
    def _grain(self) -> int:
        """Samples on whose multiples windows begin: the coarsest decimation."""
        tree = self._tree
        if self.pooling == "lowpass":
            return self.frame_samples
        return 1 << max(tree.level(w.j) for order in wavelets(self.J, self.Q) for w in order)

    @property
    def frame_samples(self) -> int:
        """Samples from one frame to the next: T, or with the low-pass the power of two below it, as in kymatio."""
        if self.pooling == "lowpass":
            return 1 << self._tree.level(self.T.bit_length() - 1)
        return self.T

    @property
    def segment_samples(self) -> int:
        """Samples from one segment to the next: segment_frames x frame_samples."""
        return self.segment_frames * self.frame_samples

    @property
    def halo(self) -> int:
        """Samples that `transform_window` needs on each side of a segment."""
        return self._geometry.halo

    @property
    def window_samples(self) -> int:
        """Samples that `transform_window` takes: segment_frames x frame_samples + 2 x halo."""
        return self._geometry.samples

    @property
    def frame_centre(self) -> float:
        """Centre of a frame [samples after m x frame_samples]: 0 with the low-pass, its peak; else (T - 1)/2."""
        return 0.0 if self.pooling == "lowpass" else (self.T - 1) / 2

    @property
    def n_paths(self) -> int:
        """Number of paths of all orders."""
        return len(paths(self.J, self.Q, self.max_order))

    @property
    def digest(self) -> str:
        """Hexadecimal SHA-256 of all that the values depend on."""
        text = json.dumps({"version": VALUES_VERSION, **asdict(self)}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def __dask_tokenize__(self) -> tuple[str, str]:
        """Give Dask the network's identity."""
        return ("ScatteringNetwork", self.digest)

    @property
    def paths(self) -> xr.Dataset:
        """The paths in kymatio's order, dimension ``path``.

        ``order``; ``frequency_1``, ``frequency_2`` and ``bandwidth_1``, ``bandwidth_2`` (standard deviation) [Hz];
        ``j_1``, ``j_2``: NaN where a path has no such wavelet; ``reach`` [s]: how far from a frame's centre a sample
        may lie and still be seen, half a frame (or 5 sd of the low-pass) plus 5 sd of each wavelet.
        """
        members = paths(self.J, self.Q, self.max_order)
        table = np.full((len(members), 6), np.nan)
        spread = np.zeros(len(members))
        for row, path in enumerate(members):
            for column, (number, order) in enumerate(
                zip((path.first, path.second), wavelets(self.J, self.Q), strict=True)
            ):
                if number is not None:
                    wavelet = order[number]
                    table[row, column::2] = wavelet.xi, wavelet.sigma, wavelet.j
                    spread[row] += wavelet.sd_samples
        pooled = REACH_SD * low_pass_sd(self.T) if self.pooling == "lowpass" else self.T / 2
        table[:, :4] *= self.sampling_rate
        names = ("frequency_1", "frequency_2", "bandwidth_1", "bandwidth_2", "j_1", "j_2")
        units = ("Hz", "Hz", "Hz", "Hz", "1", "1")
        columns = {n: ("path", table[:, i], {"units": units[i]}) for i, n in enumerate(names)}
        order_of = np.array([p.order for p in members], dtype=np.int8)
        reach = (pooled + REACH_SD * spread) / self.sampling_rate
        return xr.Dataset({"order": ("path", order_of), **columns, "reach": ("path", reach, {"units": "s"})})

    def transform(self, x: ArrayLike) -> NDArray[np.float32]:
        """Transform records without gaps, extended by reflection at both ends.

        With the low-pass this is kymatio's ``Scattering1D(J, n, Q, T, max_order, oversampling)``; its frames lie on
        multiples of frame_samples counted from the start of its padding, not of the record. Else frame m is pooled
        over the samples ``[m T, (m + 1) T)``; samples after the last whole frame are seen by the wavelets only. Order
        0 is the pooled record itself.

        Parameters
        ----------
        x
            Records, shape (..., n). One that is not finite everywhere gives NaN; `transform_record` knows gaps.

        Returns
        -------
        coefficients
            Shape (..., n_paths, frames).

        Raises
        ------
        ScatteringError
            If the records are shorter than T.
        """
        records = np.asarray(x, dtype=np.float64)
        samples = records.shape[-1] if records.ndim else 0
        _require(samples >= self.T, "record length", samples, f"at least T = {self.T} samples")
        pool, left, right = self._reflection(samples)
        frames = pool.last - pool.first if isinstance(pool, LowPassPool) else pool.frames
        rows = records.reshape(-1, samples)
        result = np.full((len(rows), self.n_paths, frames), np.nan, dtype=np.float32)
        for number in np.flatnonzero((np.abs(rows) <= LARGEST_SAMPLE).all(axis=1)):
            # the wavelets do not see a constant; without it they keep all their digits
            offset = rows[number].mean()
            padded = np.pad(rows[number] - offset, (left, right), mode="reflect")
            coefficients = scatter(padded, self._tree, pool, frames)
            coefficients[0] = pool(padded[np.newaxis], 0)[0] + offset
            result[number] = coefficients
        return result.reshape(*records.shape[:-1], self.n_paths, frames)

    def _reflection(self, samples: int) -> tuple[LowPassPool | FramePool, int, int]:
        """How a record of this many samples is pooled, and padded left and right."""
        if self.pooling == "lowpass":
            level = self.frame_samples.bit_length() - 1
            pad = padding(samples, self.J, self.T, level)
            pool = LowPassPool(pad.samples, self.J, self.Q, self.T, level, pad.first, pad.last)
            return pool, pad.left, pad.right
        grain = self._grain
        least = least_halo(self.J, self.Q, self.max_order, None)
        left = -(-min(least, samples - 1) // grain) * grain
        total = scipy.fft.next_fast_len(-(-(samples + 2 * left) // grain)) * grain
        return FramePool(self.pooling, self.T, left, samples // self.T), left, total - samples - left

    def transform_window(self, x: ArrayLike) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Transform one segment with its halo; the only transform that stores are filled by.

        Parameters
        ----------
        x
            Shape (window_samples,), NaN where a sample is missing; infinite ones are missing, too. With the segment's
            frames ``[m0, m0 + segment_frames)``, it begins at sample ``m0 x frame_samples - halo``.

        Returns
        -------
        coefficients
            Shape (n_paths, segment_frames); NaN in frames of a valid fraction below ``min_valid``.
        valid_fraction
            Share of valid samples in each frame, weighted as the pooling weighs them, shape (segment_frames,).

        Raises
        ------
        ScatteringError
            If the window has another shape.
        """
        window = np.asarray(x, dtype=np.float64)
        geometry = self._geometry
        _require(window.shape == (geometry.samples,), "window shape", window.shape, f"({geometry.samples},)")
        coefficients = np.full((self.n_paths, geometry.frames), np.nan, dtype=np.float32)
        valid = np.abs(window) <= LARGEST_SAMPLE
        if not valid.any():
            return coefficients, np.zeros(geometry.frames, dtype=np.float32)
        pool, weigh = self._window_pools(geometry)
        fraction = np.ones(geometry.frames) if valid.all() else weigh(valid[np.newaxis].astype(np.float64), 0)[0]
        fraction = np.clip(fraction, 0.0, 1.0)
        usable = fraction >= self.min_valid - 1e-9
        if usable.any():
            levelled = level_gaps(np.where(valid, window, np.nan), TAPER_SAMPLES)
            transformed = scatter(levelled, self._tree, pool, geometry.frames)
            transformed[0, usable] = self._order_zero(window, valid, pool, usable)
            coefficients[:, usable] = transformed[:, usable]
        return coefficients, fraction.astype(np.float32)

    def _window_pools(self, geometry: Geometry) -> tuple[LowPassPool | FramePool, LowPassPool | FramePool]:
        """Pooling of the moduli, and pooling of the mask of valid samples, for a window."""
        if self.pooling == "lowpass":
            level = self.frame_samples.bit_length() - 1
            first = geometry.halo >> level
            pool = LowPassPool(geometry.samples, self.J, self.Q, self.T, level, first, first + geometry.frames)
            return pool, pool
        mean = FramePool("mean", self.T, geometry.halo, geometry.frames)
        return FramePool(self.pooling, self.T, geometry.halo, geometry.frames), mean

    def _order_zero(
        self,
        window: NDArray[np.float64],
        valid: NDArray[np.bool_],
        pool: LowPassPool | FramePool,
        usable: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        """Pool the valid samples themselves in the usable frames; levelled gaps have no share in it."""
        offset = window[valid].mean()
        if self.pooling in {"lowpass", "mean"}:
            both = np.stack([np.where(valid, window - offset, 0.0), valid.astype(np.float64)])
            total, weight = pool(both, 0)[:, usable]
            pooled: NDArray[np.float64] = total / weight + offset
            return pooled
        reduce: Callable[..., Any] = np.nanmedian if self.pooling == "median" else np.nanmax
        geometry = self._geometry
        segment = np.where(valid, window, np.nan)[geometry.halo : geometry.halo + geometry.frames * self.T]
        return np.asarray(reduce(segment.reshape(geometry.frames, self.T)[usable], axis=-1), dtype=np.float64)

    def transform_record(
        self, record: xr.DataArray | dask.array.Array | NDArray[Any], start: int | None = None
    ) -> xr.Dataset:
        """Transform a whole record lazily; see `gravdask.scattering.transform_record`."""
        # blocks imports this module
        from gravdask.scattering.blocks import transform_record

        return transform_record(self, record, start)

    def transform_span(
        self, read: Callable[[int, int], NDArray[np.float64]], first_frame: int, last_frame: int
    ) -> Iterator[Any]:
        """Transform a span of frames segment by segment; see `gravdask.scattering.transform_span`."""
        from gravdask.scattering.blocks import transform_span

        return transform_span(self, read, first_frame, last_frame)


def _require(holds: bool, name: str, found: object, expected: str) -> None:
    """Refuse a value, saying what was found and what is expected."""
    if not holds:
        msg = f"scattering network: {name} is {found!r}; expected {expected}"
        raise ScatteringError(msg)


def _whole(name: str, value: int, least: int) -> int:
    """Take a whole number of at least ``least``."""
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    _require(whole and value >= least, name, value, f"a whole number of at least {least}")
    return int(value)
