"""The built-in tide: sign, size, invariance, and four independent predictions by other programs."""

from __future__ import annotations

import csv
import sys
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gravdask.errors import PreprocessError
from gravdask.preprocess import ephemeris, eterna, tides
from gravdask.preprocess.tides import tide, tide_at_nodes

SECOND = 10**9
BASE = 1_623_000_007 * SECOND


def seconds(stamps: list[str]) -> np.ndarray:
    """UTC times, any ISO form, as seconds since 1970."""
    return np.array([int(datetime.fromisoformat(s).replace(tzinfo=UTC).timestamp()) for s in stamps], dtype=np.int64)


def scatter(observed: np.ndarray, model: np.ndarray) -> float:
    """Root mean square of the difference, a constant (permanent tide, datum) put aside."""
    return float(np.std(observed - model))


def test_gravity_is_least_with_the_moon_overhead() -> None:
    times = BASE + np.arange(0, 86400 * 2, 600, dtype=np.int64) * SECOND
    t = (times / 1e9 - ephemeris.J2000_UNIX_SECONDS) / ephemeris.CENTURY_SECONDS
    longitude, latitude, _ = ephemeris.moon(t)
    x, y, _ = ephemeris.equatorial(longitude, latitude, ephemeris.obliquity(t))
    hour_angle = (ephemeris.sidereal_time(times // SECOND) - np.arctan2(y, x) + np.pi) % (2 * np.pi) - np.pi
    overhead = int(np.argmin(np.abs(hour_angle)))
    value = tide(times, 0.0, 0.0)
    assert value[overhead] < -500
    assert value[overhead] == pytest.approx(value[max(overhead - 12, 0) : overhead + 12].min(), rel=0.1)


def test_attraction_equals_its_expansion_in_legendre_polynomials() -> None:
    gm, radius, distance = tides.GM_MOON, 6.371e6, 3.8e8
    psi = np.linspace(0, np.pi, 37)
    direction = (np.cos(psi), np.sin(psi), np.zeros_like(psi))
    exact = tides._body(gm, direction, np.full(37, distance), (radius, 0.0, 0.0), (1.0, 0.0, 0.0))
    ratio = radius / distance
    expansion = sum(
        n * ratio ** (n - 1) * np.polynomial.legendre.Legendre.basis(n)(np.cos(psi)) for n in range(2, 8)
    ) * (gm / distance**2)
    np.testing.assert_allclose(exact, expansion, atol=1e-15)  # 1e-6 nm s⁻²


def test_interpolation_adds_nothing_that_matters() -> None:
    times = np.arange(1_600_000_000, 1_600_000_000 + 5 * 86400, 37, dtype=np.int64)
    direct = tide_at_nodes(times, 48.2, 16.4, 150.0)
    assert np.abs(tide(times * SECOND, 48.2, 16.4, 150.0) - direct).max() < 1e-5


def test_nodes_themselves_are_hit() -> None:
    nodes = np.arange(1_600_000_200, 1_600_000_200 + 86400, 600, dtype=np.int64)
    np.testing.assert_allclose(tide(nodes * SECOND, 10.0, 20.0), tide_at_nodes(nodes, 10.0, 20.0, 0.0), atol=1e-9)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 399_999), st.integers(1, 200_000), st.sampled_from([1.0, 0.1, 60.0]))
def test_a_sample_has_the_same_bits_in_every_span(start: int, length: int, interval: float) -> None:
    times = BASE + np.arange(400_000, dtype=np.int64) * int(interval * SECOND)
    part = slice(start, min(start + length, 400_000))
    whole = tide(times[start // 2 :], 34.0, 117.0, 160.0)[start - start // 2 :][: part.stop - part.start]
    assert np.array_equal(tide(times[part], 34.0, 117.0, 160.0), whole)


def test_order_of_times_does_not_matter() -> None:
    times = BASE + np.arange(5000, dtype=np.int64) * 77 * SECOND
    shuffled = np.random.default_rng(1).permutation(5000)
    assert np.array_equal(tide(times[shuffled], -20.0, -70.0), tide(times, -20.0, -70.0)[shuffled])


def test_no_times_give_no_values() -> None:
    assert tide(np.empty(0, dtype=np.int64), 0.0, 0.0).shape == (0,)


def test_principal_lines_have_the_amplitudes_of_the_tidal_catalogue() -> None:
    """Main lines of Doodson's catalogue times his constant, 2.6277 m² s⁻², at latitude 45.

    Over two turns of the Moon's node (37.2 years) a Hann window separates each line from its nodal neighbours.
    """
    hours = np.arange(0.0, 2 * 18.613 * 365.25 * 24, 3)
    values = tide_at_nodes((hours * 3600).astype(np.int64) + 315_532_800, 45.0, 0.0, 0.0)
    values = (values - values.mean()) * np.hanning(hours.size)
    geocentric = np.arctan((1 - tides.FLATTENING) ** 2)
    radius = 6_367_490.0
    scale = 2e9 * 2.6277 * radius / 6_371_000.0**2
    lines = {  # speed [degree/hour], coefficient
        "M2": (28.9841042, 0.90809, 2),
        "S2": (30.0000000, 0.42248, 2),
        "N2": (28.4397295, 0.17386, 2),
        "O1": (13.9430356, 0.37694, 1),
        "K1": (15.0410686, 0.53011, 1),
        "P1": (14.9589314, 0.17543, 1),
        "Q1": (13.3986609, 0.07217, 1),
    }
    for name, (speed, coefficient, kind) in lines.items():
        turned = np.exp(-1j * np.deg2rad(speed) * hours)
        amplitude = 2 * abs(np.sum(values * turned)) / (0.5 * hours.size)
        # Along the ellipsoid's normal, which leans from the radius by the difference of the two latitudes.
        lean = np.pi / 4 - geocentric
        geodetic, slope = np.sin(2 * geocentric), 2 * np.cos(2 * geocentric)
        if kind == 2:
            geodetic, slope = np.cos(geocentric) ** 2, -np.sin(2 * geocentric)
        expected = scale * coefficient * (geodetic + lean * slope / 2)
        assert amplitude == pytest.approx(expected, rel=1e-3), name


def species(unix: np.ndarray, latitude: float, longitude: float, elevation: float, *edges: float) -> np.ndarray:
    """The tide split into bands between edges [cycles per day], and a constant, shape (n, bands + 1)."""
    margin = 120 * 86400
    nodes = np.arange(unix[0] // 600 * 600 - margin, unix[-1] + margin, 600)
    values = tide_at_nodes(nodes, latitude, longitude, elevation)
    window = np.hanning(nodes.size)  # close to one over the span wanted, in the middle
    spectrum = np.fft.rfft((values - values.mean()) * window)
    cycles = np.fft.rfftfreq(nodes.size, 600) * 86400
    bands = [
        np.fft.irfft(spectrum * ((cycles >= low) & (cycles < high)), nodes.size) / np.maximum(window, 1e-9)
        for low, high in pairwise(edges)
    ]
    return np.column_stack([*(np.interp(unix, nodes, band) for band in bands), np.ones(unix.size)])


# Edges of ETGTAB's wave groups [cycles per day], between the main waves of neighbouring groups.
ETGTAB_EDGES = {
    "LONG": (0.0, 0.5),
    "Q1": (0.5, 0.911),
    "O1": (0.911, 0.947),
    "M1": (0.947, 0.981),
    "P1K1": (0.981, 1.024),
    "J1": (1.024, 1.058),
    "OO1": (1.058, 1.4),
    "2N2": (1.4, 1.880),
    "N2": (1.880, 1.914),
    "M2": (1.914, 1.950),
    "L2": (1.950, 1.985),
    "S2K2": (1.985, 2.4),
    "M3": (2.4, 3.4),
    "M4": (3.4, 4.4),
}


def group(unix: np.ndarray, *place: float) -> np.ndarray:
    """Waves between two frequencies [cycles per day] of the tide, times a factor and with a phase lead [degree].

    ``place``: latitude, longitude, elevation, low, high, factor, lead. Half a year on either side keeps groups apart.
    """
    latitude, longitude, elevation, low, high, factor, lead = place
    margin = 180 * 86400
    nodes = np.arange(unix[0] // 600 * 600 - margin, unix[-1] + margin, 600)
    values = tide_at_nodes(nodes, latitude, longitude, elevation)
    window = np.hanning(nodes.size)
    spectrum = np.fft.rfft((values - values.mean()) * window)
    cycles = np.fft.rfftfreq(nodes.size, 600) * 86400
    chosen = spectrum * ((cycles >= low) & (cycles < high)) * factor * np.exp(1j * np.deg2rad(lead))
    return np.interp(unix, nodes, np.fft.irfft(chosen, nodes.size) / np.maximum(window, 1e-9))


class TestPygtide:
    """ETERNA through pygtide, where it is installed."""

    def test_a_missing_package_is_named_with_its_cure(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pygtide", None)
        eterna._block.cache_clear()
        with pytest.raises(PreprocessError, match=r"pygtide cannot be loaded.*gravdask\[tides\].*builtin"):
            tide(np.array([BASE]), 30.0, 100.0, 0.0, "pygtide")

    def test_an_unknown_model_is_refused(self) -> None:
        with pytest.raises(PreprocessError, match=r"'longman'; expected one of builtin, pygtide"):
            tide(np.array([BASE]), 30.0, 100.0, 0.0, "longman")  # type: ignore[arg-type]

    @pytest.mark.real
    def test_it_gives_what_it_gave(self, real_data: Path) -> None:
        pytest.importorskip("pygtide")
        unix, eterna_tide = TestReferences().pygtide(real_data)
        found = tide(unix * SECOND, 33.98, 116.79, 30.0, "pygtide")
        assert np.abs(found - eterna_tide).max() < 0.1

    def test_it_and_the_built_in_tide_agree_to_a_microgal(self) -> None:
        pytest.importorskip("pygtide")
        times = BASE + np.arange(0, 60 * 86400, 613, dtype=np.int64) * SECOND
        for place in ((33.98, 116.79, 30.0), (-22.0, 292.0, 4000.0), (70.0, 20.0, 0.0)):
            assert scatter(tide(times, *place, "pygtide"), tide(times, *place)) < 10

    def test_a_sample_has_the_same_bits_in_every_span(self) -> None:
        pytest.importorskip("pygtide")
        times = BASE + np.arange(100_000, dtype=np.int64) * 60 * SECOND
        whole = tide(times, 34.0, 117.0, 160.0, "pygtide")
        assert np.isfinite(whole).all()
        eterna._block.cache_clear()
        for part in (slice(0, 1), slice(46_000, 47_000), slice(99_990, None)):
            assert np.array_equal(tide(times[part], 34.0, 117.0, 160.0, "pygtide"), whole[part])

    def test_places_beyond_its_reach_are_refused(self) -> None:
        pytest.importorskip("pygtide")
        with pytest.raises(PreprocessError, match=r"heights of -500 to 5000 m.*6200"):
            tide(np.array([BASE]), 30.0, 80.0, 6200.0, "pygtide")


@pytest.mark.real
class TestReferences:
    """Other programs' predictions. A rigid-Earth tide times about 1.16 is an elastic one."""

    def pygtide(self, root: Path) -> tuple[np.ndarray, np.ndarray]:
        with (root / "reference/tides/pygtide_334_first7days_600s.csv").open() as file:
            rows = list(csv.DictReader(file))
        # "Tide" is the lunisolar tide; "Signal" adds pole tide and length of day, -82.5 nm s⁻² here.
        return seconds([row["UTC"][:19] for row in rows]), np.array([float(row["Tide [nm/s**2]"]) for row in rows])

    def test_eterna(self, real_data: Path) -> None:
        unix, eterna = self.pygtide(real_data)
        model = tide(unix * SECOND, 33.98, 116.79, 30.0)
        assert scatter(eterna, model) < 10
        assert np.mean(eterna - model) == pytest.approx(0.0, abs=1.0)  # both hold the permanent tide

    def test_eterna_by_wave_groups(self, real_data: Path) -> None:
        """ETERNA scales each wave by its body-tide factor over that of its group's main wave (M2 here), unless told not
        to (IRIGID). Its K1 group is therefore 1.1345/1.159 = 0.979 of a rigid Earth's, its third degree 1.073/1.159 =
        0.926; apart from such factors the two agree to better than 1 nm s⁻².
        """
        unix, eterna = self.pygtide(real_data)
        design = species(unix, 33.98, 116.79, 30.0, 0, 0.5, 0.965, 1.5, 2.5, 3.5)
        factor = np.linalg.lstsq(design, eterna, rcond=None)[0]
        assert factor[1] == pytest.approx(1.155 / 1.159, abs=0.004)
        assert factor[2] == pytest.approx(1.1345 / 1.159, abs=0.003)
        assert factor[3] == pytest.approx(1.0, abs=0.002)
        assert factor[4] == pytest.approx(1.073 / 1.159, abs=0.005)
        assert scatter(eterna, design @ factor) < 1

    def test_gmetrology(self, real_data: Path) -> None:
        rows = np.genfromtxt(
            real_data / "reference/snm_gmetrology/theory_tide_part1_first7days.csv", delimiter=",", skip_header=1
        )
        local = [f"{y:04d}-{m:02d}-{d:02d}T{h:02d}:{i:02d}:{s:02d}" for y, m, d, h, i, s in rows[:, :6].astype(int)]
        model = 1.16 * tide((seconds(local) - 8 * 3600) * SECOND, 33.98, 116.79, 160.0)
        assert scatter(10 * rows[:, 6], model) < 2  # it works in µGal, truncated
        assert np.polyfit(model, 10 * rows[:, 6], 1)[0] == pytest.approx(1.0, abs=0.001)

    def test_tsoft(self, real_data: Path) -> None:
        rows = np.loadtxt(real_data / "gravimeter/tsoft_tsf/l230406.TSF", skiprows=29)
        stamps = [f"{y:04d}-{m:02d}-{d:02d}T{h:02d}:{i:02d}:{s:02d}" for y, m, d, h, i, s in rows[:, :6].astype(int)]
        model = tide(seconds(stamps) * SECOND, 48.2197, 16.3742, 152.0)
        assert scatter(rows[:, 7], 1.16 * model) < 10
        assert np.polyfit(model, rows[:, 7], 1)[0] == pytest.approx(1.154, abs=0.003)

    def test_column_of_a_cg5(self, real_data: Path) -> None:
        """The instrument's own correction (Longman's formula times 1.16, to the µGal) is the tide with minus sign."""
        lines = (real_data / "gravimeter/scintrex_cg5/l230406.TXT").read_text(encoding="latin-1").splitlines()
        rows = [line.removeprefix("#").split() for line in lines if line.startswith(("# ", "48"))]
        assert len(rows) == 3240
        column = 1e4 * np.array([float(row[8]) for row in rows])
        unix = seconds([f"{row[14].replace('/', '-')}T{row[11]:0>8}" for row in rows])
        model = tide(unix * SECOND, 48.2197, 16.3742, 152.0)
        assert np.polyfit(model, -column, 1)[0] == pytest.approx(1.16, abs=0.02)
        assert scatter(-column, 1.16 * model) < 10  # 8.0, of which 2.9 are the rounding to 1 µGal

    def test_etgtab_with_regional_factors(self, real_data: Path) -> None:
        """ETGTAB's file uses factors observed in the Black Forest (M2 1.184 with a phase of 2 degrees)."""
        with (real_data / "reference/tides/etgtab/YorkU.csv").open() as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        unix = seconds([row["DateTime_UTC"][:19] for row in rows])
        observed = np.array([float(row["Vertical_Acceleration"]) for row in rows])
        design = species(unix, 43.7733, 79.5064, 200.0, 0, 0.5, 1.5, 2.5, 3.5)
        factor = np.linalg.lstsq(design, observed, rcond=None)[0]
        assert factor[1] == pytest.approx(1.1397, abs=0.006)  # P1K1 1.1349, O1 1.1464
        assert factor[2] == pytest.approx(1.184, abs=0.004)
        assert scatter(observed, 1.16 * tide(unix * SECOND, 43.7733, 79.5064, 200.0)) < 18

    def test_etgtab_with_its_own_factors(self, real_data: Path) -> None:
        """With the amplitude factors and phases that ETGTAB was given (its print-out), wave group by wave group."""
        lines = (real_data / "reference/tides/etgtab/ETGTAB.PRN").read_text().splitlines()
        rows = [words for line in lines if len(words := line.split()) == 8 and words[5] in ETGTAB_EDGES]
        assert len(rows) == 14
        with (real_data / "reference/tides/etgtab/YorkU.csv").open() as file:
            table = list(csv.DictReader(file, delimiter="\t"))
        unix = seconds([row["DateTime_UTC"][:19] for row in table])
        observed = np.array([float(row["Vertical_Acceleration"]) for row in table])
        model = np.zeros(unix.size)
        for words in rows:
            low, high = ETGTAB_EDGES[words[5]]
            model += group(unix, 43.7733, 79.5064, 200.0, low, high, float(words[3]), float(words[4]))
        assert scatter(observed, model) < 10
        assert np.polyfit(model, observed, 1)[0] == pytest.approx(1.0, abs=0.005)
