"""Values of each stage for a small fixed archive: a change of these needs a new version of the stage.

A stage's version enters the fingerprints of its units. Whoever changes what a stage computes for the same input raises
its number in `gravdask.stages.base.VERSIONS` and writes the new values here in the same commit; otherwise stores would
mix old and new values without a sign.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gravdask.config import build_config
from gravdask.pipeline import run
from gravdask.preprocess.tides import tide
from gravdask.stages.base import VERSIONS
from gravdask.store.layout import open_root, read_span, sub_array
from gravdask.store.ledger import Ledger

CHANNEL = "XX.GOLD.--.UGZ"
DAYS = 12
FIRST_DAY = (np.datetime64("2021-01-01") - np.datetime64("1950-01-01")).astype(int)
COLUMNS = [5, 20, 33]
GOLDEN = {
    "convert": (1, "cfc3d770c7e29d89"),
    "noise": (1, [4.5269, 4.5302, 4.5257]),
    "calibrate": (1, [1.1601, -2.9885, 432.0206]),
    "scatter": (2, [-0.226, -0.819, -2.624]),
    "classify": (1, [5, 62, 3]),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Store of one gravimeter at one sample a minute: twelve days of integers made without a random generator."""
    folder = tmp_path_factory.mktemp("golden")
    minutes = np.arange(DAYS * 1440)
    hashed = (minutes.astype(np.uint64) * np.uint64(2654435761) % np.uint64(2**32)).astype(np.float64) / 2**32 - 0.5
    times = np.datetime64("2021-01-01T00:00:16", "ns") + minutes.astype("timedelta64[m]")
    pressure = 1000 + 3 * np.sin(minutes / 50)
    earth = 1e-4 * (1.16 * tide(times.astype(np.int64), 34.0, 117.0, 160.0) - 3.0 * (pressure - 1000))
    burst = 0.05 * np.exp(-(((minutes - 9000) / 40) ** 2)) * np.sin(2 * np.pi * minutes / 7)
    gravity = 5000 + earth + 0.00003 * minutes + burst + 0.004 * hashed
    rows = []
    for time, g, p in zip(times.astype("datetime64[s]").astype(str), gravity, pressure, strict=True):
        if not 12_000 <= len(rows) < 12_100:
            stamp = time.replace("-", " ").replace("T", " ").replace(":", " ")
            rows.append(f"{stamp} {g:12.4f} {p:10.3f}")
        else:
            rows.append("")
    (folder / "archive").mkdir()
    (folder / "archive" / "GOLD.tsf").write_text("\n".join(r for r in rows if r) + "\n")
    (folder / "stations.csv").write_text("station,latitude,longitude,elevation\nGOLD,34,117,160\n")
    config = build_config(
        {
            "archive": {"paths": [str(folder / "archive")], "stations": str(folder / "stations.csv")},
            "store": {"path": str(folder / "golden.zarr")},
            "fit": {"n_components": 2, "n_features": 2},
            "cluster": {"kind": "serial"},
        }
    )
    record = run(config)
    assert record.exit_code == 0
    return folder / "golden.zarr"


def values(store: Path, stage: str) -> object:
    """What is held fast of each stage, rounded to what every machine agrees on."""
    ledger, root = Ledger(store / "ledger"), open_root(store)
    if stage == "convert":
        (record,) = [r for r in ledger.of_stage("convert") if r.channel == CHANNEL]
        return next(iter(record.content.values()))
    if stage == "noise":
        series = sub_array(root, f"{CHANNEL}/noise/snm")
        return [round(float(v), 4) for v in read_span(series, FIRST_DAY, FIRST_DAY + 3)]
    if stage == "calibrate":
        record = ledger.get("calibrate", CHANNEL, -1)
        assert record is not None
        return [round(record.info[k], 4) for k in ("tidal_factor", "admittance", "drift")]
    first = FIRST_DAY * 1440 // 256
    if stage == "scatter":
        array = sub_array(root, f"{CHANNEL}/scattering/coefficients")
        rows = read_span(array, first + 20, first + 40)
        return [round(float(v), 3) for v in np.log(rows[:, COLUMNS]).mean(axis=0)]
    array = sub_array(root, f"{CHANNEL}/classes/component")
    return np.bincount(read_span(array, first, first + 70) + 1, minlength=3).tolist()


@pytest.mark.parametrize("stage", sorted(GOLDEN))
def test_values_change_only_with_the_version(store: Path, stage: str) -> None:
    version, expected = GOLDEN[stage]
    found = values(store, stage)
    close = found == expected if isinstance(expected, str) else found == pytest.approx(expected, abs=2e-3)
    assert VERSIONS[stage] == version, f"write down the values of version {VERSIONS[stage]} of {stage}"
    assert close, f"{stage} gives {found!r}: raise its version in VERSIONS and write these values down"
