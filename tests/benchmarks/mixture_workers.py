"""Mixtures on Dask workers: beside Spark, one worker against two, and rows that no memory holds."""

from __future__ import annotations

import logging
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import side_by_side
from distributed import Client, LocalCluster
from numpy.typing import NDArray

from gravdask.mixture import GaussianMixture

BLOCK_ROWS = 1 << 17


def _cluster(count: int, memory: str = "8GiB") -> Client:
    """A client of so many worker processes of one thread each."""
    cluster = LocalCluster(
        n_workers=count, threads_per_worker=1, processes=True, memory_limit=memory, dashboard_address=":0"
    )
    return Client(cluster)


def _close(client: Client) -> None:
    """End a client and its cluster."""
    cluster = client.cluster
    client.close()
    cluster.close()


def _seconds(function: Callable[[], object]) -> float:
    """Time a call."""
    begun = time.perf_counter()
    function()
    return time.perf_counter() - begun


def _fit_seconds(client: Client, rows: Any, options: dict[str, Any], iterations: int) -> float:
    """Time an iteration: a fit of some, less a fit of one."""
    components = len(options["weights_init"])
    with client.as_current():
        once, often = (
            _seconds(lambda n=n: GaussianMixture(components, max_iter=n, **options).fit(rows)) for n in (1, iterations)
        )
    return (often - once) / (iterations - 1)


def measure_spark(
    rows: NDArray[np.float32], centres: NDArray[np.float64], options: dict[str, Any], iterations: int
) -> None:
    """Print Mrow/s of an iteration on two cores beside Spark MLlib's."""
    client = _cluster(2)
    with client.as_current():
        held = da.from_array(rows, chunks=(BLOCK_ROWS, -1)).persist()
        _fit_seconds(client, held, options, 3)
        mine = statistics.median(_fit_seconds(client, held, options, iterations) for _ in range(3))
    _close(client)
    lines = [("gravdask, two Dask workers", f"{len(rows) / mine / 1e6:.2f}", "")]
    spark = _spark_seconds(rows, iterations, len(centres))
    if spark:
        lines.append(("Spark MLlib, local[2]", f"{len(rows) / spark / 1e6:.2f}", f"{spark / mine:.1f}"))
    side_by_side.table(("An iteration on two cores, full", "Mrow/s", "times"), lines)


def _spark_seconds(rows: NDArray[np.float32], iterations: int, components: int) -> float:
    """Seconds of an iteration of Spark's mixture, 0 if there is no Spark."""
    try:
        from pyspark.ml.clustering import GaussianMixture as SparkMixture
        from pyspark.ml.feature import VectorAssembler
        from pyspark.sql import SparkSession
    except ImportError as error:
        side_by_side.say(f"Spark is left out: {error}")
        return 0.0
    import pandas as pd

    # Spark lets every library talk
    logging.getLogger("distributed").setLevel(logging.WARNING)
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.driver.memory", "8g")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.log.level", "ERROR")
        .getOrCreate()
    )
    names = [f"x{n}" for n in range(rows.shape[1])]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        pd.DataFrame(rows, columns=names).to_parquet(path, row_group_size=BLOCK_ROWS)
        table = VectorAssembler(inputCols=names, outputCol="features").transform(spark.read.parquet(str(path)))
        table = table.select("features").repartition(4).cache()
        table.count()

        def fit(count: int) -> float:
            mixture = SparkMixture(k=components, maxIter=count, tol=0.0, seed=1)
            return _seconds(lambda: mixture.fit(table))

        fit(2)
        found = [(fit(iterations) - fit(1)) / (iterations - 1) for _ in range(3)]
        spark.stop()
    return statistics.median(found)


def _loop(seconds: float) -> float:
    """Work done a second by a plain loop of integers."""
    begun, count = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        total = 0
        for number in range(200_000):
            total += number & 7
        count += 1
    return count / (time.perf_counter() - begun)


def measure_gain(rows: NDArray[np.float32], options: dict[str, Any], iterations: int, pairs: int) -> None:
    """Print what a second worker adds, beside what a second plain process adds in the same minute."""
    lines: list[tuple[float, float]] = []
    clients = {count: _cluster(count) for count in (1, 2)}
    held = {}
    for count, client in clients.items():
        with client.as_current():
            held[count] = da.from_array(rows, chunks=(BLOCK_ROWS, -1)).persist()
            _fit_seconds(client, held[count], options, 2)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        for _ in range(pairs):
            loops = [sum(pool.map(_loop, [2.0] * count, chunksize=1)) for count in (1, 2)]
            fits = [_fit_seconds(clients[count], held[count], options, iterations) for count in (1, 2)]
            lines.append((fits[0] / fits[1], loops[1] / loops[0]))
    for client in clients.values():
        _close(client)
    fit, loop = (statistics.median(column) for column in zip(*lines, strict=True))
    share = statistics.median(a / b for a, b in lines)
    table = [
        ("fitting", f"{fit:.2f}"),
        ("plain integer loops", f"{loop:.2f}"),
        ("share of the plain gain", f"{share:.1%}"),
    ]
    side_by_side.table(("Two workers against one", "gain"), table)


def _write_rows(path: Path, size: int, features: int) -> int:
    """Write rows of so many bytes as uncompressed Zarr; give their number."""
    import zarr

    count = size // (4 * features) // BLOCK_ROWS * BLOCK_ROWS
    array = zarr.create_array(
        path, shape=(count, features), chunks=(BLOCK_ROWS, features), dtype="float32", compressors=None, overwrite=True
    )
    rng = np.random.default_rng(0)
    centres = 3 * rng.standard_normal((10, features)).astype(np.float32)
    noise = rng.standard_normal((BLOCK_ROWS, features), dtype=np.float32)
    for first in range(0, count, BLOCK_ROWS):
        array[first : first + BLOCK_ROWS] = centres[rng.integers(10, size=BLOCK_ROWS)] + np.roll(noise, first // 7, 0)
    return count


def _peak() -> float:
    """Highest memory of this process [MiB]."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return float("nan")


def measure_large(folder: Path, size: int, options: dict[str, Any]) -> None:
    """Print time and memory of three iterations over rows that are ten times the memory of two workers of 1 GiB."""
    path = folder / "rows.zarr"
    count = _write_rows(path, size, options["means_init"].shape[1])
    client = _cluster(2, "1GiB")
    with client.as_current():
        before = max(client.run(_peak).values())
        rows = da.from_zarr(str(path))
        seconds = _seconds(lambda: GaussianMixture(10, max_iter=3, **options).fit(rows))
        peak = max(client.run(_peak).values())
        restarts = len([1 for event in client.get_events("all") if "restart" in str(event)])
    _close(client)
    lines = [
        ("rows", f"{count:.2e}"),
        ("on disk [GiB]", f"{size / 2**30:.0f}"),
        ("three iterations [s]", f"{seconds:.0f}"),
        ("peak memory of a worker [MiB]", f"{peak:.0f}"),
        ("of it before the fit [MiB]", f"{before:.0f}"),
        ("restarts", str(restarts)),
    ]
    side_by_side.table(("Rows ten times the workers' memory", ""), lines)
