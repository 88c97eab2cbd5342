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
from numba.core.dispatcher import Dispatcher

import gravdask
from gravdask.scattering import ScatteringNetwork, fft, fused, lanes, transform_record
from gravdask.scattering.lanes import (
    LANES,
    Singles,
    aligned,
    compiled,
    interleave,
    larger,
    load,
    load_double,
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
    """Everything that can be done with vectors, seven results each."""
    for i in range(count):
        a, b, c = load(pointer(first), i), load(pointer(second), i), load(pointer(third), i)
        store(pointer(out), 7 * i, a + b)
        store(pointer(out), 7 * i + 1, a - b)
        store(pointer(out), 7 * i + 2, a * b)
        store(pointer(out), 7 * i + 3, a * b + c)
        store(pointer(out), 7 * i + 4, root(a))
        store(pointer(out), 7 * i + 5, larger(a, b))
        store(pointer(out), 7 * i + 6, splat(first[i]))


@compiled
def _round(source: np.ndarray, i: int, factor: float, target: Singles, j: int) -> None:
    """Read double precision."""
    store(pointer(target), j, load_double(pointer(source), i, factor))


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
    """Three operands, shape (vectors, lanes), and seven results (7, vectors, lanes)."""
    count = 500
    operands = [random_bits((count, LANES), seed) for seed in (1, 2, 3)]
    # sums and products of most random bits are infinite or vanish
    operands = [np.concatenate([x, np.random.default_rng(n).standard_normal((count, LANES)).astype("f4")])
                for n, x in enumerate(operands)]  # fmt: skip
    out = np.zeros(2 * count * 7 * LANES, dtype=np.float32)
    _calculate(*(x.ravel() for x in operands), out, 2 * count)
    return *operands, np.moveaxis(out.reshape(2 * count, 7, LANES), 1, 0)


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


def test_a_product_and_a_sum_round_once_or_twice(calculated: tuple[np.ndarray, ...]) -> None:
    a, b, c, results = (x[..., 500:, :].astype(np.float64) for x in calculated)
    error = np.abs(results[3] - (a * b + c))
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


def test_double_precision_is_rounded_after_the_product() -> None:
    source = np.random.default_rng(0).standard_normal(3 * LANES) * 1e30
    target = np.zeros(2 * LANES, dtype=np.float32)
    # either factor rounded on its own would give another last digit, and 1e42 is no single-precision number
    _round(source, 2, 1.0 / 3.0e42, target, 1)
    np.testing.assert_array_equal(target[:LANES], 0.0)
    np.testing.assert_array_equal(target[LANES:], (source[2 * LANES :] * (1.0 / 3.0e42)).astype(np.float32))


@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_rows_are_laid_side_by_side(kind: str) -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal(1000).astype(kind)
    # in any order, some of them overlapping
    begins = rng.integers(0, 900, LANES)
    target = np.zeros((20, LANES), dtype=kind)
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
    fused.turn(rows.reshape(-1), count, vectors, np.empty(LANES, dtype=np.int64), out.reshape(-1))
    np.testing.assert_array_equal(out, rows.T)


def test_memory_begins_on_a_cache_line() -> None:
    for shape, kind in [((1,), "f4"), ((3, 5), "f8"), ((0,), "f4"), ((17,), "i8")]:
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
    others = [p for p in PACKAGE.rglob("*.py") if not (p.parent.name == "scattering" and p.stem in lanes.KERNELS)]
    assert not [p.name for p in others if re.search(r"\b(?:njit|jit|vectorize|intrinsic)\b\(?", p.read_text("utf-8"))]


def test_kernels_are_made_of_kernels_alone() -> None:
    # what they took from elsewhere could change without the cache noticing
    for name in lanes.KERNELS:
        tree = ast.parse((PACKAGE / "scattering" / f"{name}.py").read_text("utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gravdask"):
                assert node.module.rpartition(".")[2] in lanes.KERNELS
            if isinstance(node, ast.Import):
                assert not [alias.name for alias in node.names if alias.name.startswith("gravdask")]


def test_kernels_are_compiled_alike() -> None:
    kernels = {id(d): d for _, d in dispatchers()}.values()
    assert len(kernels) > 20
    for kernel in kernels:
        assert kernel.targetoptions["nogil"]
        assert kernel.targetoptions["error_model"] == "numpy"
        # sums in any order are for what has a vector of its own to gain from them
        assert not kernel.targetoptions.get("fastmath") or kernel is fused.combine


# ---- machine code kept on disk

LAY = """
import hashlib
import numpy as np
from gravdask.scattering import fft, fused
from gravdask.scattering.lanes import aligned
def lay():
    spectrum, out = np.random.default_rng(0).standard_normal(18 * 16).astype("f4"), aligned((16 * 16,))
    fused.lay8(spectrum, 16, 0, np.ones(8, "f4"), fft.places(8), 8, out)
    return hashlib.sha256(out.tobytes()).hexdigest()
"""
"""A kernel of fused.py whose result depends on butterflies.py."""
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
assert text.count("np.float32(np.sqrt(0.5))") == 1
path.write_text(text.replace("np.float32(np.sqrt(0.5))", "np.float32(0.0)"), "utf-8")
"""
"""Spoil the sums of eight."""


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
    first = run(f"{LAY}\nprint(lay())", cache)
    written = state(cache)
    assert {Path(name).suffix for name in written} == {".nbi", ".nbc"}
    assert run(f"{LAY}\nprint(lay(), fused.lay8.stats.cache_hits)", cache).split() == [
        first,
        "{(Array(float32, 1, 'C', False, aligned=True), int64, int64, Array(float32, 1, 'C', False, aligned=True), "
        "Array(int32, 1, 'C', False, aligned=True), int64, Array(float32, 1, 'C', False, aligned=True)): 1}",
    ]
    assert state(cache) == written
