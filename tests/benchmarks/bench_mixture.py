"""One iteration of gravdask's Gaussian mixture beside scikit-learn's, on one core."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import side_by_side

side_by_side.one_thread()

import numpy as np  # noqa: E402
from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from sklearn.mixture import GaussianMixture as Peer  # noqa: E402

from gravdask.mixture import GaussianMixture  # noqa: E402

ROWS, FEATURES, COMPONENTS = 500_000, 16, 10


def main() -> None:
    """Print Mrow/s of an E and an M step: ten iterations less one, over nine."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    rng = np.random.default_rng(0)
    centres = 3 * rng.standard_normal((COMPONENTS, FEATURES))
    rows = (centres[rng.integers(COMPONENTS, size=ROWS)] + rng.standard_normal((ROWS, FEATURES))).astype(np.float32)
    start: dict[str, Any] = {
        "weights_init": np.full(COMPONENTS, 1 / COMPONENTS),
        "means_init": centres,
        "precisions_init": np.tile(np.eye(FEATURES), (COMPONENTS, 1, 1)),
        "tol": 0.0,
    }

    def fit(kind: Any, iterations: int) -> Any:
        return lambda: kind(COMPONENTS, max_iter=iterations, **start).fit(rows)

    names = {"scikit-learn": Peer, "gravdask": GaussianMixture}
    seconds = side_by_side.medians({f"{n} {i}": fit(k, i) for n, k in names.items() for i in (1, 10)}, runs=3)
    base = None
    for name in names:
        speed = 9 * ROWS / (seconds[f"{name} 10"] - seconds[f"{name} 1"]) / 1e6
        base = base or speed
        sys.stdout.write(f"{name:<14} {speed:5.2f} Mrow/s an iteration  {speed / base:4.1f}x\n")


if __name__ == "__main__":
    main()
