"""The programs that gravdask's scattering transform and its FFT are measured against, each as it runs best.

A peer that cannot be imported is left out with one line that says so.
"""

from __future__ import annotations

import importlib
import math
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.fft
import side_by_side
from numpy.typing import NDArray

from gravdask.scattering import fft

LANES = 16
"""Rows of every Fourier transform measured; gravdask's engine knows no other number."""
TRIAL_SAMPLES = 1 << 16
"""Samples on which layouts of a peer are compared."""
WINDOWS = (2048, 4096, 8192, 16384)
"""Window lengths that kymatio may choose from [samples]."""


class Peer(NamedTuple):
    """A program to be timed.

    Attributes
    ----------
    name
        What it is, and the layout that suits it best.
    samples
        How many samples one run transforms.
    run
        The run.
    """

    name: str
    samples: int
    run: Callable[[], object]


def importable(name: str) -> Any | None:
    """Import a module, or say that it is left out."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        side_by_side.say(f"{name.partition('.')[0]} is left out: {error}")
        return None


def aligned(numbers: int) -> NDArray[np.float32]:
    """Zeros that begin on a cache line, as every engine's own buffers do."""
    raw = np.zeros(numbers + 16, dtype=np.float32)
    begin = (-raw.ctypes.data % 64) // 4
    return raw[begin : begin + numbers]


def _in_batches(transform: Callable[[Any], object], windows: Any, batch: int) -> None:
    """Transform windows (n, samples), a batch at a time."""
    for low in range(0, len(windows), batch):
        transform(windows[low : low + batch])


def _best_layout(make: Callable[[int], Callable[[Any], object]], record: Any, batches: Sequence[int]) -> Any:
    """Fastest of all window lengths and batches: the transform, its window length, its batch."""
    best: tuple[float, Any] = (math.inf, None)
    for length in WINDOWS:
        transform = make(length)
        windows = record[:TRIAL_SAMPLES].reshape(-1, length)
        for batch in batches:
            for _ in range(2):  # the first run of a layout also makes room for it
                begun = time.perf_counter()
                _in_batches(transform, windows, batch)
                best = min(best, (time.perf_counter() - begun, (transform, length, batch)), key=lambda entry: entry[0])
    return best[1]


def kymatio_numpy(J: int, Q: int, T: int, record: NDArray[np.float64], batches: Sequence[int]) -> Peer | None:
    """Kymatio on NumPy, double precision."""
    module = importable("kymatio.scattering1d.frontend.numpy_frontend")
    if module is None:
        return None
    transform, length, batch = _best_layout(lambda n: module.ScatteringNumPy1D(J, n, Q, T), record, batches)
    windows = record.reshape(-1, length)
    name = f"kymatio NumPy, float64, {batch} windows of {length}"
    return Peer(name, record.size, lambda: _in_batches(transform, windows, batch))


def kymatio_torch(J: int, Q: int, T: int, record: NDArray[np.float64], batches: Sequence[int]) -> Peer | None:
    """Kymatio on PyTorch, single precision, one thread of the processor."""
    torch = importable("torch")
    module = importable("kymatio.scattering1d.frontend.torch_frontend") if torch is not None else None
    if torch is None or module is None:
        return None
    torch.set_num_threads(1)
    samples = torch.from_numpy(record.astype(np.float32))

    def make(length: int) -> Callable[[Any], object]:
        network = module.ScatteringTorch1D(J, length, Q, T)

        def transform(windows: Any) -> object:
            with torch.inference_mode():
                return network(windows)

        return transform

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transform, length, batch = _best_layout(make, samples, batches)
    windows = samples.reshape(-1, length)
    name = f"kymatio PyTorch, float32, {batch} windows of {length}"
    return Peer(name, record.size, lambda: _in_batches(transform, windows, batch))


def scatseisnet(record: NDArray[np.float64]) -> Peer | None:
    """scatseisnet's tutorial: 6 octaves of 4 and of 1 wavelets, quality 2, median over 40 s at 50 Hz, no overlap."""
    module = importable("scatseisnet")
    if module is None:
        return None
    layers = ({"octaves": 6, "resolution": 4, "quality": 2}, {"octaves": 6, "resolution": 1, "quality": 2})
    network = module.ScatteringNetwork(*layers, bins=2000, sampling_rate=50.0)
    segments = record[: record.size // 2000 * 2000].reshape(-1, 1, 2000)
    # it writes into what it is given
    run = lambda: network.transform(segments.copy(), reduce_type=np.median)  # noqa: E731
    return Peer("scatseisnet, float64, segments of 2000", segments.size, run)


def _gravdask_fft(bins: int) -> Callable[[], object]:
    """gravdask's own, in place; zeros, because unscaled transforms of a buffer again and again overflow."""
    buffer = aligned(2 * bins * LANES)
    factors, begins = fft.twiddles(bins)
    return lambda: fft.inverse(buffer, 0, bins, factors, begins)


def _scipy_fft(bins: int) -> Callable[[], object]:
    """SciPy's pocketfft."""
    rows = _rows(bins)
    return lambda: scipy.fft.ifft(rows, axis=-1, norm="forward", workers=1)


def _fftw(bins: int) -> Callable[[], object] | None:
    """FFTW with a measured plan."""
    module = importable("pyfftw")
    if module is None:
        return None
    source, target = (module.empty_aligned((LANES, bins), dtype="complex64") for _ in range(2))
    planned = module.FFTW(
        source, target, axes=(1,), direction="FFTW_BACKWARD", flags=("FFTW_MEASURE",), threads=1, normalise_idft=False
    )
    source[:] = _rows(bins)
    run: Callable[[], object] = planned.execute
    return run


def _mkl_fft(bins: int) -> Callable[[], object] | None:
    """Intel's MKL through mkl_fft."""
    module = importable("mkl_fft")
    if module is None:
        return None
    rows, target = _rows(bins), np.empty((LANES, bins), dtype=np.complex64)
    return lambda: module.ifft(rows, axis=-1, norm="forward", out=target)


def _rows(bins: int) -> NDArray[np.complex64]:
    """Noise, shape (LANES, bins)."""
    parts = np.random.default_rng(bins).standard_normal((2, LANES, bins), dtype=np.float32)
    rows: NDArray[np.complex64] = (parts[0] + 1j * parts[1]).astype(np.complex64)
    return rows


def fft_speeds(lengths: Sequence[int], runs: int, seconds: float) -> dict[int, dict[str, float]]:
    """Million points a second of inverse complex64 transforms of sixteen rows, by length and by library.

    Parameters
    ----------
    lengths
        Bins of a row.
    runs
        Timings of which the median is taken.
    seconds
        Time that one timing takes, about; transforms are repeated until it is filled.
    """
    makers = {"gravdask": _gravdask_fft, "SciPy": _scipy_fft, "pyFFTW": _fftw, "mkl_fft": _mkl_fft}
    found: dict[int, dict[str, float]] = {}
    for bins in lengths:
        repeated: dict[str, Callable[[], object]] = {}
        counts: dict[str, int] = {}
        for name in list(makers):
            transform = makers[name](bins)
            if transform is None:
                del makers[name]
                continue
            transform()
            begun = time.perf_counter()
            transform()
            counts[name] = max(round(seconds / (time.perf_counter() - begun)), 1)
            repeated[name] = _repeat(transform, counts[name])
        times = side_by_side.medians(repeated, runs)
        found[bins] = {name: LANES * bins * counts[name] / times[name] / 1e6 for name in times}
    return found


def _repeat(function: Callable[[], object], count: int) -> Callable[[], object]:
    """Call a function so many times."""

    def run() -> None:
        for _ in range(count):
            function()

    return run
