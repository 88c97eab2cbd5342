"""Peaks in predicted windows: read together, they are what every window gives by itself."""

from __future__ import annotations

import numpy as np
import pytest

from gravdask.config import build_config
from gravdask.pipeline import run
from gravdask.progress import Progress
from gravdask.simulate import simulate_network
from gravdask.stages.base import Context
from gravdask.stages.channels import RecordReader
from gravdask.stages.interpret import window_peaks
from gravdask.store.ledger import Ledger
from gravdask.store.place import place_of

DAYS = 150
"""Three chunks of samples a minute."""


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> list[RecordReader]:
    """Readers of two gravimeters with air pressure, gaps and an estimate of tide, drift and admittance."""
    folder = tmp_path_factory.mktemp("peaks")
    network = simulate_network(folder, stations=2, days=DAYS, rate=1 / 60)
    config = build_config(
        {
            "archive": {"paths": [str(network.archive)], "stations": str(network.station_xml)},
            "store": {"path": str(folder / "x.zarr")},
            "cluster": {"kind": "serial"},
        }
    )
    run(config, stages=("convert", "calibrate"))
    place = place_of(config)
    context = Context(config, Ledger(place / "ledger"), Progress())
    context.reload()
    return [context.reader(c) for c in context.signals()]


def test_windows_read_together_have_the_peaks_of_each(readers: list[RecordReader]) -> None:
    rng = np.random.default_rng(3)
    for reader in readers:
        grid, (first, last) = reader.channel.grid, reader.channel.extent
        begin_ns, end_ns = grid.time_ns(first), grid.time_ns(last - 1)
        start = rng.integers(begin_ns - 86_400 * 10**9, end_ns + 86_400 * 10**9, 80)
        length = rng.integers(0, 12 * 3600, 80) * 10**9  # some overlap, some lie beyond the record
        length[:5] = 0
        spans = [(f"e{k}", int(s), int(s + n)) for k, (s, n) in enumerate(zip(start, length, strict=True))]
        expected = {}
        for event, begin, end in spans:
            values = reader.residual(grid.locate(begin)[0], grid.locate(end)[0])
            values = values[np.isfinite(values)]
            if values.size:
                expected[event] = float(np.max(np.abs(values - np.median(values))))
        found = window_peaks((reader, spans))
        assert found == expected
        assert 60 < len(found) < 78


def test_a_channel_without_windows_has_no_peaks(readers: list[RecordReader]) -> None:
    assert window_peaks((readers[0], [])) == {}
