"""A run over nodes with networks of their own, one of which loses its cable."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(590)]

RUN = [sys.executable, "-m", "gravdask", "run", "-c"]
QUICK = ["--stages", "convert,noise,calibrate,scatter,fit,classify,interpret"]


def test_a_node_whose_cable_is_cut_is_given_up_and_replaced(
    network: Any, namespaces: Any, start: Any, wait_until: Any, tmp_path: Path
) -> None:
    store = tmp_path / "store.zarr"
    config = network.config(
        store,
        "slurm",
        workers=3,
        workers_per_job=1,
        directives=["--exclusive"],  # a node each
        memory="1GiB",
        interface="eth0",
        scheduler_interface="br0",
        silence=10,
        wait=120,
        logs=str(tmp_path / "logs"),
    )
    client = start(namespaces.inside([*RUN, str(config), *QUICK]), **namespaces.environment)
    client.wait_for(r"\d workers; dashboard http://10\.99\.0\.1:")
    wait_until(lambda: sorted(namespaces.jobs("R", "%N")) == ["n1", "n2", "n3"], "a job on every node", 60)
    client.wait_for(r"noise +\d+ units done")
    namespaces.cable("n2", "down")
    assert client.process.poll() is None, "this came after the end"
    assert client.code() == 0
    assert f"{network.units} units done, 0 up to date" in client.said(), "a unit is missing"
    network.assert_equal(store)
    wait_until(lambda: not namespaces.jobs("PD,CF,R"), "the end of the jobs", 30)
