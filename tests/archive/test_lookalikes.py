"""Files that no reader knows although their names are those of records."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import obspy
import pytest

import gravdask
from gravdask.archive.index import scan
from gravdask.archive.lookalikes import told_problems
from gravdask.config import build_config

JUNK = np.random.default_rng(1).bytes(300)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Three day files of a station in a folder for each year, of which one begins with junk; and what lies beside."""
    folder = tmp_path / "archive"
    for day in ("2023-12-31", "2024-01-01", "2024-01-02"):
        start = obspy.UTCDateTime(day)
        header = {"network": "XX", "station": "ONE", "channel": "LHZ", "sampling_rate": 1.0, "starttime": start}
        file = folder / str(start.year) / f"XX.ONE.LHZ.{start.year}.{start.julday:03d}"
        file.parent.mkdir(parents=True, exist_ok=True)
        obspy.Trace(np.arange(86400, dtype=np.int32), header).write(str(file), format="MSEED")
    damaged = folder / "2023" / "XX.ONE.LHZ.2023.365"
    damaged.write_bytes(JUNK + damaged.read_bytes())
    (folder / "2024" / "XX.ONE.LHZ.2024.001.png").write_bytes(JUNK)
    (folder / "XX.ONE.LHZ.2024.001").write_bytes(JUNK)  # in no folder of a year
    (folder / "notes").write_text("a text\n")
    return folder


def quarantined(folder: Path) -> list[str]:
    return [p.path for p in told_problems(scan([folder])) if p.severity == "quarantined"]


def test_a_file_that_is_named_like_records_is_no_bystander(archive: Path) -> None:
    assert quarantined(archive) == [str(archive / "2023" / "XX.ONE.LHZ.2023.365")]
    index = scan([archive])
    assert len(told_problems(index)) == len(index.problems) == 4


def test_it_is_one_where_no_record_has_such_a_name(archive: Path) -> None:
    for file in (archive / "2024").iterdir():
        file.rename(file.with_name(f"{file.name}.mseed"))
    assert quarantined(archive) == []


def test_a_run_lists_it_until_it_is_replaced(archive: Path, tmp_path: Path) -> None:
    values = {"archive": {"paths": [str(archive)]}, "store": {"path": str(tmp_path / "x.zarr")}}
    config = build_config(values | {"cluster": {"kind": "serial"}})
    for _ in range(2):  # also where nothing changed
        record = gravdask.run(config, stages=("convert",))
        assert record.exit_code == 1
        (row,) = record.quarantine.to_dict("records")
        assert row["where"].endswith("XX.ONE.LHZ.2023.365")
        assert "named like the records beside it" in row["what"]
        assert row["cure"]
    damaged = archive / "2023" / "XX.ONE.LHZ.2023.365"
    damaged.write_bytes(damaged.read_bytes().removeprefix(JUNK))
    record = gravdask.run(config, stages=("convert",))
    assert record.exit_code == 0
    assert record.quarantine.empty
