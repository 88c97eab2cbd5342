"""gravdask's Gaussian mixture beside scikit-learn's and Spark's: speed, workers, memory, agreement; see README.md."""

from __future__ import annotations

import argparse
import statistics
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import side_by_side

side_by_side.one_thread()

import dask  # noqa: E402
import mixture_workers as workers  # noqa: E402
import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from sklearn.mixture import GaussianMixture as Peer  # noqa: E402

from gravdask.mixture import GaussianMixture  # noqa: E402

FEATURES, COMPONENTS = 16, 10
KINDS = ("full", "tied", "diag", "spherical")
PACKAGES = ("gravdask", "numpy", "scipy", "numba", "scikit-learn", "dask", "pyspark")


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    Attributes
    ----------
    rows, other_rows
        Rows of the main comparison, and of the other covariance types.
    runs
        Interleaved runs whose median is taken.
    iterations
        Iterations of a timed fit; one of a single iteration is taken off.
    pairs
        Pairs of fits on one worker and on two.
    small
        Rows on which results are compared.
    """

    rows: int = 2_000_000
    other_rows: int = 400_000
    runs: int = 3
    iterations: int = 4
    pairs: int = 5
    small: int = 20_000


QUICK = Scale(100_000, 50_000, 1, 3, 1, 5000)


def made(rows: int, kind: str = "float32", seed: int = 0) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Rows around some centres, and the centres."""
    rng = np.random.default_rng(seed)
    centres = 3 * rng.standard_normal((COMPONENTS, FEATURES))
    found = np.empty((rows, FEATURES), dtype=kind)
    for first in range(0, rows, 1 << 18):
        part = found[first : first + (1 << 18)]
        part[:] = centres[rng.integers(COMPONENTS, size=len(part))] + rng.standard_normal(part.shape)
    return found, centres


def start(centres: NDArray[np.float64], kind: str = "full") -> dict[str, Any]:
    """The same start for every program, and no end before the last iteration."""
    shapes: dict[str, Any] = {
        "full": np.tile(np.eye(FEATURES), (COMPONENTS, 1, 1)),
        "tied": np.eye(FEATURES),
        "diag": np.ones((COMPONENTS, FEATURES)),
        "spherical": np.ones(COMPONENTS),
    }
    return {
        "weights_init": np.full(COMPONENTS, 1 / COMPONENTS),
        "means_init": centres,
        "precisions_init": shapes[kind],
        "covariance_type": kind,
        "tol": 0.0,
    }


def _fit(program: Any, rows: Any, options: dict[str, Any], iterations: int) -> Callable[[], object]:
    """A fit of some iterations when called."""
    return lambda: program(COMPONENTS, max_iter=iterations, **options).fit(rows)


def measure_iterations(scale: Scale) -> None:
    """Print Mrow/s of an E and an M step beside scikit-learn's."""
    lines = []
    cases = [("full", "float32", scale.rows), ("full", "float64", scale.other_rows)]
    cases += [(kind, "float32", scale.other_rows) for kind in KINDS[1:]]
    for kind, dtype, count in cases:
        rows, centres = made(count, dtype)
        programs = {"scikit-learn": Peer, "gravdask": GaussianMixture}
        timed = {
            f"{name} {n}": _fit(program, rows, start(centres, kind), n)
            for name, program in programs.items()
            for n in (1, scale.iterations)
        }
        # blocks in one thread, one after the other
        with dask.config.set(scheduler="synchronous"):
            seconds = side_by_side.timings(timed, scale.runs)
        each = {
            name: [
                (many - one) / (scale.iterations - 1)
                for many, one in zip(seconds[f"{name} {scale.iterations}"], seconds[f"{name} 1"], strict=True)
            ]
            for name in programs
        }
        speeds = [f"{count / statistics.median(each[name]) / 1e6:.2f}" for name in programs]
        times = f"{side_by_side.ratio(each['scikit-learn'], each['gravdask']):.1f}"
        lines.append((f"{kind}, {count:.0e} x {FEATURES} {dtype}", *speeds, times))
    side_by_side.table(("An iteration on one core, 10 components", "scikit-learn", "gravdask [Mrow/s]", "times"), lines)


def measure_agreement(scale: Scale) -> None:
    """Print the largest differences from scikit-learn's results, and what an offset of the data costs."""
    rows, centres = made(scale.small, "float64", 3)
    lines = []
    for kind in KINDS:
        options = start(centres + 0.3, kind) | {"tol": 1e-6, "max_iter": 200}
        mine, theirs = (program(COMPONENTS, **options).fit(rows) for program in (GaussianMixture, Peer))
        names = ("weights_", "means_", "covariances_")
        worst = max(
            float(np.max(np.abs(getattr(mine, n) - getattr(theirs, n))) / np.max(np.abs(getattr(theirs, n))))
            for n in names
        )
        other = int((mine.predict(rows) != theirs.predict(rows)).sum())
        bound = abs(mine.lower_bound_ - theirs.lower_bound_)
        lines.append((kind, f"{mine.n_iter_}, {theirs.n_iter_}", f"{worst:.0e}", f"{bound:.0e}", str(other)))
    heads = ("Beside scikit-learn from the same start", "iterations", "parameters", "lower bound", "other labels")
    side_by_side.table(heads, lines)
    lines = []
    for offset in (0.0, 1e5, 1e7):
        options = {"tol": 0.0, "max_iter": 10}
        near, far = (
            program(COMPONENTS, **(start(centres + 0.3 + offset) | options)).fit(rows + offset)
            for program in (GaussianMixture, Peer)
        )
        truth = GaussianMixture(COMPONENTS, **(start(centres + 0.3) | options)).fit(rows).covariances_
        lines.append((f"{offset:.0e}", *(f"{np.abs(m.covariances_ - truth).max():.0e}" for m in (near, far))))
    side_by_side.table(("Covariances of order 1, data offset by", "error, gravdask", "error, scikit-learn"), lines)


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="half a minute; its figures mean little")
    parser.add_argument(
        "--large", metavar="FOLDER", help="also fit 20 GiB of rows, written to this folder, in 2 x 1 GiB"
    )
    options = parser.parse_args()
    scale = QUICK if options.quick else Scale()
    warnings.simplefilter("ignore", ConvergenceWarning)
    side_by_side.say(side_by_side.machine(PACKAGES))
    side_by_side.say()
    measure_agreement(scale)
    measure_iterations(scale)
    rows, centres = made(scale.rows)
    workers.measure_spark(rows, centres, start(centres), 3 * scale.iterations)
    # blocks enough that a worker has something to do between two iterations
    workers.measure_gain(np.tile(rows, (4, 1)), start(centres), scale.iterations, scale.pairs)
    if options.large:
        workers.measure_large(Path(options.large), 20 << 30 if not options.quick else 1 << 30, start(centres))


if __name__ == "__main__":
    main()
