"""Wavelet scattering: from residual gravity to coefficients per path and frame.

`ScatteringNetwork` holds the parameters and transforms a window; `transform_record` and `transform_span` apply it to
whole records on the absolute grid, gap-aware. Both, and the ``scatter`` stage, call `segment.transform_segment`.

What is computed
----------------
For every path (l1, l2, ...) with scales j1 < j2 < ..., moduli U1 = |x * psi_l1|, U2 = |U1 * psi_l2|, ..., and from
each a number per frame: the mean, median or maximum over the frame, or kymatio's low-pass. The wavelets are kymatio's
Morlet wavelets (`filters`), the order of the paths is kymatio's, and so are the decimations.

How, one band at a time (`program`, `driver`, `fused`, `fft`)
-------------------------------------------------------------
1. Sixteen windows lie side by side, one in each lane of a vector (`lanes`); every step does the same to all of them.
2. A window's spectrum is multiplied by the wavelet on the bins of its support only, and the product is laid straight
   into a spectrum 2^j times shorter, lowest bin first, aliasing included. *Why that is safe*: the wavelet is zero to
   within 1e-13 of its peak outside its support; kymatio chooses j so that the support out to 5 sd fits the decimated
   spectrum, and what lies further out (4e-6 of the peak) is folded, not dropped, as decimation in time does. Moving the
   lowest bin to zero only turns the phase, which the modulus forgets. Nothing of full length is ever transformed back.
3. The innermost pass of the inverse transform is done while the bins are laid, the modulus is taken in the outermost
   one. Spectra stay in digit-reversed order; nobody sorts them.
4. Moduli are summed over tiles of 256 samples (`tiles`). A frame's mean is a sum of tiles. The low-pass is a Gaussian,
   and a Gaussian is two narrower ones in a row: the first gives values at points half a scale apart, the second is a
   sum of some forty of them, which is the low-pass to 5e-7 of its value, tails included (Poisson's summation formula).
5. If longer wavelets follow, the modulus (real: half a transform) is transformed and step 2 begins again.

All of it is written down once for each group of signals as a list of steps (`program`), and one compiled call does the
steps for all batches (`driver`): a kernel takes no longer than a dozen calls from Python would.

How, for all scales (`cascade`)
-------------------------------
A long wavelet needs a long halo, and few samples. So the work is a cascade of stages, each at a quarter of the rate
before. Stage 0 does the wavelets of decimation 1, 2 and 4 in windows of 8192 samples, cut with halos of 8 sd of its own
longest path only; it hands on the record and its moduli, low-passed (transparent to within 1e-13 up to the highest
frequency any later wavelet sees, zero before anything could alias below that) and decimated by four. Stage 1 does
decimations 8 and 16 the same way, and so on. J=12 costs hardly more than J=8. Windows overlap by their halos and only
their middles are kept (overlap-save), so no result knows where a window ended.

How sure (`engine`, `segment`)
------------------------------
The record's own spectra, and what is handed on of it, are computed in double precision: quiet bands beside loud ones
keep their digits. Each band is single precision after that, whose error is about 1e-7 of the rms of *that band in that
window*.
Beside a great earthquake that is too much: the engine therefore measures rms and peak of every band in every window,
propagates the errors of moduli through the wavelets that follow, and marks each coefficient that does not stand clear
of them by the factor that makes its logarithm good to about 5e-5. Marked coefficients are done again by `kernel`, the
plain NumPy transform in double precision: a few per cent of a record full of earthquakes (a seventh with three orders),
none of noise.

Gaps: `gravdask.gaps.level_gaps` makes a window finite without inventing steps; a frame needs ``min_valid`` of its
samples, weighted as its pooling weighs them, else it is NaN. `ScatteringNetwork.transform` (kymatio's reflect padding)
is `kernel` alone.
"""

from __future__ import annotations

from gravdask.scattering.blocks import Segment, segment_window, segments_covering, transform_record, transform_span
from gravdask.scattering.network import ScatteringNetwork
from gravdask.scattering.presets import PRESETS

__all__ = [
    "PRESETS",
    "ScatteringNetwork",
    "Segment",
    "segment_window",
    "segments_covering",
    "transform_record",
    "transform_span",
]
