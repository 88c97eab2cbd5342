"""Notes on estimates that the record has outgrown or that were made from a record that has changed."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from gravdask.cli import make_config
from gravdask.pipeline import run
from gravdask.preprocess.monthly import MonthlyAdmittance
from gravdask.preprocess.tides import tide
from gravdask.stages.estimate_age import age_notes, months_of

HOUR = 3600 * 10**9
FIRST = int(np.datetime64("2021-03-01", "ns").astype(np.int64))
PLACE = (34.0, 117.0, 100.0)


def sums(begin: str, days: int, factor: float = 1.16, noise: int = 1) -> MonthlyAdmittance:
    """Sums of a record of some days from a date on."""
    start = int(np.datetime64(begin, "ns").astype(np.int64))
    times = start + np.arange(days * 24, dtype=np.int64) * HOUR
    theory = tide(times, *PLACE)
    pressure = 980 + 5 * np.sin((times - FIRST) / (60 * HOUR)) + np.sin((times - FIRST) / (7 * HOUR))
    values = factor * theory - 3 * pressure + 30 * (times - FIRST) / (24 * HOUR)
    values += np.random.default_rng([noise, abs(start - FIRST) // HOUR]).normal(0, 5, times.size)
    return MonthlyAdmittance.from_block(values, times, theory, pressure)


def kept(months: MonthlyAdmittance, digests: bool = True) -> dict[str, object]:
    """What the ledger holds of an estimate."""
    return asdict(months.total().finalize()) | ({"made_from": months_of(months)} if digests else {})


def test_a_record_that_grew_a_little_is_left_alone() -> None:
    months = sums("2021-03-01", 61)
    assert age_notes("XX.A", kept(months), months) == []
    assert age_notes("XX.A", kept(months), months + sums("2021-05-01", 40)) == []


@pytest.mark.parametrize("digests", [True, False])
def test_twice_the_days_are_told_with_both_values(digests: bool) -> None:
    months = sums("2021-03-01", 31)
    grown = months + sums("2021-04-01", 31, factor=1.17)
    (note,) = age_notes("XX.A", kept(months, digests), grown)
    assert "as estimated from 31 days" in note
    assert ("(2021-03 to 2021-03)" in note) == digests
    assert "has grown much since, 62 days now (2021-03 to 2021-05)" in note
    before, after = months.total().finalize(), grown.total().finalize()
    assert f"tidal factor {after.tidal_factor:.4f} (stands: {before.tidal_factor:.4f})" in note
    assert f"{after.drift:.2f} nm/s²/day (stands: {before.drift:.2f})" in note
    assert "--refit" in note


def test_earlier_months_are_told() -> None:
    months = sums("2021-03-01", 61)
    (note,) = age_notes("XX.A", kept(months), months + sums("2021-02-01", 28))
    assert "the record begins earlier now, in 2021-02" in note


def test_changed_months_are_told_if_the_values_would_be_others() -> None:
    months = sums("2021-03-01", 92)
    rest = MonthlyAdmittance({m: s for m, s in months.months.items() if m != "2021-04"})
    (note,) = age_notes("XX.A", kept(months), rest + sums("2021-04-01", 30, factor=1.2))
    assert "the record was changed in 2021-04, 92 days now" in note
    uncertain = kept(months) | {"tidal_factor_error": 1.0, "admittance_error": 9.0, "drift_error": 99.0}
    assert age_notes("XX.A", uncertain, rest + sums("2021-04-01", 30, noise=7)) == []


def test_months_that_are_gone_are_told() -> None:
    months = sums("2021-03-01", 31, factor=1.2) + sums("2021-04-01", 61)
    left = MonthlyAdmittance({m: s for m, s in months.months.items() if m != "2021-03"})
    (note,) = age_notes("XX.A", kept(months), left)
    assert "was changed in 2021-03" in note
    (none,) = age_notes("XX.A", kept(months), MonthlyAdmittance.zero())
    assert "none now" in none


def write(folder: Path, begin: str, days: int) -> None:
    """A file of gravity and pressure once a minute."""
    start = int(np.datetime64(begin, "ns").astype(np.int64))
    times = start + np.arange(days * 1440, dtype=np.int64) * 60 * 10**9
    pressure = 980 + 5 * np.sin((times - FIRST) / (60 * HOUR)) + np.sin((times - FIRST) / (7 * HOUR))
    noise = np.random.default_rng(days).normal(0, 15, times.size)
    values = 1.165 * tide(times, *PLACE) - 3 * pressure + 900 * (times - FIRST) / (24 * HOUR) + noise + 5e6
    clock = np.datetime_as_string(times.astype("datetime64[ns]"), unit="s")
    lines = [
        f"{t[:4]} {t[5:7]} {t[8:10]} {t[11:13]} {t[14:16]} {t[17:19]} {g * 1e-4:.5f} {p:.4f}\n"
        for t, g, p in zip(clock, values, pressure, strict=True)
    ]
    (folder / f"{begin.replace('-', '')}_777append.tsf").write_text("".join(lines))


def test_added_years_are_noted_until_a_refit(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    (tmp_path / "stations.csv").write_text("station,latitude,longitude,elevation\n777,34,117,100\n")
    flags = {
        "stations": str(tmp_path / "stations.csv"),
        "clock": "+00:00",
        "output": str(tmp_path / "s.zarr"),
        "serial": True,
        "assignments": ("archive.units=mGal",),
    }
    config = make_config((str(archive),), flags)
    stages = ("convert", "calibrate")
    write(archive, "2021-03-01", 12)
    assert not [n for n in run(config, stages=stages).notes if "--refit" in n]
    write(archive, "2021-03-20", 20)
    (note,) = [n for n in run(config, stages=stages).notes if "--refit" in n]
    assert note.startswith("XX.777.--.UGZ: its tidal factor, pressure admittance and drift stand as estimated from 12 ")
    assert "32 days now (2021-03 to 2021-04)" in note
    write(archive, "2021-02-01", 10)
    (note,) = [n for n in run(config, stages=stages).notes if "--refit" in n]
    assert "has grown much since and begins earlier now, in 2021-02" in note
    anew = make_config((str(archive),), flags | {"refit": True})
    assert not [n for n in run(anew, stages=stages).notes if "--refit" in n]
