"""Pooling of moduli over frames: kymatio's low-pass, or the mean, median or maximum within each frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from gravdask.scattering.filters import low_pass

Pooling = Literal["lowpass", "mean", "median", "max"]
POOLINGS: tuple[str, ...] = get_args(Pooling)
_REDUCE: dict[str, Callable[..., Any]] = {"mean": np.mean, "median": np.median, "max": np.max}


@dataclass(frozen=True)
class FramePool:
    """Pools over the samples ``[offset + m T, offset + (m + 1) T)`` of each frame m.

    Attributes
    ----------
    kind
        "mean", "median" or "max".
    frame_samples
        T, before decimation.
    offset
        First sample of the first frame in the window, before decimation.
    frames
        Number of frames.
    """

    kind: str
    frame_samples: int
    offset: int
    frames: int

    def __call__(
        self, values: NDArray[np.float64], level: int, spectra: NDArray[np.complex128] | None = None
    ) -> NDArray[np.float64]:
        """Pool values (n, samples), decimated by 2^level, into (n, frames); their spectra are not used."""
        start, length = self.offset >> level, self.frame_samples >> level
        within = values[:, start : start + self.frames * length].reshape(values.shape[0], self.frames, length)
        pooled = _REDUCE[self.kind](within, axis=-1)
        return np.asarray(pooled, dtype=np.float64)


@lru_cache(maxsize=64)
def _half_low_pass(samples: int, T: int, level: int) -> NDArray[np.float64]:
    """Low-pass on the half spectrum of a window decimated by 2^level, from frequency zero to where it has died away.

    Holds kymatio's factor 2^-level, the norm of the inverse FFT, and a factor 2 for the mirrored half.
    """
    bins = samples >> level
    band = low_pass(samples, T).folded(bins)
    half = np.zeros(bins)
    half[np.arange(band.start, band.start + band.values.size) % bins] = band.values
    half = half[: bins // 2 + 1]
    half[1 : (bins + 1) // 2] *= 2.0
    trimmed: NDArray[np.float64] = half[: int(np.flatnonzero(half)[-1]) + 1] * (2.0**-level / bins)
    return trimmed


@dataclass(frozen=True)
class LowPassPool:
    """Kymatio's low-pass of scale T, decimated to the frame step.

    Attributes
    ----------
    samples, T
        Parameters of the low-pass.
    output_level
        The frame step is 2^output_level samples.
    first, last
        Frames of the window that are kept.
    """

    samples: int
    T: int
    output_level: int
    first: int
    last: int

    def __call__(
        self, values: NDArray[np.float64], level: int, spectra: NDArray[np.complex128] | None = None
    ) -> NDArray[np.float64]:
        """Pool values (n, samples), decimated by 2^level and with half spectra ``spectra``, into (n, frames)."""
        response = _half_low_pass(self.samples, self.T, level)
        half = scipy.fft.rfft(values, axis=-1) if spectra is None else spectra
        # decimation to the frame step adds up the stretches of the spectrum that become one
        bins = self.samples >> self.output_level
        stretches = -(-response.size // bins)
        laid = np.zeros((values.shape[0], stretches * bins), dtype=np.complex128)
        np.multiply(half[:, : response.size], response, out=laid[:, : response.size])
        coarse = laid.reshape(-1, stretches, bins).sum(axis=1)
        pooled: NDArray[np.float64] = scipy.fft.ifft(coarse, axis=-1, norm="forward").real[:, self.first : self.last]
        return pooled
