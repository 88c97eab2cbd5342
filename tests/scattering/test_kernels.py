"""Compiled kernels as such: their vectors, cache and threads, the memory they use again, and numbers of every kind.

What must not show in any value: where machine code comes from, what a thread transformed before, and how the samples of
a window lie in memory.
"""

from __future__ import annotations

import ast
import hashlib
import os
import pickle
import re
import runpy
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from pathlib import Path

import cloudpickle
import dask.array
import numba
import numpy as np
import pytest
from numba.core.caching import NullCache
from numba.core.dispatcher import Dispatcher

import gravdask
from gravdask.mixture import vectors
from gravdask.scattering import ScatteringNetwork, fused, lanes, records, sums, transform_record
from gravdask.scattering.lanes import (
    LANES,
    Singles,
    aligned,
    compiled,
    interleave,
    larger,
    load,
    pointer,
    root,
    separate,
    splat,
    store,
)
from gravdask.scattering.scratch import SCRATCH

PACKAGE = Path(gravdask.__file__).parent
FLOOR = 1e-12
"""Share of a path's largest coefficient below which even double precision is rounding."""


def random_bits(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Single-precision numbers of every kind: denormals, infinities, NaN, both zeros, all exponents."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 1 << 32, shape, dtype=np.uint32)
    some = rng.random(shape) < 0.1
    values[some] = rng.choice(np.array([0, 1, 0x8000_0000, 0x007F_FFFF, 0x7F80_0000, 0xFF80_0000, 0x3F80_0000], "u4"))
    return values.view(np.float32)


def assert_same_bits(found: np.ndarray, expected: np.ndarray) -> None:
    """Equal to the last bit and the sign of zero; any NaN equals any other."""
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found[number]), np.signbit(expected[number]))


# ---- vectors


@compiled
def _move(source: Singles, i: int, target: Singles, j: int) -> None:
    """Copy one vector."""
    store(pointer(target), j, load(pointer(source), i))


@compiled
def _calculate(first: Singles, second: Singles, third: Singles, out: Singles, count: int) -> None:
    """Everything that can be done with vectors, eight results each."""
    for i in range(count):
        a, b, c = load(pointer(first), i), load(pointer(second), i), load(pointer(third), i)
        store(pointer(out), 8 * i, a + b)
        store(pointer(out), 8 * i + 1, a - b)
        store(pointer(out), 8 * i + 2, a * b)
        store(pointer(out), 8 * i + 3, a * b + c)
        store(pointer(out), 8 * i + 4, root(a))
        store(pointer(out), 8 * i + 5, larger(a, b))
        store(pointer(out), 8 * i + 6, splat(first[i]))
        store(pointer(out), 8 * i + 7, (a + b) - a)


@compiled
def _interleave(rows: np.ndarray, begins: np.ndarray, offset: int, target: np.ndarray, index: int) -> None:
    """Sixteen samples of sixteen rows."""
    interleave(pointer(rows), pointer(begins), offset, pointer(target), index)


@compiled
def _separate(source: Singles, index: int, stride: int, rows: Singles, begins: np.ndarray, offset: int) -> None:
    """Sixteen vectors to sixteen rows."""
    separate(pointer(source), index, stride, pointer(rows), pointer(begins), offset)


@pytest.fixture(scope="module")
def calculated() -> tuple[np.ndarray, ...]:
    """Three operands, shape (vectors, lanes), and eight results (8, vectors, lanes)."""
    count = 500
    operands = [random_bits((count, LANES), seed) for seed in (1, 2, 3)]
    # sums and products of most random bits are infinite or vanish
    operands = [np.concatenate([x, np.random.default_rng(n).standard_normal((count, LANES)).astype("f4")])
                for n, x in enumerate(operands)]  # fmt: skip
    out = np.zeros(2 * count * 8 * LANES, dtype=np.float32)
    _calculate(*(x.ravel() for x in operands), out, 2 * count)
    return *operands, np.moveaxis(out.reshape(2 * count, 8, LANES), 1, 0)


def test_vectors_move_to_the_place_they_are_sent_to() -> None:
    source = random_bits((5 * LANES + 3,), 0)
    for shift in (0, 1, 3):
        # vectors need not begin on a cache line
        target = np.full(6 * LANES + 3, 7.0, dtype=np.float32)
        _move(source[shift:], 2, target[shift:], 4)
        expected = np.full_like(target, 7.0)
        expected[shift + 4 * LANES : shift + 5 * LANES] = source[shift + 2 * LANES : shift + 3 * LANES]
        np.testing.assert_array_equal(target.view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize(("row", "operation"), [(0, np.add), (1, np.subtract), (2, np.multiply)])
def test_arithmetic_is_numpys(row: int, operation: np.ufunc, calculated: tuple[np.ndarray, ...]) -> None:
    a, b, _, results = calculated
    with np.errstate(all="ignore"):
        assert_same_bits(results[row], operation(a, b))


def test_sums_are_taken_in_the_order_in_which_they_are_written(calculated: tuple[np.ndarray, ...]) -> None:
    # (a + b) - a is b to a reader in a hurry
    a, b, _, results = calculated
    with np.errstate(all="ignore"):
        assert_same_bits(results[7], (a + b) - a)


def test_a_product_and_a_sum_round_once_or_twice(calculated: tuple[np.ndarray, ...]) -> None:
    a, b, c, found = (x[500:].astype(np.float64) for x in (*calculated[:3], calculated[3][3]))
    error = np.abs(found - (a * b + c))
    assert np.all(error <= 1.0001 * 2.0**-24 * (np.abs(a * b) + np.abs(a * b + c)) + 1e-45)


def test_the_root_is_rounded_correctly(calculated: tuple[np.ndarray, ...]) -> None:
    with np.errstate(invalid="ignore"):
        assert_same_bits(calculated[3][4], np.sqrt(calculated[0]))


def test_the_larger_of_two(calculated: tuple[np.ndarray, ...]) -> None:
    a, b, _, results = calculated
    given = ~(np.isnan(a) | np.isnan(b))
    np.testing.assert_array_equal(results[5][given], np.maximum(a, b)[given])


def test_one_number_in_every_lane(calculated: tuple[np.ndarray, ...]) -> None:
    expected = np.repeat(calculated[0].ravel()[:1000, np.newaxis], LANES, axis=1)
    assert_same_bits(calculated[3][6], expected)


def test_rows_are_laid_side_by_side() -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal(1000).astype("f4")
    # in any order, some of them overlapping
    begins = rng.integers(0, 900, LANES)
    target = np.zeros((20, LANES), dtype="f4")
    _interleave(rows, begins, 40, target.reshape(-1), 3)
    expected = np.zeros_like(target)
    expected[3 : 3 + LANES] = rows[begins + 40 + np.arange(LANES)[:, np.newaxis]]
    np.testing.assert_array_equal(target, expected)


@pytest.mark.parametrize("stride", [1, 2, 5])
def test_lanes_are_separated_into_rows(stride: int) -> None:
    rng = np.random.default_rng(stride)
    source = rng.standard_normal((100, LANES)).astype(np.float32)
    begins = rng.permutation(LANES) * 40
    rows = np.zeros(1000, dtype=np.float32)
    _separate(source.reshape(-1), 7, stride, rows, begins, 11)
    expected = np.zeros_like(rows)
    expected[begins[:, np.newaxis] + 11 + np.arange(LANES)] = source[7 : 7 + LANES * stride : stride].T
    np.testing.assert_array_equal(rows, expected)


@pytest.mark.parametrize("samples", [1, 15, 16, 17, 40])
def test_windows_are_gathered_and_scattered_whatever_their_length(samples: int) -> None:
    rng = np.random.default_rng(samples)
    source, begins = rng.standard_normal(700).astype(np.float32), rng.permutation(LANES) * 40
    buffer = np.zeros((samples + 2, LANES), dtype=np.float32)
    fused.gather(source, begins, samples, buffer.reshape(-1))
    expected = source[begins + np.arange(samples)[:, np.newaxis]]
    np.testing.assert_array_equal(buffer, np.concatenate([expected, np.zeros((2, LANES))]))
    target = np.zeros(700, dtype=np.float32)
    fused.scatter_back(np.roll(buffer, 2, axis=0).reshape(-1), 2, samples, begins, target)
    back = np.zeros_like(target)
    where = begins + np.arange(samples)[:, np.newaxis]
    back[where] = source[where]
    np.testing.assert_array_equal(target, back)


@pytest.mark.parametrize(("count", "vectors"), [(1, 1), (16, 3), (23, 2), (64, 1)])
def test_turning_is_transposing(count: int, vectors: int) -> None:
    rows = np.random.default_rng(count).standard_normal((count, vectors * LANES)).astype(np.float32)
    out = np.zeros((vectors * LANES, count), dtype=np.float32)
    sums.turn(rows.reshape(-1), count, vectors, out.reshape(-1))
    np.testing.assert_array_equal(out, rows.T)


def test_memory_begins_on_a_cache_line() -> None:
    for shape, kind in [((1,), "f4"), ((3, 5), "f8"), ((17,), "i8")]:
        array = aligned(shape, kind)
        assert array.shape == shape
        assert array.dtype == kind
        assert array.ctypes.data % 64 == 0
        assert not array.any()


# ---- what a kernel is made of


def dispatchers() -> Iterator[tuple[str, Dispatcher]]:
    """Everything in the package that Numba compiles, with the module it is written in."""
    for path in sorted((PACKAGE / "scattering").glob("*.py")):
        module = import_module(f"gravdask.scattering.{path.stem}" if path.stem != "__init__" else "gravdask.scattering")
        for value in vars(module).values():
            if isinstance(value, Dispatcher):
                yield value.py_func.__module__.rpartition(".")[2], value


def test_the_cache_knows_every_module_that_kernels_are_written_in() -> None:
    written = {module for module, _ in dispatchers()}
    assert {"butterflies", "fft", "fused"} <= written <= set(lanes.KERNELS)
    kernels = {"scattering": lanes.KERNELS, "mixture": vectors.KERNELS, "gravdask": ("compiling",)}
    others = [p for p in PACKAGE.rglob("*.py") if p.stem not in kernels.get(p.parent.name, ())]
    assert not [p.name for p in others if re.search(r"\b(?:njit|jit|vectorize|intrinsic)\b\(?", p.read_text("utf-8"))]


def test_kernels_are_made_of_kernels_alone() -> None:
    # what they took from elsewhere could change without the cache noticing
    for name in lanes.KERNELS:
        tree = ast.parse((PACKAGE / "scattering" / f"{name}.py").read_text("utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gravdask"):
                assert node.module.rpartition(".")[2] in {*lanes.KERNELS, "compiling"}
            if isinstance(node, ast.Import):
                assert not [alias.name for alias in node.names if alias.name.startswith("gravdask")]


def test_kernels_are_compiled_alike() -> None:
    kernels = {id(d): d for _, d in dispatchers()}.values()
    assert len(kernels) > 20
    for kernel in kernels:
        assert kernel.targetoptions["nogil"]
        assert kernel.targetoptions["error_model"] == "numpy"
        # sums in any order are for what has a vector of its own to gain from them
        assert not kernel.targetoptions.get("fastmath") or kernel in {records.cut, records.means}


# ---- machine code kept on disk

UNPACK = """
import hashlib
import numpy as np
from gravdask.scattering import fft, fused
def unpacked():
    rng, out = np.random.default_rng(0), np.zeros(18 * 16, "f4")
    buffer, turns = rng.standard_normal(16 * 16).astype("f4"), rng.standard_normal(18).astype("f4")
    fused.unpack(buffer, 16, fft.places(8), turns, 9, out)
    return hashlib.sha256(out.tobytes()).hexdigest()
"""
"""A kernel of fused.py whose result depends on butterflies.py, quickly compiled."""
FORWARD = """
import hashlib
import numpy as np
from gravdask.scattering import fft
buffer = np.random.default_rng(0).standard_normal(128 * 16).astype("f4")
fft.forward(buffer, 0, 64, *fft.twiddles(64))
print(hashlib.sha256(buffer.tobytes()).hexdigest(), sum(fft.forward.stats.cache_hits.values()))
"""
"""A kernel that calls others."""
ENERGY = """
import numpy as np
from gravdask.scattering import fused
out = np.zeros(16, "f4")
fused.energy(np.ones(64, "f4"), 4, out, 0)
print(out[0])
"""
"""The quickest of all to compile."""
WINDOW = """
import hashlib
import numpy as np
from gravdask.scattering import ScatteringNetwork
network = ScatteringNetwork(1.0, 5, (4, 1), 64, segment_frames=40)
found = network.transform_window(np.random.default_rng(0).standard_normal(network.window_samples))
print(hashlib.sha256(b"".join(part.tobytes() for part in found)).hexdigest())
"""
"""A window, as by `window_digest`."""
EDIT = """
from pathlib import Path
from gravdask.scattering import lanes
path = Path(lanes.__file__).with_name("butterflies.py")
text = path.read_text("utf-8")
assert text.count("store(buffer, i, re)\\n") == 1
path.write_text(text.replace("store(buffer, i, re)\\n", "store(buffer, i, re + re)\\n"), "utf-8")
"""
"""Spoil all that is written."""


def window_digest() -> str:
    """What WINDOW prints."""
    network = ScatteringNetwork(1.0, 5, (4, 1), 64, segment_frames=40)
    found = network.transform_window(np.random.default_rng(0).standard_normal(network.window_samples))
    return hashlib.sha256(b"".join(part.tobytes() for part in found)).hexdigest()


def start(script: str, cache: Path, package: Path = PACKAGE.parent, **changes: str) -> subprocess.Popen[str]:
    """Start Python on its own, in the folder of the cache, with the package below another folder."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_", "PYTHON"))}
    environment |= {"NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(package)} | changes
    # a warning of Numba's about its cache is a failure
    command = [sys.executable, "-B", "-W", "error", "-X", "faulthandler", "-c", script]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, cwd=cache.parent, stdout=pipe, stderr=pipe, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    """Give what it printed."""
    with process:
        out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out.strip()


def run(script: str, cache: Path, package: Path = PACKAGE.parent, **changes: str) -> str:
    """Start Python on its own and give what it printed."""
    return finish(start(script, cache, package, **changes))


def copied(folder: Path) -> Path:
    """Copy the package into a folder, without anything compiled."""
    shutil.copytree(PACKAGE, folder / "gravdask", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def state(cache: Path) -> dict[str, tuple[int, int]]:
    """Files of a cache, with their sizes and when they were written."""
    return {p.name: (p.stat().st_size, p.stat().st_mtime_ns) for p in cache.rglob("*.nb?")}


def test_a_kernel_from_the_cache_gives_the_same(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = run(FORWARD, cache).split()
    written = state(cache)
    assert first[1] == "0"
    assert {Path(name).suffix for name in written} == {".nbi", ".nbc"}
    assert run(FORWARD, cache).split() == [first[0], "1"]
    assert state(cache) == written


def test_a_kernel_is_compiled_anew_when_what_it_holds_has_changed(tmp_path: Path) -> None:
    package, cache = copied(tmp_path), tmp_path / "cache"
    sources = [package / "gravdask" / "scattering" / name for name in ("fft.py", "fused.py")]
    before = [(p.stat().st_mtime_ns, p.stat().st_size) for p in sources]
    # the change comes after the kernel has been kept
    first = run(f"{UNPACK}\nprint(unpacked())\n{EDIT}", cache, package)
    assert [(p.stat().st_mtime_ns, p.stat().st_size) for p in sources] == before
    assert run(f"{UNPACK}\nprint(unpacked())", cache, package) != first


@pytest.mark.slow
def test_what_was_changed_after_the_import_is_not_taken_for_what_was_imported(tmp_path: Path) -> None:
    # a package updated under a running worker: its kernels must not be kept as those of the new sources
    package, cache = copied(tmp_path), tmp_path / "cache"
    old = run(f"{UNPACK}\n{EDIT}\nprint(unpacked())", cache, package)
    assert run(f"{UNPACK}\nprint(unpacked())", cache, package) != old


KERNEL = """
from gravdask.scattering.lanes import compiled
@compiled
def kernel(x):
    return x + 1
"""
"""A module with a kernel."""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module with a kernel that is kept in the folder "cache" beside it."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))
    file = tmp_path / "module.py"
    file.write_text(KERNEL)
    return file


def imported(module: Path) -> Dispatcher:
    """The kernel of a module, as after an import."""
    kernel: Dispatcher = runpy.run_path(str(module))["kernel"]
    return kernel


def test_without_a_place_for_the_cache_a_kernel_works(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # files where folders would go stop even root
    (module.parent / "cache").write_text("")
    (module.parent / "__pycache__").write_text("")
    for name in ("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(module / "folder"))
    kernel = imported(module)
    assert type(kernel._cache) is NullCache
    assert kernel(1) == 2
    assert not state(module.parent)


@pytest.mark.parametrize("ending", ["nbi", "nbc"])
@pytest.mark.parametrize("damage", ["empty", "cut", "zeros"])
def test_a_damaged_cache_is_none(ending: str, damage: str, module: Path) -> None:
    # as a computer leaves it that loses power, or a file system that loses what was written
    for hits in (0, 1):
        kernel = imported(module)
        assert kernel(1) == 2
        assert sum(kernel.stats.cache_hits.values()) == hits
    (damaged,) = (module.parent / "cache").rglob(f"*.{ending}")
    whole = damaged.read_bytes()
    damaged.write_bytes({"empty": b"", "cut": whole[: len(whole) // 2], "zeros": bytes(len(whole))}[damage])
    assert imported(module)(1) == 2
    # and it is mended
    again = imported(module)
    assert again(1) == 2
    assert sum(again.stats.cache_hits.values()) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits to set")
def test_on_a_full_disk_a_kernel_works(module: Path) -> None:
    # as with a quota that is used up: files can be made, and not written to
    import resource

    kernel = imported(module)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        assert kernel(1) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.slow
def test_without_a_place_for_the_cache_windows_are_the_same(tmp_path: Path) -> None:
    package, file = copied(tmp_path), tmp_path / "file"
    file.write_text("")
    for folder in [p.parent for p in (package / "gravdask").rglob("__init__.py")]:
        (folder / "__pycache__").write_text("")
    nowhere = dict.fromkeys(("NUMBA_CACHE_DIR", "HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"), str(file / "folder"))
    assert run(WINDOW, tmp_path / "cache", package, **nowhere) == window_digest()
    assert not state(tmp_path)


@pytest.mark.slow
def test_kernels_work_in_an_archive(tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "package"), "zip", copied(tmp_path / "copy"))
    assert run(ENERGY, tmp_path / "cache", Path(archive)) == "4.0"


@pytest.mark.slow
def test_a_window_by_kernels_from_the_cache_is_the_same(tmp_path: Path) -> None:
    # recursive kernels did crash here; two that fill the cache at once must not spoil it either
    cache = tmp_path / "cache"
    cache.mkdir()
    both = [start(WINDOW, cache) for _ in range(2)]
    first, second = [finish(process) for process in both]
    assert first == second == window_digest()
    written = state(cache)
    assert len({name.partition("-")[0] for name in written}) > 10
    assert run(WINDOW, cache) == first
    assert state(cache) == written


@pytest.mark.slow
def test_a_window_is_another_when_the_kernels_have_changed(tmp_path: Path) -> None:
    package, cache = copied(tmp_path), tmp_path / "cache"
    assert run(WINDOW, cache, package) == window_digest()
    run(EDIT, cache, package)
    assert run(WINDOW, cache, package) != window_digest()


# ---- without the compiler


def example(pooling: str = "mean", frames: int = 40, **changes: int) -> ScatteringNetwork:
    """A small network of two stages."""
    parameters = {"J": 6, "T": 96} | changes
    return ScatteringNetwork(1.0, parameters["J"], (4, 1), parameters["T"], pooling=pooling, segment_frames=frames)


def noise(network: ScatteringNetwork, seed: int = 0) -> np.ndarray:
    """A window of noise with an offset."""
    return np.random.default_rng(seed).standard_normal(network.window_samples) + 3.0


def assert_close(found: np.ndarray, expected: np.ndarray) -> None:
    """To 1e-4 of themselves, but for what even double precision rounds; missing in the same places."""
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    largest = np.nanmax(np.abs(expected), axis=1, keepdims=True)
    error = np.abs(found.astype(np.float64) - expected.astype(np.float64))
    assert np.nanmax(error - 1e-4 * np.abs(expected) - FLOOR * largest) <= 0


PLAIN = """
import numba
import numpy as np
from gravdask.scattering import ScatteringNetwork, fused
assert numba.config.DISABLE_JIT
assert not hasattr(fused.energy, "py_func")
for pooling, T in [("lowpass", 64), ("median", 96)]:
    network = ScatteringNetwork(1.0, 6, (4, 1), T, pooling=pooling, segment_frames=40)
    coefficients, fraction = network.transform_window(np.load(pooling + ".npy"))
    np.savez(pooling + ".npz", coefficients=coefficients, fraction=fraction)
"""


def test_without_the_compiler_windows_are_the_same(tmp_path: Path) -> None:
    kinds = [example("lowpass", T=64), example("median", T=96)]
    windows = [noise(network) for network in kinds]
    for network, window in zip(kinds, windows, strict=True):
        begin = network.halo + 5 * network.frame_samples
        window[begin : begin + 2 * network.frame_samples] = np.nan
        np.save(tmp_path / f"{network.pooling}.npy", window)
    run(PLAIN, tmp_path / "cache", NUMBA_DISABLE_JIT="1")
    for network, window in zip(kinds, windows, strict=True):
        coefficients, fraction = network.transform_window(window)
        with np.load(tmp_path / f"{network.pooling}.npz") as found:
            np.testing.assert_allclose(found["fraction"], fraction, rtol=1e-6, atol=1e-7)
            assert_close(coefficients, found["coefficients"])
        assert 20 < np.isfinite(coefficients[1]).sum() < 40


# ---- threads and memory

NETWORKS = [
    example("mean"),
    example("lowpass", T=64),
    example("median", T=100),
    example("max", frames=7),
    example("mean", J=8, T=512),
    ScatteringNetwork(1.0, (2, 3, 4), (4, 2, 1), 48, 3, segment_frames=30),
]


def bits(result: tuple[np.ndarray, np.ndarray]) -> bytes:
    """All of a result."""
    return b"".join(part.tobytes() for part in result)


def test_threads_do_not_see_each_other() -> None:
    work = [(network, noise(network, seed)) for seed in range(4) for network in NETWORKS]
    # gaps, and a burst that leaves much to double precision
    for number, (_, window) in enumerate(work):
        window[: 300 * (number % 3)] = np.nan
        window[500:510] *= 10.0 ** (4 * (number % 2))
    expected = [bits(network.transform_window(window)) for network, window in work]
    together = threading.Barrier(4)

    def transform(part: int) -> list[bytes]:
        """Begin when all do, each with another network."""
        together.wait()
        return [bits(network.transform_window(window)) for network, window in work[part:] + work[:part]]

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(transform, range(4)))
    for part, results in enumerate(found):
        assert results == expected[part:] + expected[:part]


def test_other_threads_run_while_a_kernel_does() -> None:
    row, out = np.ones(100_000, dtype=np.float32), np.zeros((1, 100_000), dtype=np.float32)
    kernel = partial(sums.combine, row[np.newaxis, np.newaxis], row, 0, 1.0, out)
    kernel()
    before = sys.getswitchinterval()

    def ran_meanwhile() -> bool:
        """Whether this thread ran between two steps of another, which gives way to it in the kernel only."""
        begun, meanwhile, seen = threading.Event(), [], []

        def work() -> None:
            begun.set()
            kernel()
            seen.extend(meanwhile)

        thread = threading.Thread(target=work)
        thread.start()
        begun.wait()
        meanwhile.append(True)
        thread.join()
        return bool(seen)

    try:
        sys.setswitchinterval(100.0)
        # on a busy computer this thread may be late
        assert any(ran_meanwhile() for _ in range(20))
    finally:
        sys.setswitchinterval(before)


def poison() -> None:
    """Fill all memory that this thread uses again with what shows in every result."""
    assert SCRATCH._arrays
    for array in SCRATCH._arrays.values():
        array.fill(np.nan if array.dtype.kind == "f" else -(1 << 40))


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_memory_that_is_used_again_leaves_no_trace(network: ScatteringNetwork) -> None:
    window = noise(network)
    # quiet hours, which are left to double precision
    window[window.size // 2 :] = 3.0 + 1e-9 * (window[window.size // 2 :] - 3.0)
    first = network.transform_window(window)
    expected = bits(first)
    short = ScatteringNetwork(
        1.0, network.J, network.Q, network.T, network.max_order, 0, network.pooling, segment_frames=2
    )
    few = noise(short, 1)
    expected_few = bits(short.transform_window(few))
    assert bits(network.transform_window(window)) == expected
    poison()
    assert bits(short.transform_window(few)) == expected_few
    poison()
    assert bits(network.transform_window(window)) == expected
    # and nothing that was given away is used again
    assert bits(first) == expected


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 9e36, 1e300])
@pytest.mark.parametrize("network", NETWORKS[:2], ids=str)
def test_a_window_of_anything_leaves_no_trace(network: ScatteringNetwork, value: float) -> None:
    window = noise(network)
    expected = bits(network.transform_window(window))
    bad = np.full(window.size, value)
    network.transform_window(bad)
    assert bits(network.transform_window(window)) == expected
    bad[::2] *= -1.0
    bad[1::4] = 1.0
    network.transform_window(bad)
    assert bits(network.transform_window(window)) == expected


@pytest.mark.parametrize("network", NETWORKS[:2], ids=str)
def test_windows_may_lie_in_memory_as_they_like(network: ScatteringNetwork) -> None:
    window = noise(network).astype(np.float32).astype(np.float64)
    window[100:150] = np.nan
    expected = bits(network.transform_window(window))
    frozen = window.copy()
    frozen.flags.writeable = False
    wide = np.zeros((window.size, 3))
    wide[:, 1] = window
    odd = np.zeros(8 * window.size + 1, dtype=np.uint8)[1:].view(np.float64)
    odd[:] = window
    assert not odd.flags.aligned
    forms = [
        frozen,
        wide[:, 1],
        window[::-1].copy()[::-1],
        odd,
        window.astype(">f8"),
        window.astype("f4"),
        window.tolist(),
    ]
    for form in forms:
        before = np.array(form)
        assert bits(network.transform_window(form)) == expected
        np.testing.assert_array_equal(np.array(form), before)


@pytest.mark.parametrize("network", NETWORKS[:2], ids=str)
def test_records_may_lie_in_memory_as_they_like(network: ScatteringNetwork) -> None:
    record = noise(network).astype(np.float32).astype(np.float64)
    frozen = record.copy()
    frozen.flags.writeable = False
    wide = np.repeat(record[:, np.newaxis], 3, axis=1)
    forms = [record, frozen, wide[:, 1], record[::-1].copy()[::-1], record.astype(">f8"), record.astype("f4")]
    forms.append(dask.array.from_array(frozen, chunks=701))
    results = [transform_record(network, form, 5).compute(scheduler="synchronous") for form in forms]
    expected = results[0]
    assert np.isfinite(expected.coefficients.values).any()
    for result in results[1:]:
        np.testing.assert_array_equal(result.coefficients.values, expected.coefficients.values)
        np.testing.assert_array_equal(result.valid_fraction.values, expected.valid_fraction.values)


# ---- what is sent to workers


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_a_network_is_small_when_pickled(network: ScatteringNetwork) -> None:
    new = ScatteringNetwork(
        1.0, network.J, network.Q, network.T, network.max_order, 0, network.pooling,
        segment_frames=network.segment_frames,
    )  # fmt: skip
    size = len(pickle.dumps(new))
    expected = bits(new.transform_window(noise(new)))
    assert new.paths.sizes["path"] == new.n_paths
    used = pickle.dumps(new)
    assert len(used) == size < 1000
    back = pickle.loads(used)
    assert back == new
    assert bits(back.transform_window(noise(new))) == expected


@pytest.mark.parametrize("pooling", ["mean", "lowpass"])
def test_the_tasks_of_a_long_record_are_small(pooling: str) -> None:
    network = ScatteringNetwork(1.0, 8, 8, 256, pooling=pooling)
    record = dask.array.ones(30_000_000, chunks=1_000_000)
    result = transform_record(network, record)
    (optimized,) = dask.optimize(result)
    for found in (result, optimized):
        graph = dict(found.__dask_graph__())
        assert len(graph) > 30
        assert max(len(cloudpickle.dumps(task)) for task in graph.values()) < 10_000
        assert len(cloudpickle.dumps(graph)) < 200_000


# ---- numbers of every kind


@pytest.fixture(params=NETWORKS, ids=str)
def network(request: pytest.FixtureRequest) -> ScatteringNetwork:
    """Each of the networks."""
    return request.param


def test_silence_is_silent(network: ScatteringNetwork) -> None:
    for zero in (0.0, -0.0):
        coefficients, fraction = network.transform_window(np.full(network.window_samples, zero))
        np.testing.assert_array_equal(coefficients, 0.0)
        np.testing.assert_allclose(fraction, 1.0, rtol=1e-6)


@pytest.mark.parametrize("power", [-90, -41, 3, 80])
def test_a_power_of_two_costs_no_digit(network: ScatteringNetwork, power: int) -> None:
    window = noise(network)
    window[700:720] *= 1e5
    once, _ = network.transform_window(window)
    expected = once * np.float32(2.0**power)
    found, _ = network.transform_window(window * 2.0**power)
    normal = (np.abs(expected) > np.finfo(np.float32).tiny) | (once == 0)
    assert normal.mean() > 0.99
    np.testing.assert_array_equal(found[normal], expected[normal])


def test_the_sign_of_the_ground_does_not_matter(network: ScatteringNetwork) -> None:
    if network.pooling == "max":
        pytest.skip("the largest sample of the record is another")
    window = noise(network)
    found, expected = network.transform_window(-window)[0], network.transform_window(window)[0]
    np.testing.assert_array_equal(found[1:], expected[1:])
    np.testing.assert_allclose(found[0], -expected[0], rtol=1e-6)


@pytest.mark.parametrize("size", [5e-324, 1e-310, 1e-300, 1e-42])
def test_denormals_are_nothing_or_next_to_it(network: ScatteringNetwork, size: float) -> None:
    rng = np.random.default_rng(0)
    coefficients, fraction = network.transform_window(rng.standard_normal(network.window_samples) * size)
    assert np.all(np.abs(coefficients) <= 6 * size)
    np.testing.assert_allclose(fraction, 1.0, rtol=1e-6)
    # beside noise they are zeros
    window = noise(network) - 3.0
    quiet = rng.random(window.size) < 0.3
    found, _ = network.transform_window(np.where(quiet, size * rng.standard_normal(window.size), window))
    expected, _ = network.transform_window(np.where(quiet, 0.0, window))
    np.testing.assert_array_equal(found[1:], expected[1:])
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-6, atol=6 * size)


@pytest.mark.parametrize("size", [1.0, -1e-30, 1e36])
def test_one_sample_alone(network: ScatteringNetwork, size: float, monkeypatch: pytest.MonkeyPatch) -> None:
    for at in (network.halo, network.window_samples // 2 + 1, 0, network.window_samples - 1):
        window = np.zeros(network.window_samples)
        window[at] = size
        found, _ = network.transform_window(window)
        with monkeypatch.context() as patch:
            # all by NumPy's kernel, in double precision
            patch.setattr(numba.config, "DISABLE_JIT", 1)
            expected, _ = network.transform_window(window)
        assert np.isfinite(found).all()
        assert_close(found, expected)
