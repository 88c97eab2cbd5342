"""Responses from StationXML, RESP and dataless SEED: the same numbers, evalresp's values, and nothing of cut files."""

from __future__ import annotations

import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import obspy
import pytest
from obspy.core.inventory.response import (
    CoefficientsTypeResponseStage,
    FIRResponseStage,
    InstrumentSensitivity,
    PolesZerosResponseStage,
    PolynomialResponseStage,
    Response,
    ResponseStage,
)
from scipy import signal

from gravdask.archive import ChannelId, StationTable
from gravdask.archive.metadata_formats import DATALESS, RESP, STATIONXML, metadata_format
from gravdask.archive.responses import InstrumentResponse, describe_response, disagreement
from gravdask.archive.stationxml import read_stationxml
from gravdask.errors import StationError

ANMO = ChannelId("IU", "ANMO", "00", "LHZ")
FREQUENCIES = np.geomspace(1e-3, 0.3, 40)


def at(response: InstrumentResponse, f: np.ndarray) -> np.ndarray:
    """The formula of the module, term by term."""
    s = 2j * np.pi * f
    value = np.full(f.shape, response.normalization * response.gain, complex)
    for real, imaginary in response.zeros:
        value = value * (s - complex(real, imaginary))
    for real, imaginary in response.poles:
        value = value / (s - complex(real, imaginary))
    for stage in response.digital:
        _, h = signal.freqz(stage.numerator, stage.denominator, worN=f, fs=stage.input_rate_hz)
        value = value * h * np.exp(s * stage.correction_s)
    return value


def entries(path: Path) -> list[Any]:
    return [e.metadata for e in read_stationxml(path) if e.code]


# --- real metadata ----------------------------------------------------------------------------------------------------


@pytest.mark.real
def test_stationxml_resp_and_dataless_of_one_channel_agree(real_data: Path) -> None:
    folder = real_data / "metadata" / "IU.ANMO_2010"
    (xml,), (resp,), (dataless,) = (entries(folder / f"IUANMO.{kind}") for kind in ("xml", "resp", "dataless"))
    assert xml.response == resp.response == dataless.response
    assert {(m.sensitivity, m.input_unit, m.frequency_hz) for m in (xml, resp, dataless)} == {
        (3275080000.0, "M/S", 0.02)
    }
    assert len({(m.start_ns, m.end_ns) for m in (xml, resp, dataless)}) == 1
    assert (dataless.latitude, dataless.longitude) == (xml.latitude, xml.longitude) == (34.945981, -106.457133)
    # A RESP file knows no place; obspy's 0, 0 must not become one.
    assert not resp.has_coordinates
    table = sum((StationTable.from_file(folder / f"IUANMO.{k}") for k in ("resp", "xml", "dataless")), StationTable())
    assert table.conflicts() == []
    assert table.lookup(ANMO, xml.start_ns).latitude == 34.945981


@pytest.mark.real
@pytest.mark.parametrize(
    ("file", "format_"),
    [
        ("IU.ANMO_2010/IUANMO.xml", "STATIONXML"),
        ("IU.ANMO_2010/IUANMO.dataless", "SEED"),
        ("GR.BFO.xml", "STATIONXML"),
        ("resp/RESP.IU.ANMO.00.LHZ", "RESP"),
    ],
)
def test_responses_against_evalresp(real_data: Path, file: str, format_: str) -> None:
    """GR.BFO has poles in hertz beside poles in rad/s; the RESP file epochs with seven stages."""
    path = real_data / "metadata" / file
    with warnings.catch_warnings(), path.open("rb") as handle:
        warnings.simplefilter("ignore")
        inventory = obspy.read_inventory(handle, format=format_)
    channels = [c for network in inventory for station in network for c in station]
    found = entries(path)
    assert len(found) == len(channels)
    for channel, metadata in zip(channels, found, strict=True):
        for stage in channel.response.response_stages:  # the files leave rates out, which evalresp does not forgive
            if stage.decimation_input_sample_rate is not None and stage.decimation_input_sample_rate < 1e-9:
                stage.decimation_input_sample_rate = channel.sample_rate
        expected = channel.response.get_evalresp_response_for_frequencies(FREQUENCIES, output="DEF")
        ratio = at(metadata.response, FREQUENCIES) / expected
        np.testing.assert_allclose(abs(ratio), 1.0, rtol=2e-5)
        # evalresp takes symmetric filters for corrected by their whole delay, whatever correction is stated.
        left = sum(s.delay_s - s.correction_s for s in metadata.response.digital)
        np.testing.assert_allclose(np.angle(ratio), -2 * np.pi * FREQUENCIES * left, atol=3e-3)


@pytest.mark.real
def test_a_real_sensitivity_that_contradicts_its_stages(real_data: Path) -> None:
    """II.BFO states 2.27e10 where sensor and digitiser make 2419.66 x 700143 = 1.69e9; as in evalresp."""
    table = StationTable.from_file(real_data / "metadata" / "GR.BFO.xml")
    (stretch,) = table.gains(ChannelId("II", "BFO", "00", "BHZ"))
    assert stretch.value.sensitivity == 22700900000.0
    assert stretch.value.gain == pytest.approx(2419.66 * 700143)
    (remark,) = table.remarks(ChannelId("II", "BFO", "00", "BHZ"))
    assert "sensitivity 2.27009e+10 is not the product 1.69411e+09 of the gains of its 2 stages" in remark
    assert table.remarks(ChannelId("GR", "BFO", "", "BHZ")) == []


@pytest.mark.real
def test_epochs_of_a_real_resp_file(real_data: Path) -> None:
    found = entries(real_data / "metadata/resp/RESP.IU.ANMO.00.LHZ")
    gains = [m.sensitivity for m in found]
    assert gains == [3458900000.0, 3458900000.0, 3698000000.0, *[3275080000.0] * 4]
    assert all(a.end_ns == b.start_ns for a, b in pairwise(found))
    assert found[-1].end_ns is None
    assert [len(m.response.digital) for m in found] == [6, 6, 6, 6, 1, 1, 1]
    first = found[0].response.digital[0]
    assert (first.input_rate_hz, first.factor, first.delay_s, first.correction_s) == (5120.0, 16, 0.006, 0.003027)
    assert (len(first.numerator), first.denominator) == (64, (1.0,))


@pytest.mark.real
def test_gravimeters_have_a_factor_and_no_shape(real_data: Path) -> None:
    folder = real_data / "metadata" / "gravimeter_stationxml"
    mems = next(m for m in entries(folder / "2Q.NTG04.xml") if m.is_acceleration)
    assert (mems.sensitivity, mems.response.shaped) == (1e8, False)


@pytest.mark.real
def test_two_networks_of_one_file_stay_apart(real_data: Path) -> None:
    table = StationTable.from_file(real_data / "metadata" / "GR.BFO.xml")
    assert table.gains(ChannelId("GR", "BFO", "", "BHZ"))[0].value.sensitivity == 598802400.0
    assert table.gains(ChannelId("II", "BFO", "00", "BHZ"))[0].value.sensitivity == 22700900000.0
    assert table.gains(ChannelId("GR", "BFO", "00", "BHZ")) == []


@pytest.mark.real
def test_what_is_metadata_and_what_is_not(real_data: Path) -> None:
    meta = real_data / "metadata"
    kinds = {p.relative_to(meta).as_posix(): metadata_format(p) for p in meta.rglob("*") if p.is_file()}
    assert kinds == {
        "GR.BFO.xml": STATIONXML,
        "IU.ANMO_2010/IUANMO.dataless": DATALESS,
        "IU.ANMO_2010/IUANMO.resp": RESP,
        "IU.ANMO_2010/IUANMO.xml": STATIONXML,
        "gravimeter_stationxml/2Q.AQG.xml": STATIONXML,
        "gravimeter_stationxml/2Q.NTG04.xml": STATIONXML,
        "resp/RESP.IU.ANMO.00.LHZ": RESP,
        "stations_latlon_subset.xml": STATIONXML,
    }
    others = [p for p in real_data.rglob("*") if p.is_file() and meta not in p.parents]
    assert {metadata_format(p) for p in others} == {""}


# --- files that are not whole -----------------------------------------------------------------------------------------


@pytest.mark.real
def test_a_resp_file_cut_off_anywhere_is_refused_or_has_whole_epochs(real_data: Path, tmp_path: Path) -> None:
    text = (real_data / "metadata/resp/RESP.IU.ANMO.00.LHZ").read_text(encoding="latin-1")
    whole = entries(real_data / "metadata/resp/RESP.IU.ANMO.00.LHZ")
    rng = np.random.default_rng(5)
    cut, refused = tmp_path / "RESP.CUT", 0
    for stop in [*rng.integers(200, len(text), 60).tolist(), *range(5600, 6400, 40)]:
        cut.write_text(text[:stop], encoding="latin-1")
        try:
            found = entries(cut)
        except StationError:
            refused += 1
            continue
        assert [(m.sensitivity, m.response) for m in found] == [(m.sensitivity, m.response) for m in whole][
            : len(found)
        ]
    assert refused > 40


@pytest.mark.real
def test_lost_poles_of_a_resp_file_are_missed(real_data: Path, tmp_path: Path) -> None:
    lines = (real_data / "metadata/IU.ANMO_2010/IUANMO.resp").read_text().splitlines(keepends=True)
    path = tmp_path / "RESP.XX"
    path.write_text("".join(line for line in lines if not line.startswith("B053F15-18    4")))
    with pytest.raises(StationError, match=r"epoch from 2008,182,20:00:00\S* has 37 of 38 announced coefficients"):
        read_stationxml(path)


@pytest.mark.real
def test_a_cut_dataless_volume_is_refused(real_data: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.dataless"
    content = (real_data / "metadata/IU.ANMO_2010/IUANMO.dataless").read_bytes()
    for size in (5000, 9000, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(StationError, match=r"dataless SEED.*fetch it again"):
            read_stationxml(path)


def test_a_seed_volume_with_data_is_no_dataless(tmp_path: Path) -> None:
    head = b"000001V 010008402.412".ljust(4096)
    path = tmp_path / "full.seed"
    path.write_bytes(head + b"000002A ".ljust(4096))
    assert metadata_format(path) == DATALESS
    path.write_bytes(head + b"000002A ".ljust(4096) + b"000003D ".ljust(4096))
    assert metadata_format(path) == ""
    assert metadata_format(tmp_path / "absent") == ""


# --- stage by stage ---------------------------------------------------------------------------------------------------


def stage(number: int = 1, **values: Any) -> dict[str, Any]:
    return {
        "stage_sequence_number": number, "stage_gain": 2.0, "stage_gain_frequency": 1.0, "input_units": "M/S",
        "output_units": "V",
    } | values  # fmt: skip


def digital(number: int = 2, **values: Any) -> dict[str, Any]:
    return stage(
        number, decimation_input_sample_rate=100.0, decimation_factor=5, decimation_offset=0, decimation_delay=0.1,
        decimation_correction=0.1,
    ) | values  # fmt: skip


def made(*stages: Any, value: float = 4.0) -> InstrumentResponse:
    total = InstrumentSensitivity(value, 1.0, "M/S", "COUNTS")
    found = describe_response(Response(instrument_sensitivity=total, response_stages=list(stages)))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("symmetry", "full"), [("NONE", [1, 2, 3]), ("EVEN", [1, 2, 3, 3, 2, 1]), ("ODD", [1, 2, 3, 2, 1])]
)
def test_symmetric_filters_are_written_out(symmetry: str, full: list[float]) -> None:
    fir = FIRResponseStage(**digital(), symmetry=symmetry, coefficients=[1.0, 2.0, 3.0])
    (found,) = made(ResponseStage(**stage()), fir).digital
    assert found.numerator == tuple(full)
    assert (found.denominator, found.factor, found.input_rate_hz) == ((1.0,), 5, 100.0)


def test_poles_in_hertz_are_those_in_radians() -> None:
    poles, zeros = [-1 + 2j, -1 - 2j, -3], [0, 0]
    common = {"normalization_frequency": 1.0, "poles": poles, "zeros": zeros, "normalization_factor": 7.0}
    hertz = made(PolesZerosResponseStage(**stage(), pz_transfer_function_type="LAPLACE (HERTZ)", **common))
    f = np.array([0.1, 1.0, 9.0])
    expected = 2 * 7 * (1j * f) ** 2 / np.prod([1j * f - p for p in poles], axis=0)
    np.testing.assert_allclose(at(hertz, f), expected, rtol=1e-12)


def test_a_digital_filter_of_poles_and_zeros() -> None:
    b, a = signal.butter(3, 0.3)
    zeros, poles, gain = signal.tf2zpk(b, a)
    filter_ = PolesZerosResponseStage(
        **digital(), pz_transfer_function_type="DIGITAL (Z-TRANSFORM)", normalization_frequency=0.0,
        normalization_factor=gain, poles=list(poles), zeros=list(zeros[:2]),
    )  # fmt: skip
    (found,) = made(ResponseStage(**stage()), filter_).digital
    f = np.linspace(0.1, 40, 30)
    z = np.exp(2j * np.pi * f / 100.0)
    expected = gain * np.prod([z - c for c in zeros[:2]], axis=0) / np.prod([z - p for p in poles], axis=0)
    _, value = signal.freqz(found.numerator, found.denominator, worN=f, fs=100.0)
    np.testing.assert_allclose(value, expected, rtol=1e-9)


def test_stages_that_only_pass_samples_on_are_left_out() -> None:
    plain = CoefficientsTypeResponseStage(
        **digital(decimation_factor=1, decimation_delay=0.0, decimation_correction=0.0,
                  decimation_input_sample_rate=6.9e-310),
        cf_transfer_function_type="DIGITAL", numerator=[], denominator=[],
    )  # fmt: skip
    assert made(ResponseStage(**stage()), plain).digital == ()


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (PolynomialResponseStage(**stage(), approximation_type="MACLAURIN", frequency_lower_bound=0,
                                 frequency_upper_bound=1, approximation_lower_bound=0, approximation_upper_bound=1,
                                 maximum_error=0, coefficients=[1, 2]), "stage 1 is a Polynomial"),
        (CoefficientsTypeResponseStage(**stage(), cf_transfer_function_type="ANALOG (HERTZ)", numerator=[1, 2],
                                       denominator=[1]), "analogue filter of coefficients"),
        (FIRResponseStage(**digital(1, decimation_input_sample_rate=0.0), symmetry="NONE", coefficients=[1.0, 2.0]),
         "input rate of 0 Hz"),
        (ResponseStage(**stage(stage_gain=float("nan"))), "holds nan where a number is expected"),
    ],
    ids=["polynomial", "analogue", "rate", "nan"],
)  # fmt: skip
def test_what_cannot_be_expressed_is_refused_with_the_stage(bad: Any, reason: str) -> None:
    with pytest.raises(StationError, match=reason):
        made(bad)


def test_a_sensitivity_that_its_gains_contradict_is_remarked() -> None:
    agreeing = made(ResponseStage(**stage(1)), ResponseStage(**stage(2)))
    assert disagreement(agreeing) == ""
    other = made(ResponseStage(**stage(1)), ResponseStage(**stage(2)), value=5.0)
    assert "stated sensitivity 5 is not the product 4 of the gains of its 2 stages" in disagreement(other)
    assert describe_response(Response()) is None


def test_missing_stages_are_found() -> None:
    with pytest.raises(StationError, match="its stages are numbered 1, 3: some are missing"):
        made(ResponseStage(**stage(1)), ResponseStage(**stage(3)))


def test_a_sensor_whose_gains_are_not_all_stated_has_its_sensitivity() -> None:
    found = made(ResponseStage(**stage(1)), ResponseStage(**stage(2, stage_gain=None)), value=5.0)
    assert (found.gains, found.gain, disagreement(found)) == ((), 5.0, "")
