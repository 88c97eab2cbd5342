"""The real records: every one as its description says, the other files refused with a reason."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from gravdask.archive import ChannelId, ReadOptions, StationTable, Trace, read_file, scan
from gravdask.errors import NotThisFormatError
from gravdask.grid import SECOND_NS, Rate

pytestmark = pytest.mark.real


def table(readme: Path, heading: str) -> list[list[str]]:
    """Rows of the Markdown table below a heading."""
    lines = readme.read_text(encoding="utf-8").split(heading, 1)[1].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    end = next((n for n, line in enumerate(lines) if line.startswith("#") and n > 0), len(lines))
    return rows[2 : sum(line.startswith("|") for line in lines[:end])]


def nanoseconds(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000) * 1_000_000


def test_waveforms_are_what_their_description_says(real_data: Path) -> None:
    rows = table(real_data / "README.md", "## Waveforms as read back")
    assert len(rows) > 20
    for path, name, hz, first, last, _, _, _, low, high, form in rows:
        traces = read_file(real_data / path)
        heads = read_file(real_data / path, head_only=True)
        assert len(traces) == len(heads) == 1, path
        (trace,), (head,) = traces, heads
        network, station, location, code = name.split(".")
        assert trace.channel == head.channel == ChannelId(network, station, location, code)
        assert trace.rate == head.rate == Rate.from_hz(float(hz))
        assert (trace.npts, trace.dtype, trace.start_ns) == (head.npts, head.dtype, head.start_ns)
        assert abs(trace.start_ns - nanoseconds(first)) <= 1_000_000, path
        half = trace.rate.interval_ns / 2 if "ah/" in path else 1_000_000  # its stated rate is 1e-6 off nominal
        assert abs(trace.end_ns - nanoseconds(last)) <= half, path
        assert trace.dtype == form.split("/")[1]
        assert (float(trace.values.min()), float(trace.values.max())) == pytest.approx(
            (float(low), float(high)), rel=1e-4
        )


def test_overlapping_fnet_files(real_data: Path) -> None:
    index = scan([real_data / "seismic" / "fnet_lhz_acc_sac"], ReadOptions(unit="m/s^2"))
    assert len(index.traces) == 21
    assert set(index.traces["unit"]) == {"m/s^2"}
    for station, rows in index.traces.groupby("channel"):
        assert station in {"BO.KNY.--.LHZ", "BO.KZS.--.LHZ", "BO.NAA.--.LHZ"}
        starts = rows["start_ns"].to_numpy()
        days = (starts - nanoseconds("2011-03-01T00:00:00")) / (86400 * SECOND_NS)
        assert np.sort(days) == pytest.approx([20760 / 86400, 5, 11, 21, 31, 41, 51])
        assert (rows["npts"] == 864_000).all()
        assert rows["latitude"].nunique() == 1


def test_gravimeter_334(real_data: Path) -> None:
    path = real_data / "gravimeter" / "gphone_334" / "20210607_334append.part1.tsf"
    traces = read_file(path, ReadOptions(clock_offset_s=8 * 3600, station_codes=("334",)))
    lines = path.read_text().splitlines()
    assert len(lines) == 59_040
    assert [(str(t.channel), t.npts) for t in traces] == [
        ("XX.334.--.UGZ", 53_280),
        ("XX.334.--.UGZ", 5_760),
        ("XX.334.--.UDO", 53_280),
        ("XX.334.--.UDO", 5_760),
    ]
    assert traces[0].start_ns == nanoseconds("2021-06-07T16:00:16")
    assert traces[1].end_ns == nanoseconds("2021-07-19T15:59:16")
    assert {(t.dtype, t.decimals, t.rate) for t in traces} == {("int32", 4, Rate(1, 60))}
    gravity = np.concatenate([t.values for t in traces[:2]])
    pressure = np.concatenate([t.values for t in traces[2:]])
    assert [f"{v // 10_000}.{v % 10_000:04d}" for v in gravity] == [line.split()[6] for line in lines]
    assert [f"{v // 10_000:04d}.{v % 10_000:04d}" for v in pressure] == [f"{line.split()[7]:0>9}" for line in lines]
    assert (traces[0].unit, traces[2].unit) == ("mGal", "hPa")


def test_tsoft_file_with_exponents(real_data: Path) -> None:
    path = real_data / "gravimeter" / "tsoft_tsf" / "l230406.TSF"
    traces = read_file(path)
    assert [str(t.channel) for t in traces] == [f"XX.0-059-20.{n:02d}.UGZ" for n in range(3)]
    assert {(t.npts, t.unit, t.kind, t.dtype) for t in traces} == {(5040, "nm/s^2", "gravity", "int64")}
    (note,) = [note for trace in traces for note in trace.notes]
    assert "0-059-20:Theory Sol. Earth:WDD" in note.what
    assert "no records" in note.what
    rows = [line.split() for line in path.read_text().split("[DATA]")[1].strip().splitlines()]
    for n, trace in enumerate(traces):
        true = np.array([float(row[6 + n]) for row in rows])
        np.testing.assert_allclose(trace.values / 10.0**trace.decimals, true, rtol=4e-16, atol=0)


def test_ggp_files(real_data: Path) -> None:
    (trace,) = read_file(real_data / "gravimeter" / "ggp" / "ap046.ggp")
    assert (str(trace.channel), trace.npts, trace.unit) == ("XX.ap046.--.RGZ", 500, "nm/s^2")
    assert trace.start_ns == nanoseconds("2010-01-26T09:27:00")
    assert trace.values[:2].tolist() == [-34616, -34429]
    traces = read_file(real_data / "format_fixtures_not_real_values" / "readggp_data.ggp")
    shown = [(t.channel.code, (t.values / 10.0**t.decimals).tolist()) for t in traces]
    assert shown == [
        ("RGZ", [0.0] * 10),
        ("RGZ", [11.0] * 5),
        ("RDO", [1.0] * 8),
        ("RDO", [23.0]),
        ("RDO", [23.0] * 3),
    ]


def test_tsoft_fixture_of_mixed_numbers(real_data: Path) -> None:
    first, second = read_file(real_data / "format_fixtures_not_real_values" / "tsf_data.tsf")
    assert (first.values.tolist(), second.values.tolist()) == ([0] * 10, [10])
    assert second.start_ns - first.start_ns == 3 * SECOND_NS
    assert second.unit == "units2"


@pytest.mark.parametrize(
    "path",
    [
        "gravimeter/ggp/SG_station.txt",
        "metadata/IU.ANMO_2010/IUANMO.dataless",
        "catalogs/isc_gem_v3_2009-2012.csv",
        "catalogs/gcmt_2014.ndk",
        "reference/tides/etgtab/ETGTAB.PRN",
        "reference/tides/analysis_outputs/eterna_analysis.prn",
    ],
)
def test_other_files_are_not_misread(real_data: Path, path: str) -> None:
    with pytest.raises(NotThisFormatError, match=r"tried table, tsoft, ggp, .*, waveform"):
        read_file(real_data / path)


def test_whole_collection_as_an_archive(real_data: Path) -> None:
    index = scan([real_data])
    assert {p.severity for p in index.problems} == {"ignored", "note"}
    noted = {Path(p.path).name for p in index.problems if p.severity == "note"}
    assert noted == {"last.dat", "l230406.TXT", "l230406.TSF"}
    assert len(index.metadata_files) == 8
    assert set(index.files["format"]) == {"", "tsoft", "ggp", "scintrex", "lacoste", "waveform", "stationxml"}
    listed = {Path(p.path).name for p in index.problems}
    assert {"SG_station.txt", "README.md"} <= listed


def test_station_metadata(real_data: Path) -> None:
    files = scan([real_data]).metadata_files
    stations = sum((StationTable.from_stationxml(path) for path in files), StationTable())
    anmo = stations.lookup(ChannelId("IU", "ANMO", "00", "LHZ"), nanoseconds("2010-01-01T12:00:00"))
    assert (anmo.sensitivity, anmo.input_unit, anmo.is_acceleration) == (3275080000.0, "M/S", False)
    assert stations.lookup(ChannelId("GR", "BFO", "", "BHZ"), nanoseconds("2011-03-11T05:46:24")).elevation == 589.0
    assert stations.lookup(ChannelId("II", "ALE", "00", "VHZ")).latitude == pytest.approx(82.5, abs=0.01)
    assert stations.lookup(ChannelId("YR", "ALE", "", "BHZ")).latitude < 15
    assert stations.lookup(ChannelId("2Q", "AQG", "", "MGZ")).input_unit is not None
    # the station and its channels stand 9 km apart in this file
    assert [c.first.station for c in stations.conflicts()] == ["NTG04"]


def test_bolivia_record_states_its_place(real_data: Path) -> None:
    (trace,) = read_file(real_data / "seismic" / "ah" / "ALE_VHZ_19940609_bolivia.ah")
    assert isinstance(trace, Trace)
    assert (trace.latitude, trace.longitude, trace.elevation) == (82.5033, -62.35, 60.0)
    assert trace.stated_rate_hz == pytest.approx(0.10000009536752259)
