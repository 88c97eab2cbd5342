"""A client that dies again and again in the middle of a long conversion, and a store that is whole in the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import obspy
import pytest
import zarr

from gravdask.store.layout import channel_names, open_root, sub_array

UNITS = 200
KILLS = 20
RATE = 0.1
COUNT = 3600


def make_archive(folder: Path) -> Path:
    """Write one file of ten hours for each of 200 stations, with a gap in every third."""
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


def convert(archive: Path, store: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "gravdask", "convert", str(archive), "-o", str(store), "--serial", *options]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def shards(store: Path) -> int:
    """Objects of records that are in the store, whole or not."""
    return sum(1 for _ in store.glob("*/raw/record/c/*"))


def contents(store: Path) -> dict[str, bytes]:
    """Every sample of the store: for each channel its attributes and the stored numbers of its extent."""
    root = open_root(store)
    found = {}
    for name in channel_names(root):
        array = sub_array(root, f"{name}/raw/record")
        about = dict(root[f"{name}/raw"].attrs)["channel"]
        start, stop = about["extent"]  # type: ignore[index,call-overload]
        found[name] = repr(sorted(about.items())).encode() + np.asarray(array[start - 100 : stop + 100]).tobytes()  # type: ignore[union-attr]
    return found


def files(store: Path) -> dict[str, bytes]:
    """Bytes of every object of every record."""
    return {str(p.relative_to(store)): p.read_bytes() for p in sorted(store.glob("*/raw/**/*")) if p.is_file()}


@pytest.mark.slow
def test_a_client_killed_at_twenty_moments_of_a_conversion_leaves_the_store_of_one_that_lived(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "archive")
    undisturbed = tmp_path / "undisturbed.zarr"
    assert convert(archive, undisturbed).wait(timeout=300) == 0
    assert len(contents(undisturbed)) == UNITS
    rng = np.random.default_rng(11)
    store = tmp_path / "killed.zarr"
    killed = 0
    for kill in range(KILLS):
        # Moments from the first second, where there is nothing yet, to the last unit, to the millisecond at random.
        wanted = UNITS * kill // KILLS + int(rng.integers(UNITS // KILLS))
        client = convert(archive, store)
        deadline = time.monotonic() + 120
        while client.poll() is None and shards(store) < wanted and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(float(rng.uniform(0, 0.05)))
        if client.poll() is None:
            os.killpg(client.pid, signal.SIGKILL)
            killed += 1
        client.wait(timeout=60)
    # Died before it was through, nearly every time: else this would be no test.
    assert killed >= KILLS - 2
    assert convert(archive, store).wait(timeout=300) == 0
    assert contents(store) == contents(undisturbed)
    assert files(store) == files(undisturbed)
    # And nothing is left to do.
    before = files(store)
    assert convert(archive, store).wait(timeout=300) == 0
    assert files(store) == before
    assert zarr.open_group(store, mode="r", use_consolidated=False)
