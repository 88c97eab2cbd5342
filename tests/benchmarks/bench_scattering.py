"""gravdask's scattering transform beside kymatio's, on one core."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import side_by_side

side_by_side.one_thread()

import numpy as np  # noqa: E402
from kymatio.scattering1d.frontend.numpy_frontend import ScatteringNumPy1D  # noqa: E402

from gravdask.scattering import ScatteringNetwork  # noqa: E402


def main() -> None:
    """Print Msample/s of both, with J=8 and Q=8."""
    rng = np.random.default_rng(0)
    record = np.cumsum(rng.standard_normal(2**18)) * 0.01 + rng.standard_normal(2**18)
    windows = record.reshape(-1, 4096)
    peer = ScatteringNumPy1D(J=8, shape=4096, Q=8, T=256)
    parity = ScatteringNetwork(1.0, 8, 8, T=256)
    default = ScatteringNetwork(1.0, 8, 8, T=4096, pooling="mean")
    window = rng.standard_normal(default.window_samples)
    useful = default.segment_frames * default.frame_samples
    seconds = side_by_side.medians(
        {
            "kymatio NumPy, windows of 4096, low-pass T=256": lambda: peer(windows),
            "gravdask, the same windows and values": lambda: parity.transform(windows),
            "gravdask, the pipeline's default (T=4096, mean)": lambda: default.transform_window(window),
        }
    )
    base = None
    for name, samples in zip(seconds, (record.size, record.size, useful), strict=True):
        speed = samples / seconds[name] / 1e6
        base = base or speed
        sys.stdout.write(f"{name:<50} {speed:6.2f} Msample/s  {speed / base:5.1f}x\n")


if __name__ == "__main__":
    main()
