"""Compiled kernels of the mixture: every number against plain formulas, whatever the rows are made of."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numba.core.dispatcher import Dispatcher

import gravdask.mixture
from gravdask.mixture import SufficientStatistics, compiled, kernels, strips, vectors
from gravdask.mixture.parameters import GaussianParameters
from gravdask.mixture.primitives import SIDE, STEP
from gravdask.mixture.vectors import LANES, Memory, Word, emitted, exponential, logarithm, pointer

KINDS = ("full", "tied", "diag", "spherical")
FOLDER = Path(gravdask.mixture.__file__).parent


@pytest.fixture(params=["compiled", "plain"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With the compiler and without it."""
    monkeypatch.setattr(numba.config, "DISABLE_JIT", int(request.param == "plain"))
    return str(request.param)


# ---- functions of vectors


@emitted
def _emit_exponential(builder: Any, source: Memory, at: Word, target: Memory) -> None:
    target.store(at, exponential(source.load(at)))


@emitted
def _emit_logarithm(builder: Any, source: Memory, at: Word, target: Memory) -> None:
    target.store(at, logarithm(source.load(at)))


@vectors.compiled
def _exponentials(source: np.ndarray, target: np.ndarray) -> None:
    for at in range(0, source.size, LANES):
        _emit_exponential(pointer(source), at, pointer(target))


@vectors.compiled
def _logarithms(source: np.ndarray, target: np.ndarray) -> None:
    for at in range(0, source.size, LANES):
        _emit_logarithm(pointer(source), at, pointer(target))


def evaluated(function: Callable[..., None], values: np.ndarray) -> np.ndarray:
    """Values of a compiled function."""
    source = np.concatenate([values, np.ones(-values.size % LANES)])
    target = np.zeros_like(source)
    function(source, target)
    return target[: values.size]


def units_off(found: np.ndarray, exact: np.ndarray) -> float:
    """Largest error in units in the last place; `exact` has more digits where the machine has them."""
    return float(np.max(np.abs(found - exact) / np.spacing(np.abs(exact).astype(np.float64))))


def test_exponentials_are_right_to_a_unit_in_the_last_place() -> None:
    rng = np.random.default_rng(0)
    halves = (np.arange(-2000, 2000) + 0.5) * np.log(2.0)
    values = [
        rng.uniform(-707.9, 709.7, 40_000),
        rng.uniform(-1.0, 1.0, 40_000),
        -(10.0 ** rng.uniform(-20, 1, 10_000)),
    ]
    x = np.concatenate([*values, halves[(halves > -708) & (halves < 709)], [0.0, -0.0, -708.0]])
    assert units_off(evaluated(_exponentials, x), np.exp(x.astype(np.longdouble))) <= 1.2


def test_exponentials_at_the_edges() -> None:
    x = np.array([-708.0000001, -745.0, -1e6, -1e300, -np.inf, np.nan, 0.0])
    np.testing.assert_array_equal(evaluated(_exponentials, x), [0.0, 0.0, 0.0, 0.0, 0.0, np.nan, 1.0])


def test_logarithms_are_right_to_two_units_in_the_last_place() -> None:
    rng = np.random.default_rng(1)
    near = 1.0 + rng.choice([-1.0, 1.0], 20_000) * 10.0 ** rng.uniform(-15, -0.6, 20_000)
    x = np.concatenate([rng.uniform(1.0, 40.0, 40_000), 10.0 ** rng.uniform(-307, 308, 40_000), near])
    assert units_off(evaluated(_logarithms, x), np.log(x.astype(np.longdouble))) <= 2.0
    exact = np.array([1.0, np.inf, np.nan])
    np.testing.assert_array_equal(evaluated(_logarithms, exact), [0.0, np.inf, np.nan])


# ---- plain formulas


def some_mixture(kind: str, n_components: int, n_features: int, seed: int = 0) -> GaussianParameters:
    """A mixture of correlated components with overlap; where there are several, some without weight."""
    rng = np.random.default_rng(seed)
    roots = rng.normal(size=(n_components, n_features, n_features))
    matrices = roots @ np.swapaxes(roots, 1, 2) / n_features + 0.3 * np.eye(n_features)
    diagonals = np.diagonal(matrices, axis1=1, axis2=2).copy()
    covariances = {"full": matrices, "tied": matrices[0], "diag": diagonals, "spherical": diagonals[:, 0].copy()}[kind]
    weights = rng.dirichlet(np.ones(n_components)) * (rng.random(n_components) < 0.8)
    weights = weights / weights.sum() if weights.sum() > 0 else np.full(n_components, 1.0 / n_components)
    return GaussianParameters.from_covariances(
        kind, weights, rng.normal(size=(n_components, n_features)), covariances
    )  # fmt: skip


def expected_of(rows: np.ndarray, weights: np.ndarray | None, mixture: GaussianParameters, centre: np.ndarray) -> Any:
    """Everything that a block gives, straight from the formulas: one component and one row after the other."""
    x, w = rows.astype(np.float64), np.ones(len(rows)) if weights is None else weights
    d, matrices = x.shape[1], mixture.covariance_matrices()
    joint = np.empty((len(x), mixture.n_components))
    for k, (share, mean, matrix) in enumerate(zip(mixture.weights, mixture.means, matrices, strict=True)):
        distance = np.einsum("ni,ij,nj->n", x - mean, np.linalg.inv(matrix), x - mean)
        with np.errstate(divide="ignore"):
            joint[:, k] = np.log(share) - 0.5 * (d * np.log(2 * np.pi) + np.linalg.slogdet(matrix)[1] + distance)
    top = joint.max(axis=1, initial=-1e308)
    likelihoods = top + np.log(np.exp(joint - top[:, None]).sum(axis=1))
    shares = np.exp(joint - likelihoods[:, None])
    outer = np.einsum("nk,ni,nj->kij", shares * w[:, None], x - centre, x - centre)
    i, j = np.triu_indices(d)
    second = {
        "full": outer[:, i, j], "tied": outer.sum(axis=0)[i, j],
        "diag": np.diagonal(outer, axis1=1, axis2=2), "spherical": np.trace(outer, axis1=1, axis2=2),
    }[mixture.covariance_type]  # fmt: skip
    return SimpleNamespace(
        joint=joint, likelihoods=likelihoods, shares=shares, counts=(shares * w[:, None]).sum(axis=0),
        first=(shares * w[:, None]).T @ (x - centre), second=second, log_likelihood=w @ likelihoods, weight=w.sum(),
    )  # fmt: skip


def check(rows: np.ndarray, weights: np.ndarray | None, mixture: GaussianParameters, centre: np.ndarray) -> None:
    """Compare everything that a block gives with the formulas."""
    density, expected = mixture.density(centre), expected_of(rows, weights, mixture, centre)
    before = rows.copy()
    found = kernels.accumulate(rows, weights, density)
    scale = max(1.0, float(np.abs(expected.second).max(initial=0.0)))
    for name in ("counts", "first", "second"):
        value, exact = getattr(found, name), getattr(expected, name)
        assert value.shape == exact.shape, name
        assert value.flags.owndata or value.base.nbytes <= 2 * value.nbytes + 64, "holds on to the memory of a strip"
        np.testing.assert_allclose(value, exact, rtol=1e-9, atol=1e-11 * scale, err_msg=name)
    assert found.log_likelihood == pytest.approx(expected.log_likelihood, rel=1e-10, abs=1e-9)
    assert found.weight == pytest.approx(expected.weight, rel=1e-13)
    likelihoods, shares = kernels.log_likelihoods(rows, density), kernels.responsibilities(rows, density)
    np.testing.assert_allclose(likelihoods, expected.likelihoods, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(shares, expected.shares, rtol=1e-8, atol=1e-12)
    np.testing.assert_array_equal(shares[:, mixture.weights == 0.0], 0.0)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-14)
    best = kernels.labels(rows, density)
    assert best.dtype == np.int64
    chosen = expected.joint[np.arange(len(rows)), best]
    np.testing.assert_allclose(chosen, expected.joint.max(axis=1, initial=-1e308), rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(rows, before)


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "rows": np.ascontiguousarray,
    "columns": np.asfortranarray,
    "every other": lambda x: np.repeat(np.repeat(x, 2, axis=0), 3, axis=1)[::2, ::3],
    "backwards": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
    "unaligned": lambda x: np.frombuffer(b"." + x.tobytes(), np.uint8)[1:].view(x.dtype).reshape(x.shape),
    "swapped": lambda x: x.astype(x.dtype.newbyteorder()),
}
"""The same rows, in other places. "unaligned" is read-only too."""


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    n_rows=st.integers(0, 300),
    n_components=st.integers(1, 7),
    n_features=st.integers(1, 11),
    dtype=st.sampled_from(["f4", "f8", "f2", "i2", "i8", "u1", "?"]),
    layout=st.sampled_from(sorted(LAYOUTS)),
    weighted=st.sampled_from(["not", "some", "none"]),
    jit=st.booleans(),
    seed=st.integers(0, 1000),
)
@example("full", STEP, 1, 1, "f4", "rows", "not", True, 0)
@example("full", STEP + 1, 2, SIDE, "f8", "columns", "some", True, 1)
@example("tied", 1, 3, SIDE + 1, "f4", "unaligned", "none", True, 2)
@example("diag", compiled.STRIPE + 1, 7, 2 * SIDE, "i8", "backwards", "some", True, 3)
@example("spherical", 300, 5, 11, "f4", "every other", "some", True, 4)
def test_a_block_gives_what_the_formulas_say(
    kind: str, n_rows: int, n_components: int, n_features: int, dtype: str, layout: str, weighted: str, jit: bool,
    seed: int,
) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    rows = LAYOUTS[layout]((2.0 * rng.normal(size=(n_rows, n_features))).clip(0 if dtype == "u1" else -9).astype(dtype))
    weights = rng.uniform(size=n_rows) * (rng.random(n_rows) < 0.7) if weighted == "some" else None
    weights = np.zeros(n_rows) if weighted == "none" else weights
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numba.config, "DISABLE_JIT", int(not jit))
        check(rows, weights, some_mixture(kind, n_components, n_features, seed), rng.normal(size=n_features))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n_components", "n_features"), [(30, 60), (1, 61), (64, 2), (10, 16)])
def test_blocks_of_several_strips(kind: str, n_components: int, n_features: int, engine: str) -> None:
    rng = np.random.default_rng(2)
    n_rows = 2 * kernels.strip_rows(kind, n_components, n_features) + 77
    n_rows = min(n_rows, 1000 if n_components * n_features**2 > 10_000 else 5000)
    rows = rng.normal(size=(n_rows, n_features)).astype("f4")
    check(rows, rng.uniform(size=n_rows), some_mixture(kind, n_components, n_features), np.full(n_features, 0.3))


@pytest.mark.parametrize("kind", KINDS)
def test_rows_far_from_every_component(kind: str, engine: str) -> None:
    # exp(-700) and less: the nearest component takes all, and nothing is divided by zero
    rows = np.array([[60.0, -50.0, 40.0], [1e6, 1e6, -1e6], [0.0, 0.0, 0.0]])
    mixture = some_mixture(kind, 4, 3, seed=5)
    found = kernels.log_likelihoods(rows, mixture.density())
    np.testing.assert_allclose(found, expected_of(rows, None, mixture, np.zeros(3)).likelihoods, rtol=1e-9)
    shares = kernels.responsibilities(rows, mixture.density())
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-14)
    np.testing.assert_array_equal(shares.argmax(axis=1), kernels.labels(rows, mixture.density()))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_shows(kind: str, bad: float) -> None:
    rows = np.zeros((40, 3))
    rows[7, 1] = bad
    mixture = some_mixture(kind, 2, 3)
    with np.errstate(invalid="ignore"):
        found = kernels.log_likelihoods(rows, mixture.density())
        sums = kernels.accumulate(rows, None, mixture.density())
    assert not np.isfinite(found[7])
    assert np.isfinite(np.delete(found, 7)).all()
    assert not np.isfinite(sums.second).all()


@pytest.mark.parametrize("kind", KINDS)
def test_rows_without_weight_change_nothing(kind: str, engine: str) -> None:
    rng = np.random.default_rng(4)
    rows, weights = rng.normal(size=(700, 5)), rng.uniform(size=700)
    weights[rng.random(700) < 0.5] = 0.0
    density = some_mixture(kind, 3, 5).density(np.zeros(5))
    found = kernels.accumulate(rows, weights, density)
    expected = kernels.accumulate(rows[weights > 0], weights[weights > 0], density)
    for name in ("counts", "first", "second", "log_likelihood", "weight"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-11, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shift", [1e5, -1e7])
def test_an_offset_costs_no_digits(kind: str, shift: float, engine: str) -> None:
    rng = np.random.default_rng(6)
    # what is left of the digits after the shift is exact
    near = np.round(rng.normal(size=(20_000, 3)) @ rng.normal(size=(3, 3)) * 2.0**20) / 2.0**20
    far = near + shift
    mixture = some_mixture(kind, 2, 3)
    mixture = replace(mixture, means=np.round(mixture.means * 2.0**20) / 2.0**20)
    moved = replace(mixture, means=mixture.means + shift)
    found = SufficientStatistics.from_block(far, None, moved.density(np.full(3, shift))).finalize(0.0)
    expected = SufficientStatistics.from_block(near, None, mixture.density(np.zeros(3))).finalize(0.0)
    np.testing.assert_allclose(found.covariances, expected.covariances, rtol=0, atol=1e-9)
    # with a centre somewhere among the data instead, as in a fit
    found = SufficientStatistics.from_block(far, None, moved.density()).finalize(0.0)
    np.testing.assert_allclose(found.covariances, expected.covariances, rtol=0, atol=1e-9)


# ---- bits


def digest(rows: np.ndarray, kind: str, weights: np.ndarray | None = None) -> str:
    """Digest of everything that a block gives."""
    density = some_mixture(kind, 5, rows.shape[1]).density(np.zeros(rows.shape[1]))
    sums = kernels.accumulate(rows, weights, density)
    parts = [sums.counts, sums.first, sums.second, np.array([sums.log_likelihood, sums.weight])]
    parts += [f(rows, density) for f in (kernels.log_likelihoods, kernels.responsibilities, kernels.labels)]
    return hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).hexdigest()


@pytest.mark.parametrize("kind", KINDS)
def test_a_block_has_the_same_bits_wherever_it_lies(kind: str) -> None:
    rows = np.random.default_rng(8).normal(size=(3001, 6)).astype("f4")
    first = digest(rows, kind)
    for make in LAYOUTS.values():
        assert digest(make(rows), kind) == first
        assert digest(make(rows.astype("f8")), kind) == first
    assert digest(rows, kind, np.ones(3001)) == first


@pytest.mark.parametrize("kind", KINDS)
def test_threads_do_not_disturb_each_other(kind: str) -> None:
    blocks = [np.random.default_rng(seed).normal(size=(4000, 6)) for seed in range(12)]
    alone = [digest(block, kind) for block in blocks]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda block: digest(block, kind), blocks)) == alone


ELSEWHERE = """
import importlib.util, json, sys
import numpy as np
spec = importlib.util.spec_from_file_location("here", sys.argv[1])
here = importlib.util.module_from_spec(spec)
spec.loader.exec_module(here)
rows = np.random.default_rng(8).normal(size=(3001, 6))
density = {kind: here.some_mixture(kind, 5, 6).density(np.zeros(6)) for kind in here.KINDS}
sums = {kind: here.kernels.accumulate(rows, None, d) for kind, d in density.items()}
values = {kind: [*s.counts, *s.first.ravel(), *s.second.ravel(), s.log_likelihood] for kind, s in sums.items()}
print(json.dumps([here.LANES, {kind: here.digest(rows, kind) for kind in here.KINDS}, values]))
"""


def elsewhere(cache: Path, **changes: str) -> Any:
    """What a process of its own finds, with a cache of its own."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}
    environment |= {"NUMBA_CACHE_DIR": str(cache)} | changes
    command = [sys.executable, "-W", "error", "-c", ELSEWHERE, __file__]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_another_process_finds_the_same_bits_also_from_the_cache(tmp_path: Path) -> None:
    rows = np.random.default_rng(8).normal(size=(3001, 6))
    here = {kind: digest(rows, kind) for kind in KINDS}
    for _ in range(2):
        assert elsewhere(tmp_path)[:2] == [LANES, here]
        written = {p.name: p.stat().st_mtime_ns for p in tmp_path.rglob("*.nbc")}
        assert any(name.startswith("compiled.add_products") for name in written)


@pytest.mark.slow
def test_any_processor_finds_the_same_numbers(tmp_path: Path) -> None:
    # as plain as its kind can be: no wide registers, no product and sum in one
    lanes, _, found = elsewhere(tmp_path, NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="")
    assert lanes == 4
    _, _, plain = elsewhere(tmp_path, NUMBA_DISABLE_JIT="1")
    _, _, expected = elsewhere(tmp_path)
    for kind in KINDS:
        np.testing.assert_allclose(found[kind], expected[kind], rtol=1e-11, atol=1e-10)
        np.testing.assert_allclose(plain[kind], expected[kind], rtol=1e-11, atol=1e-10)


# ---- what kernels are made of, and the memory they take


def dispatchers() -> Iterator[tuple[str, Dispatcher]]:
    """Everything in the package that Numba compiles, with the module it is written in."""
    for path in sorted(FOLDER.glob("[!_]*.py")):
        for value in vars(import_module(f"gravdask.mixture.{path.stem}")).values():
            if isinstance(value, Dispatcher):
                yield value.py_func.__module__.rpartition(".")[2], value


def test_the_cache_knows_what_kernels_are_made_of() -> None:
    assert {module for module, _ in dispatchers()} == {"compiled"}
    assert "compiled" in vectors.KERNELS
    for name in vectors.KERNELS:
        for node in ast.walk(ast.parse((FOLDER / f"{name}.py").read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gravdask"):
                assert node.module.rpartition(".")[2] in {*vectors.KERNELS, "arrays", "compiling"}
            if isinstance(node, ast.Import):
                assert not [alias.name for alias in node.names if alias.name.startswith("gravdask")]


def test_kernels_let_others_run_and_keep_the_order_of_sums() -> None:
    for _, kernel in dispatchers():
        assert kernel.targetoptions["nogil"]
        assert not kernel.targetoptions.get("fastmath")


def test_kernels_are_compiled_once_for_all_kinds_of_rows() -> None:
    density = some_mixture("full", 2, 3).density()
    for make in LAYOUTS.values():
        for dtype in ("f4", "f8", "i4", "f2"):
            kernels.accumulate(make(np.ones((5, 3), dtype)), None, density)
    compiled_so_far = [len(kernel.signatures) for _, kernel in dispatchers() if kernel.signatures]
    assert len(compiled_so_far) >= 4
    assert set(compiled_so_far) == {1}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["f4", "f8", "i2"])
def test_memory_is_that_of_a_strip(kind: str, dtype: str, engine: str) -> None:
    rows = np.random.default_rng(0).normal(size=(60_000, 16)).astype(dtype)
    weights = np.ones(len(rows))
    density = some_mixture(kind, 10, 16).density()
    kernels.accumulate(rows[:10], None, density)
    tracemalloc.start()
    kernels.accumulate(rows, weights, density)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # the rows in float64 take 7.7 MB, their responsibilities 4.8 MB
    assert peak < 4_500_000


@pytest.mark.parametrize("n_features", [1, 3, 4, 5, 17])
def test_packed_factors_hold_every_number_once(n_features: int) -> None:
    rng = np.random.default_rng(n_features)
    rows = np.tril(rng.uniform(1.0, 2.0, size=(2, n_features, n_features)))
    projection = np.concatenate([rng.uniform(1.0, 2.0, size=(2, n_features, 1)), rows], axis=2)
    packed = strips.pack_factors(projection.reshape(-1, 1 + n_features), 2)
    for k in range(2):
        given_numbers = np.sort(projection[k][projection[k] != 0.0])
        np.testing.assert_array_equal(np.sort(packed[k][packed[k] != 0.0]), given_numbers)
