"""A fit on worker processes: their number and their deaths change nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest

from gravdask.mixture import GaussianMixture
from gravdask.mixture.blocks import RowBlocks

distributed = pytest.importorskip("distributed")

pytestmark = pytest.mark.slow
PARAMETERS = ("weights_", "means_", "covariances_", "precisions_cholesky_", "lower_bounds_")
OPTIONS: dict[str, Any] = {"random_state": 0, "max_iter": 12, "tol": 0.0, "missing": "skip"}


@contextmanager
def cluster_of(n_workers: int) -> Iterator[Any]:
    with (
        distributed.LocalCluster(
            n_workers=n_workers, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def source(log: Path) -> da.Array:
    """9 chunks that are computed from nothing but their number, each time noted in a file."""

    def make(block_info: Any = None) -> np.ndarray:
        import numpy as np

        number = block_info[None]["chunk-location"][0]
        with open(log / f"chunk-{number}", "a") as file:
            file.write("x")
        generator = np.random.default_rng(number)
        centres = np.array([[0.0, 0.0, 0.0], [6.0, 0.0, 3.0], [0.0, 7.0, -3.0]])
        rows = centres[generator.integers(3, size=700)] + generator.normal(size=(700, 3))
        rows[::41, 1] = np.nan
        return rows

    return da.map_blocks(make, chunks=((700,) * 9, (3,)), dtype=float, meta=np.empty((0, 0)))


def reads(log: Path) -> int:
    """How many chunks were computed so far."""
    return sum(len(path.read_text()) for path in log.glob("chunk-*"))


def deadly(function: Callable[..., Any], fuse: str) -> Callable[..., Any]:
    """The same function, but the first process that takes the fuse away kills itself in the middle of it."""

    def step(rows: Any, weights: Any, *arguments: Any) -> Any:
        import os
        import signal

        found = function(rows, weights, *arguments)
        try:
            os.remove(fuse)
        except FileNotFoundError:
            return found
        os.kill(os.getpid(), signal.SIGKILL)
        return None

    return step


def fit(X: da.Array, in_memory: bool = False) -> GaussianMixture:
    weights, groups = da.linspace(0.5, 1.5, 6300, chunks=1000), da.arange(6300, chunks=500) // 2100
    if in_memory:
        weights, groups = weights.compute(), groups.compute()
    return GaussianMixture(3, **OPTIONS).fit(X, sample_weight=weights, groups=groups)


@pytest.mark.filterwarnings("ignore:Best performing initialization")
def test_a_killed_worker_changes_no_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logs = [tmp_path / name for name in ("quiet", "killed")]
    for log in logs:
        log.mkdir()
    fuse = tmp_path / "fuse"
    passes: list[int] = []
    plain = RowBlocks.reduce

    def reduce(self: RowBlocks, function: Callable[..., Any], *shared: object, each: Any = None) -> Any:
        passes.append(len(passes))
        if len(passes) == 6:
            fuse.touch()
            function = deadly(function, str(fuse))
        return plain(self, function, *shared, each=each)

    with cluster_of(2) as client:
        undisturbed = fit(source(logs[0]))
        assert reads(logs[0]) == 9  # the rows stay on the workers
        before = {info["pid"] for info in client.run(lambda: {"pid": os.getpid()}).values()}
        monkeypatch.setattr(RowBlocks, "reduce", reduce)
        disturbed = fit(source(logs[1]))
        assert not fuse.exists()
        client.wait_for_workers(2)
        after = {info["pid"] for info in client.run(lambda: {"pid": os.getpid()}).values()}
    assert len(before & after) == 1  # one died
    assert len(passes) == 12
    assert reads(logs[1]) > 9  # what it held was made again
    assert undisturbed.n_skipped_ == disturbed.n_skipped_ == 9 * 18
    for name in PARAMETERS:
        np.testing.assert_array_equal(getattr(disturbed, name), getattr(undisturbed, name), err_msg=name)


@pytest.mark.filterwarnings("ignore:Best performing initialization")
@pytest.mark.parametrize("in_memory", [False, True])
def test_a_worker_killed_from_outside_changes_no_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: bool
) -> None:
    """The scheduler finds the process gone between two iterations; with all, or only the rows, made on the workers."""
    passes: list[int] = []
    plain = RowBlocks.reduce
    with cluster_of(2) as client:
        undisturbed = fit(source(tmp_path), in_memory)

        def reduce(self: RowBlocks, function: Callable[..., Any], *shared: object, each: Any = None) -> Any:
            passes.append(len(passes))
            if len(passes) in (3, 8):
                victim = next(iter(client.run(os.getpid).values()))
                os.kill(victim, signal.SIGKILL)
            return plain(self, function, *shared, each=each)

        monkeypatch.setattr(RowBlocks, "reduce", reduce)
        disturbed = fit(source(tmp_path), in_memory)
    assert len(passes) == 12
    for name in PARAMETERS:
        np.testing.assert_array_equal(getattr(disturbed, name), getattr(undisturbed, name), err_msg=name)


@pytest.mark.filterwarnings("ignore:Best performing initialization")
def test_one_worker_and_three_give_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gravdask.mixture.initialise.SAMPLE_ROWS", 2000)
    fits, answers = [], []
    for n_workers in (1, 3):
        with cluster_of(n_workers):
            X = source(tmp_path)
            fits.append(fit(X))
            answers.append(fits[-1].predict(X).compute())
            labelled = GaussianMixture(3, labels_init=da.from_array(answers[-1], chunks=500), **OPTIONS).fit(X)
            fits.append(labelled)
    for first, second in ((fits[0], fits[2]), (fits[1], fits[3])):
        for name in PARAMETERS:
            np.testing.assert_array_equal(getattr(second, name), getattr(first, name), err_msg=name)
    np.testing.assert_array_equal(answers[0], answers[1])
    assert (answers[0] == -1).sum() == 9 * 18


@pytest.mark.filterwarnings("ignore:Best performing initialization")
def test_rows_in_memory_outlive_a_worker(clusters: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gravdask.mixture.blocks._BLOCK_ROWS", 130)
    alone = GaussianMixture(3, **OPTIONS).fit(clusters)
    plain = RowBlocks.reduce
    passes: list[int] = []
    with cluster_of(2) as client:

        def reduce(self: RowBlocks, function: Callable[..., Any], *shared: object, each: Any = None) -> Any:
            passes.append(len(passes))
            if len(passes) == 4:
                os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)
            return plain(self, function, *shared, each=each)

        monkeypatch.setattr(RowBlocks, "reduce", reduce)
        disturbed = GaussianMixture(3, **OPTIONS).fit(clusters)
    assert len(passes) == 12
    for name in PARAMETERS:
        np.testing.assert_array_equal(getattr(disturbed, name), getattr(alone, name), err_msg=name)
