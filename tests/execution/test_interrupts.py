"""Signals that reach the client and each of its workers: Ctrl-C in a terminal, SIGTERM to all of a job."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gravdask.execution.units import STOPPED
from gravdask.simulate import simulate_network


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("stage", "number", "sentence"),
    [
        ("convert", signal.SIGINT, "gravdask: stopped; what was finished is kept, run again to continue"),
        ("scatter", signal.SIGINT, "gravdask: stopped; what was finished is kept, run again to continue"),
        ("scatter", signal.SIGTERM, f"gravdask: {STOPPED}"),
    ],
)
def test_a_run_on_local_workers_ends_with_one_sentence_and_goes_on_later(
    tmp_path: Path, stage: str, number: signal.Signals, sentence: str
) -> None:
    network = simulate_network(tmp_path, stations=4, days=10)
    store = str(tmp_path / "x.zarr")
    command = [sys.executable, "-m", "gravdask", "run", str(network.archive), "-o", store]
    command += ["--stations", str(network.station_xml), "--workers", "2", "--stages", "convert,noise,calibrate,scatter"]
    if stage == "scatter":
        assert subprocess.run([*command[:-1], "convert,noise,calibrate"], check=False, timeout=200).returncode == 0
    log = tmp_path / "log"
    with log.open("wb") as sink:
        client = subprocess.Popen(command, stdout=sink, stderr=sink, start_new_session=True)
    deadline = time.monotonic() + 120
    while "2 workers" not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1.0)
    assert client.poll() is None, log.read_text()
    os.killpg(client.pid, number)
    assert client.wait(timeout=60) == 3
    said = log.read_text().splitlines()
    assert said[-1] == sentence
    words = ("Traceback", "Error", "Warning", " - distributed", "workers gone")
    assert [line for line in said if any(word in line for word in words)] == []
    told = subprocess.run([*command[:3], "status", "-o", store, "--runs"], capture_output=True, text=True, check=True)
    assert "workers gone" not in told.stdout
    again = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert again.returncode == 0, again.stderr
