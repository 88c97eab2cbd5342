"""How windows are cut: enough halo on both sides that a frame does not depend on where its window ends."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import scipy.fft

from gravdask.scattering.filters import SIGMA_0, wavelets

HALO_SD = 8.0
"""Standard deviations of the longest path (its wavelets and low-pass in quadrature) that the halo holds.

Measured on the F-net record of the M9.1 of 2011, block edges beside its peak, largest change of log S between
segmentations: 7 sd 7e-5 (low-pass), 8 sd and more 4e-6 to 8e-6, which is the rounding of double precision there.
"""
TAPER_SAMPLES = 32
"""Taper of the record towards a gap [samples]; shorter than the reach (5 sd) of the shortest wavelet of Q = 8."""
GAP_MARGIN = 3 * TAPER_SAMPLES
"""What the halo needs beside the wavelets, because gap edges are levelled by their neighbourhood [samples]."""
LEAST_WINDOW = 1 << 14
"""Shortest window chosen without being asked for [samples]; shorter ones spend their time in Python."""


@dataclass(frozen=True)
class Geometry:
    """A window of ``halo + frames * step + halo`` samples.

    Attributes
    ----------
    frames
        Frames of the segment in its middle.
    step
        Samples from one frame to the next.
    halo
        Samples on each side of the segment.
    """

    frames: int
    step: int
    halo: int

    @property
    def samples(self) -> int:
        """Length of the window [samples]."""
        return self.frames * self.step + 2 * self.halo


def low_pass_sd(T: int) -> float:
    """Standard deviation in time of kymatio's low-pass of scale T [samples]: 1.59 T."""
    return T / (2.0 * math.pi * SIGMA_0)


def least_halo(J: tuple[int, ...], Q: tuple[int, ...], low_pass_T: int | None) -> int:
    """Samples on each side of a segment that may influence its frames (``low_pass_T`` None: no low-pass)."""
    widest = math.hypot(*(max(w.sd_samples for w in bank) for bank in wavelets(J, Q)))
    smooth = low_pass_sd(low_pass_T) if low_pass_T else 0.0
    return math.ceil(HALO_SD * math.hypot(widest, smooth)) + GAP_MARGIN


@lru_cache(maxsize=64)
def fit_window(step: int, grain: int, least: int, frames: int | None, share: float) -> Geometry:
    """Choose a window whose length suits the FFT.

    Parameters
    ----------
    step
        Samples from one frame to the next.
    grain
        The halo is a multiple of this [samples], so that decimated samples keep their place on the absolute grid.
    least
        Least halo [samples].
    frames
        Frames of the segment; None chooses as many as fit the shortest power of two with at least ``share`` of it.
    share
        Least share of the window that the segment takes, between 0 and 1.
    """
    if frames is None:
        window = LEAST_WINDOW
        while (fitting := (window - 2 * least) // step) < 1 or fitting * step < share * window:
            window *= 2
        frames = fitting
    halo = -(-least // grain) * grain
    # no prime above 5, in decimated windows either
    while (bins := (frames * step + 2 * halo) // grain) != scipy.fft.next_fast_len(bins, real=True):
        halo += grain
    return Geometry(frames, step, halo)
