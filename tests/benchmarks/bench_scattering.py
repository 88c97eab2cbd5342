"""gravdask's scattering transform beside kymatio and scatseisnet: speed, memory, error; see README.md."""

from __future__ import annotations

import argparse
import importlib
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent))
import side_by_side

side_by_side.one_thread()

import numpy as np  # noqa: E402
import scattering_peers as peers  # noqa: E402
import scattering_tally  # noqa: E402
import scattering_workers as workers  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from gravdask.scattering import ScatteringNetwork  # noqa: E402

Record = NDArray[np.float64]

PACKAGES = ("gravdask", "numpy", "scipy", "numba", "kymatio", "torch", "scatseisnet", "pyfftw", "mkl_fft")
NETWORK_SAMPLES = round(80 * 10 * 365.25 * 86400)
"""80 stations, ten years, one sample a second."""
YEAR = round(365.25 * 86400)
LOUD = 1e-6
"""Share of a path's maximum above which logarithms are compared."""


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    Attributes
    ----------
    runs
        Interleaved runs whose median is taken.
    record, long_record, peer_record, noise
        Lengths of records [samples]: of the rows beside peers, of the long rows, of what peers transform (their windows
        know nothing of each other, so that a part gives their speed), of the noise that errors are measured on.
    batches
        Windows at a time that kymatio may choose from.
    pairs, seconds
        Pairs of processes, and how long each runs.
    memory
        Record that the peak memory is measured on [samples].
    around
        Samples of the earthquake's record on each side of its peak.
    fft_seconds
        Time one timing of a Fourier transform takes.
    """

    runs: int = 7
    record: int = 1 << 20
    long_record: int = 1 << 22
    peer_record: int = 1 << 18
    noise: int = 1 << 19
    batches: tuple[int, ...] = (1, 8, 32)
    pairs: int = 5
    seconds: float = 5.0
    memory: int = YEAR
    around: int = 1 << 40
    fft_seconds: float = 0.05


QUICK = Scale(1, 1 << 20, 1 << 21, 1 << 16, 1 << 18, (8,), 1, 1.5, 1 << 22, 1 << 17, 0.01)


def lowpass(J: int, T: int, Q: int = 8) -> ScatteringNetwork:
    """Kymatio's transform."""
    return ScatteringNetwork(1.0, J, Q, T=T, pooling="lowpass")


def transform(network: ScatteringNetwork, record: Record) -> Any:
    """Transform a whole record as a user does, in this thread."""
    return network.transform_record(record).compute(scheduler="synchronous")


def great_earthquake() -> Record | None:
    """Ten days of 1 Hz around the M9.1 of 2011-03-11, F-net station NAA; None without the real records."""
    root = os.environ.get("GRAVDASK_TEST_DATA")
    if not root:
        side_by_side.say("The M9.1 record is left out: GRAVDASK_TEST_DATA is not set")
        return None
    path = Path(root) / "seismic" / "fnet_lhz_acc_sac" / "NAA.LHZ.03.06.15.sac"
    order = "<" if np.fromfile(path, "<i4", count=1, offset=4 * 76)[0] == 6 else ">"
    return np.fromfile(path, f"{order}f4", offset=632).astype(np.float64)


# ---- speed ----------------------------------------------------------------------------------------------------------


class Row(NamedTuple):
    """A line of the table of speeds: what, relative to which other line."""

    peer: peers.Peer
    base: str


def speed_rows(scale: Scale, quake: Record | None) -> dict[str, Row]:
    """Everything that is timed, by a short key."""
    rng = np.random.default_rng(0)
    record = np.cumsum(rng.standard_normal(scale.record)) * 0.01 + rng.standard_normal(scale.record)
    long = rng.standard_normal(scale.long_record)
    part = record[: scale.peer_record]
    default, steinmann = ScatteringNetwork.from_preset("gravity-1s"), ScatteringNetwork.from_preset("steinmann2022")

    def ours(name: str, network: ScatteringNetwork, samples: Record) -> peers.Peer:
        return peers.Peer(f"gravdask, {name}", samples.size, lambda: transform(network, samples))

    found: dict[str, tuple[peers.Peer | None, str]] = {
        "kymatio": (peers.kymatio_numpy(8, 8, 256, part, scale.batches), "kymatio"),
        "torch": (peers.kymatio_torch(8, 8, 256, part, scale.batches), "kymatio"),
        "lowpass": (ours("J=8 Q=8 T=256 low-pass", lowpass(8, 256), record), "kymatio"),
        "lowpass beside torch": (ours("the same", lowpass(8, 256), record), "torch"),
        "mean": (ours("the default: J=8 Q=8 T=4096 mean", default, long), "kymatio"),
        "scatseisnet": (peers.scatseisnet(part), "scatseisnet"),
        "steinmann": (_of_segment("preset steinmann2022, a segment", steinmann, long), "scatseisnet"),
        "steinmann record": (ours("the same, long record", steinmann, long), "scatseisnet"),
        "J=8": (ours("J=8 Q=8 T=256 low-pass, long record", lowpass(8, 256), long), "J=8"),
        "J=10": (ours("J=10 Q=8 T=1024 low-pass, long record", lowpass(10, 1024), long), "J=8"),
        "J=12": (ours("J=12 Q=8 T=4096 low-pass, long record", lowpass(12, 4096), long), "J=8"),
    }
    if quake is not None:
        found["quake"] = ours("J=8 Q=8 T=256 low-pass, M9.1 record", lowpass(8, 256), quake), "J=8"
    if found["torch"][0] is None:
        del found["lowpass beside torch"]
    return {key: Row(peer, base) for key, (peer, base) in found.items() if peer is not None}


def _of_segment(name: str, network: ScatteringNetwork, record: Record) -> peers.Peer:
    """One segment in memory, as peers have theirs."""
    window = record[: network.window_samples]
    return peers.Peer(f"gravdask, {name}", network.segment_samples, lambda: network.transform_window(window))


def measure_speed(scale: Scale, quake: Record | None) -> dict[str, float]:
    """Print the table of speeds; give them back [samples/s]."""
    rows = speed_rows(scale, quake)
    timed = {key: row.peer.run for key, row in rows.items() if key != "lowpass beside torch"}
    seconds = side_by_side.timings(timed, scale.runs)
    seconds["lowpass beside torch"] = seconds["lowpass"]
    speeds = {key: row.peer.samples / statistics.median(seconds[key]) for key, row in rows.items()}
    lines = []
    for key, row in rows.items():
        times, base = "-", "" if row.base == key else row.base
        if row.base in rows:
            samples = row.peer.samples / rows[row.base].peer.samples
            times = f"{samples * side_by_side.ratio(seconds[row.base], seconds[key]):.2f}"
            base = base and rows[row.base].peer.name
        lines.append((row.peer.name, f"{speeds[key] / 1e6:.3f}", times, base))
    side_by_side.table(("Speed on one core", "Msample/s", "times", "of"), lines)
    return speeds


# ---- share of the FFT -----------------------------------------------------------------------------------------------


def measure_fft_share(scale: Scale) -> None:
    """Print how much of a window's time its Fourier transforms alone do not take."""
    lines = []
    for name, network in (
        ("T=256 low-pass", lowpass(8, 256)),
        ("T=4096 mean", ScatteringNetwork.from_preset("gravity-1s")),
    ):
        window = np.random.default_rng(1).standard_normal(network.window_samples)
        network.transform_window(window)
        tally = scattering_tally.tally_of(network, window)
        seconds = side_by_side.timings({"window": _windowed(network, window), "fft": tally.replay()}, 3 * scale.runs)
        points = peers.LANES * sum(bins for _, bins in tally.own) / 1e6
        counts = f"{len(tally.own)} + {len(tally.scipy)}"
        outside = f"{1 - side_by_side.ratio(seconds['fft'], seconds['window']):.1%}"
        times = (f"{1e3 * statistics.median(seconds[key]):.0f}" for key in ("window", "fft"))
        lines.append((f"J=8 Q=8 {name}", counts, f"{points:.0f}", *times, outside))
    heads = ("Time outside the FFTs", "own FFTs + SciPy's", "own Mpoint", "window [ms]", "FFTs alone [ms]", "outside")
    side_by_side.table(heads, lines)


def _windowed(network: ScatteringNetwork, window: Record) -> Callable[[], object]:
    """Transform a window when called."""
    return lambda: network.transform_window(window)


# ---- processes and memory -------------------------------------------------------------------------------------------


def measure_processes(scale: Scale, speeds: dict[str, float]) -> None:
    """Print what a second process adds, and how long a network of stations takes."""
    found = workers.gains(scale.pairs, scale.seconds)
    lines = [
        ("transforming, T=4096 mean", f"{found.transform:.2f}"),
        ("plain integer loops", f"{found.loop:.2f}"),
        ("share of the plain gain", f"{found.share:.1%}"),
    ]
    side_by_side.table(("Two processes against one", "gain"), lines)
    for key, name in (("mean", "T=4096 mean"), ("J=8", "T=256 low-pass")):
        hours = NETWORK_SAMPLES / speeds[key] / 3600
        side_by_side.say(
            f"80 stations x 10 years at 1 Hz, J=8 Q=8 {name}: {hours:.2f} h on one core, "
            f"{hours / found.transform:.2f} h on two ({speeds[key] / 1e6:.3f} Msample/s a core)"
        )
    side_by_side.say()


def measure_memory(scale: Scale) -> None:
    """Print the peak memory of a year."""
    found = workers.peak_memory(scale.memory)
    lines = [
        ("imported", f"{found['imported']:.0f}"),
        ("peak", f"{found['peak']:.0f}"),
        ("peak less imported", f"{found['peak'] - found['imported']:.0f}"),
    ]
    side_by_side.table((f"Memory, {scale.memory / 1e6:.1f} Msample, T=4096 mean", "MiB"), lines)
    side_by_side.say(
        f"That took {found['seconds']:.1f} s with the making of the noise; {found['frames']} whole frames.\n"
    )


# ---- error ----------------------------------------------------------------------------------------------------------


class Piece(NamedTuple):
    """Kymatio's coefficients of consecutive frames."""

    first_frame: int
    values: NDArray[np.float64]


def kymatio_frames(network: ScatteringNetwork, record: Record, length: int) -> Iterator[Piece]:
    """Kymatio in double precision on windows of a power of two, without the frames that feel the windows' ends."""
    frontend = importlib.import_module("kymatio.scattering1d.frontend.numpy_frontend")
    peer = frontend.ScatteringNumPy1D(network.J, length, network.Q[0], network.T)
    step = network.frame_samples
    margin = -(-network.halo // step)
    kept = length // step - 2 * margin
    for begin in range(0, record.size - length + 1, kept * step):
        values = peer(record[begin : begin + length])
        yield Piece(begin // step + margin, values[:, margin : margin + kept])


class Worst(NamedTuple):
    """The largest difference, and where it is."""

    size: float
    path: int
    frame: int


def _worst(differences: NDArray[np.float64], frames: NDArray[np.intp]) -> Worst:
    """Find the largest difference."""
    path, column = np.unravel_index(int(np.argmax(differences)), differences.shape)
    return Worst(float(differences[path, column]), int(path), int(frames[column]))


def differences(network: ScatteringNetwork, record: Record, length: int) -> tuple[Worst, Worst, int]:
    """Largest difference from kymatio: relative to each path's maximum, and of log S; number of frames compared."""
    ours = transform(network, record)
    pieces = list(kymatio_frames(network, record, length))
    expected = np.concatenate([p.values for p in pieces], axis=1)
    frames = np.concatenate([p.first_frame + np.arange(p.values.shape[1]) for p in pieces])
    found = ours["coefficients"].values[:, frames - int(ours["frame"][0])].astype(np.float64)
    largest = np.abs(expected).max(axis=1, keepdims=True)
    relative = np.nan_to_num(np.abs(found - expected) / largest, nan=np.inf)
    loud = expected > LOUD * largest
    loud[0] = False  # order 0 has a sign
    logarithmic = np.zeros(expected.shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        logarithmic[loud] = np.nan_to_num(np.abs(np.log(found[loud] / expected[loud])), nan=np.inf)
    return _worst(relative, frames), _worst(logarithmic, frames), frames.size


def measure_errors(scale: Scale, quake: Record | None) -> None:
    """Print the error on white noise and on the earthquake's record."""
    if peers.importable("kymatio.scattering1d.frontend.numpy_frontend") is None:
        return
    records = {"white noise": np.random.default_rng(3).standard_normal(scale.noise)}
    if quake is not None:
        peak = int(np.argmax(np.abs(quake)))
        records["M9.1"] = quake[max(peak - scale.around, 0) : peak + scale.around]
    networks = {"J=8 T=256": (lowpass(8, 256), 1 << 17), "J=10 T=1024": (lowpass(10, 1024), 1 << 17)}
    if scale.noise >= 1 << 19:
        networks["J=12 T=4096"] = lowpass(12, 4096), 1 << 18
    lines = []
    for name, record in records.items():
        for parameters, (network, length) in networks.items():
            relative, logarithmic, frames = differences(network, record, length)
            places = [f"{w.size:.1e} (path {w.path}, frame {w.frame})" for w in (relative, logarithmic)]
            lines.append((f"{name}, {parameters}", str(frames), *places))
    heads = ("Largest difference from kymatio, float64", "frames", "of the path's maximum", "of log S")
    side_by_side.table(heads, lines)


# ---- FFT ------------------------------------------------------------------------------------------------------------


def measure_fft(scale: Scale) -> None:
    """Print the speed of Fourier transforms."""
    speeds = peers.fft_speeds((1024, 2048, 4096, 8192, 16384), max(scale.runs, 3), scale.fft_seconds)
    names = list(next(iter(speeds.values())))
    lines = [(str(bins), *(f"{found[name]:.0f}" for name in names)) for bins, found in speeds.items()]
    side_by_side.table(("16 inverse complex64 FFTs [Mpoint/s]", *names), lines)


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute instead of some; its figures mean little")
    scale = QUICK if parser.parse_args().quick else Scale()
    warnings.filterwarnings("ignore", message="Signal support is too small", category=UserWarning)
    begun = time.perf_counter()
    side_by_side.say(side_by_side.machine(PACKAGES))
    quake = great_earthquake()
    side_by_side.say()
    speeds = measure_speed(scale, quake)
    measure_fft_share(scale)
    measure_processes(scale, speeds)
    measure_memory(scale)
    measure_errors(scale, quake)
    measure_fft(scale)
    side_by_side.say(f"All this took {time.perf_counter() - begun:.0f} s.")


if __name__ == "__main__":
    main()
