"""A client that dies again and again in the middle of a long conversion, and a store that is whole in the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import obspy
import pytest

from gravdask.store.layout import channel_names, open_root, sub_array
from gravdask.store.place import Place

UNITS = 100
KILLS = {"folder": 20, "s3": 8}
RATE = 0.1
COUNT = 3600


def make_archive(folder: Path) -> Path:
    """Write one file of ten hours for each of 100 stations, with a gap in every third."""
    rng = np.random.default_rng(5)
    folder.mkdir()
    for number in range(UNITS):
        header = {
            "network": "XX",
            "station": f"S{number:03d}",
            "channel": "VHZ",
            "sampling_rate": RATE,
            "starttime": obspy.UTCDateTime("2024-03-01") + 10 * number,
        }
        values = rng.integers(-5000, 5000, COUNT).astype(np.int32)
        stream = obspy.Stream([obspy.Trace(values, header)])
        if number % 3 == 0:
            later = {**header, "starttime": header["starttime"] + 10 * (COUNT + 77)}
            stream.append(obspy.Trace(values[::-1].copy(), later))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            stream.write(str(folder / f"S{number:03d}.mseed"), format="MSEED")
    return folder


def convert(archive: Path, store: Place, folder: Path) -> subprocess.Popen[bytes]:
    """Start a client; what it says goes to a file."""
    command = [sys.executable, "-m", "gravdask", "convert", str(archive), "-o", str(store), "--serial"]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def finish(archive: Path, store: Place, folder: Path) -> None:
    """Convert to the end."""
    code = convert(archive, store, folder).wait(timeout=300)
    assert code == 0, (folder / "log").read_text()[-3000:]


def records(store: Place) -> dict[str, bytes]:
    """Every object of every record, by its name within the store."""
    names = sorted(e.name for e in store.walk() if "/raw/" in e.name)
    return {name: (store / name).read() for name in names}


def finished(store: Place) -> int:
    """Objects with samples that are in the store, whole or not."""
    return sum("/raw/record/c/" in e.name for e in store.walk())


def contents(store: Place) -> dict[str, bytes]:
    """Every channel's attributes and the stored numbers of its extent."""
    root = open_root(store)
    found = {}
    for name in channel_names(root):
        about: Any = dict(root[f"{name}/raw"].attrs)["channel"]
        start, stop = about["extent"]
        samples = np.asarray(sub_array(root, f"{name}/raw/record")[start - 100 : stop + 100])
        found[name] = repr(sorted(about.items())).encode() + samples.tobytes()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_a_client_killed_at_many_moments_of_a_conversion_leaves_the_store_of_one_that_lived(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    base = Place.of(request.getfixturevalue("s3") if kind == "s3" else tmp_path)
    archive, undisturbed, store = make_archive(tmp_path / "archive"), base / "undisturbed.zarr", base / "killed.zarr"
    finish(archive, undisturbed, tmp_path)
    expected = contents(undisturbed)
    assert len(expected) == UNITS
    rng = np.random.default_rng(11)
    killed, moments, kills = 0, [], KILLS[kind]
    for kill in range(kills):
        # Moments from the first second, where there is nothing yet, to the last unit, to the millisecond at random.
        wanted = min(UNITS * kill // kills + int(rng.integers(UNITS // kills)), UNITS - 3)
        client = convert(archive, store, tmp_path)
        deadline = time.monotonic() + 120
        while client.poll() is None and finished(store) < wanted and time.monotonic() < deadline:
            time.sleep(0.005)  # a look takes a core's time that the client needs
        time.sleep(float(rng.uniform(0, 0.02)))
        if client.poll() is None:
            os.killpg(client.pid, signal.SIGKILL)
            killed += 1
        client.wait(timeout=60)
        moments.append(finished(store))
    # Died before it was through, nearly every time, and in the middle of the work: else this would be no test.
    assert killed >= kills - 2
    assert len({m for m in moments if 0 < m < UNITS}) >= kills // 3, moments
    finish(archive, store, tmp_path)
    assert contents(store) == expected
    assert records(store) == records(undisturbed)
    before = records(store)
    finish(archive, store, tmp_path)
    assert records(store) == before
