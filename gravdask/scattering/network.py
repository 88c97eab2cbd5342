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
from gravdask.scattering.cascade import coarsest
from gravdask.scattering.filters import padding, paths, wavelets
from gravdask.scattering.geometry import least_halo, low_pass_sd
from gravdask.scattering.inputs import without_mask
from gravdask.scattering.kernel import Tree, scatter
from gravdask.scattering.pooling import POOLINGS, FramePool, LowPassPool
from gravdask.scattering.presets import PRESETS
from gravdask.scattering.segment import LARGEST_SAMPLE, pooler_for, transform_segment
from gravdask.scattering.tiles import Pooler

if TYPE_CHECKING:
    import dask.array

VALUES_VERSION = 2
"""Raised when the same parameters give other values; part of every digest."""
REACH_SD = 5.0
"""Standard deviations of wavelet or low-pass that count as within reach."""


MOST_OCTAVES = 16
"""Octaves of a network, at most: a segment of that many takes some hundred megabytes."""
MOST_SAMPLES = 1 << 24
"""Samples of a frame, at most."""


@dataclass(frozen=True, init=False)
class ScatteringNetwork:
    """A wavelet scattering network with kymatio's Morlet wavelets.

    Hashable, comparable, and small when pickled: filters are built in each process when first used, and kept there.

    Parameters
    ----------
    sampling_rate
        Samples per second [Hz].
    J
        Octaves: the longest wavelet has a period of about 3.9 x 2^J samples. One number for all orders, or one each.
    Q
        Wavelets an octave in each order: ``(Q1, Q2)``. One number means ``(Q, 1, 1)``.
    T
        Samples in a frame, or scale of the low-pass; at least 2, by default 2^J.
    max_order
        1, 2 or 3.
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
    J: int | tuple[int, ...]
    Q: tuple[int, ...]
    T: int
    max_order: int
    oversampling: int
    pooling: str
    min_valid: float
    segment_frames: int

    def __init__(
        self,
        sampling_rate: float,
        J: int | tuple[int, ...],
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
        number = isinstance(sampling_rate, (int, float, np.number)) and not isinstance(sampling_rate, bool)
        right = number and math.isfinite(sampling_rate) and sampling_rate > 0
        _require(right, "sampling_rate", sampling_rate, "a number above 0 Hz")
        _require(pooling in POOLINGS, "pooling", pooling, f"one of {', '.join(POOLINGS)}")
        _require(not isinstance(max_order, bool) and max_order in {1, 2, 3}, "max_order", max_order, "1, 2 or 3")
        _require(0 < min_valid <= 1, "min_valid", min_valid, "above 0 and at most 1")
        orders = max(int(max_order), 2)
        octaves = tuple(J) if isinstance(J, (tuple, list)) else (J,) * orders
        bank = tuple(Q) if isinstance(Q, (tuple, list)) else (Q,)
        _require(len(octaves) == orders, "J", J, f"one number, or {orders} (one an order)")
        _require(1 <= len(bank) <= orders, "Q", Q, f"at most {orders} numbers (one an order)")
        octaves = tuple(_whole("J", j, 1) for j in octaves)
        _require(max(octaves) <= MOST_OCTAVES, "J", J, f"at most {MOST_OCTAVES}: decimate the record first")
        values = {
            "sampling_rate": float(sampling_rate),
            "J": octaves[0] if len(set(octaves)) == 1 else octaves,
            "Q": tuple(_whole("Q", q, 1) for q in (*bank, 1, 1)[:orders]),
            "T": 2 ** max(octaves) if T is None else _whole("T", T, 2, MOST_SAMPLES),
            "max_order": int(max_order),
            "oversampling": _whole("oversampling", oversampling, 0),
            "pooling": pooling,
            "min_valid": float(min_valid),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        frames = None if segment_frames is None else _whole("segment_frames", segment_frames, 1)
        object.__setattr__(self, "segment_frames", self._lay_out(frames).frames)

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
    def octaves(self) -> tuple[int, ...]:
        """J of each order, shape (max_order,)."""
        orders = self.J if isinstance(self.J, tuple) else (self.J,) * self.max_order
        return orders[: self.max_order]

    @property
    def _tree(self) -> Tree:
        """What the kernels need to know."""
        low = self.pooling == "lowpass"
        deepest = self.T.bit_length() - 1 if low else (self.T & -self.T).bit_length() - 1
        return Tree(self.octaves, self.Q[: self.max_order], self.oversampling, deepest, level_gain=low)

    def _lay_out(self, frames: int | None) -> Pooler:
        """Segments of ``frames`` frames (None: chosen for speed)."""
        return pooler_for(self._tree, self.pooling, self.T, self.frame_samples, frames)

    @property
    def _pooler(self) -> Pooler:
        """The segment that `transform_window` takes."""
        return self._lay_out(self.segment_frames)

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
        return self._pooler.halo

    @property
    def window_samples(self) -> int:
        """Samples that `transform_window` takes: segment_frames x frame_samples + 2 x halo."""
        return self._pooler.samples

    @property
    def frame_centre(self) -> float:
        """Centre of a frame [samples after m x frame_samples]: 0 with the low-pass, its peak; else (T - 1)/2."""
        return 0.0 if self.pooling == "lowpass" else (self.T - 1) / 2

    @property
    def n_paths(self) -> int:
        """Number of paths of all orders."""
        return len(paths(self.octaves, self.Q[: self.max_order], self.max_order))

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

        ``order``; ``frequency_1`` ..., ``bandwidth_1`` ... (standard deviation) [Hz], ``j_1`` ..., one for each order
        (at least two): NaN where a path has no such wavelet; ``reach`` [s]: how far from a frame's centre a sample may
        lie and still be seen, half a frame (or 5 sd of the low-pass) plus 5 sd of each wavelet.
        """
        members = paths(self.octaves, self.Q[: self.max_order], self.max_order)
        banks = wavelets(self.octaves, self.Q[: self.max_order])
        table = np.full((3, max(self.max_order, 2), len(members)), np.nan)
        spread = np.zeros(len(members))
        for row, path in enumerate(members):
            for column, number in enumerate(path.wavelets):
                wavelet = banks[column][number]
                table[:, column, row] = wavelet.xi, wavelet.sigma, wavelet.j
                spread[row] += wavelet.sd_samples
        table[:2] *= self.sampling_rate
        pooled = REACH_SD * low_pass_sd(self.T) if self.pooling == "lowpass" else self.T / 2
        columns: dict[str, Any] = {"order": ("path", np.array([p.order for p in members], dtype=np.int8))}
        for name, values, units in zip(("frequency", "bandwidth", "j"), table, ("Hz", "Hz", "1"), strict=True):
            columns |= {f"{name}_{n + 1}": ("path", v, {"units": units}) for n, v in enumerate(values)}
        columns["reach"] = ("path", (pooled + REACH_SD * spread) / self.sampling_rate, {"units": "s"})
        return xr.Dataset(columns)

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
        records = np.asarray(without_mask(np.asanyarray(x)), dtype=np.float64)
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
            pad = padding(samples, max(self.octaves), self.T, level)
            pool = LowPassPool(pad.samples, self.T, level, pad.first, pad.last)
            return pool, pad.left, pad.right
        grain = coarsest(self._tree)
        least = least_halo(self.octaves, self.Q[: self.max_order], None)
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
        window = np.asarray(without_mask(np.asanyarray(x)), dtype=np.float64)
        pooler = self._pooler
        _require(window.shape == (pooler.samples,), "window shape", window.shape, f"({pooler.samples},)")
        return transform_segment(window, self._tree, pooler, self.n_paths, self.min_valid)

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


def _whole(name: str, value: int, least: int, most: float = math.inf) -> int:
    """Take a whole number of at least ``least``."""
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    limit = f" and at most {most}" if math.isfinite(most) else ""
    _require(whole and least <= value <= most, name, value, f"a whole number of at least {least}{limit}")
    return int(value)
