"""Wavelet scattering: from residual gravity to coefficients per path and frame.

`ScatteringNetwork` holds the parameters and transforms a window; `transform_record` and `transform_span` apply it to
whole records on the absolute grid, gap-aware. Filters are kymatio's (`filters`); the transform itself is `kernel`,
pooling over frames `pooling`, the cutting of windows `geometry`.
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
