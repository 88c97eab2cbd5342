"""Workers near their memory limit: they go on, where Dask's own setting would have them wait for what never comes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gravdask.config import ClusterConfig
from gravdask.execution import DaskRunner


def make_hog(share: float) -> Callable[[int], float]:
    """Make a task that fills the worker's memory up to a share of its limit, for good; gives the share then."""

    def hog(number: int) -> float:
        import psutil
        from distributed import get_worker

        worker, process = get_worker(), psutil.Process()
        missing = int(share * worker.memory_manager.memory_limit) - process.memory_info().rss
        if missing > 0:
            worker.gravdask_test_ballast = b"\1" * missing
        return float(process.memory_info().rss / worker.memory_manager.memory_limit)

    return hog


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_a_worker_whose_memory_stays_nearly_full_goes_on(tmp_path: Path) -> None:
    settings = ClusterConfig(kind="local", workers=1, memory="800MiB", scratch=str(tmp_path))
    runner = DaskRunner(settings, lambda _: None)
    try:
        shares = [share for _, share in runner.run(make_hog(0.87), range(20))]
    finally:
        runner.close()
    assert len(shares) == 20
    assert min(shares) > 0.8, "it never was nearly full"
