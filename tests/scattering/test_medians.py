"""Medians of moduli, to the last bit, of numbers that lie in every way that could lead guesses astray."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gravdask.scattering.lanes import LANES, aligned
from gravdask.scattering.medians import medians

LARGEST = float(np.finfo(np.float32).max)
LEAST = float(np.finfo(np.float32).smallest_subnormal)


def found(rows: np.ndarray, first: int, length: int, frames: int) -> np.ndarray:
    """Medians of the kernel, with nothing but rubbish in its memory before."""
    room = aligned(((length + 3) * LANES,))
    room[:] = np.nan
    bits = room[length * LANES : (length + 1) * LANES].view(np.uint32)
    out = np.full((rows.shape[0], frames), -1.0, dtype=np.float32)
    medians(rows, first, length, room, bits, out)
    return out


def in_the_middle(frames: np.ndarray) -> np.ndarray:
    """Medians of the last axis by sorting; the mean of two is rounded to single precision as their sum is."""
    ordered = np.sort(frames, axis=-1)
    length = frames.shape[-1]
    low, high = ordered[..., (length - 1) // 2], ordered[..., length // 2]
    with np.errstate(over="ignore"):
        return np.asarray(np.where(low == high, low, np.float32(0.5) * (low + high)))


def medians_of(frames: np.ndarray) -> np.ndarray:
    """Medians of the kernel, of frames (n, length)."""
    return np.asarray(found(frames.astype(np.float32).reshape(1, -1), 0, frames.shape[1], frames.shape[0])[0])


def moduli(kind: str, shape: tuple[int, int], seed: int) -> np.ndarray:
    """Frames of numbers that are not negative."""
    rng = np.random.default_rng([seed, *kind.encode()])
    frames, length = shape
    rayleigh = np.hypot(*rng.standard_normal((2, *shape)))
    kinds: dict[str, Callable[[], np.ndarray]] = {
        "rayleigh": lambda: rayleigh,
        "quiet": lambda: rayleigh * 1e-41,
        "loud": lambda: rayleigh * 5e37,
        "onset": lambda: rayleigh * np.where(np.arange(length) < rng.integers(0, length + 1, (frames, 1)), 1.0, 1e4),
        "drift": lambda: rayleigh * np.exp(np.cumsum(rng.standard_normal(shape), axis=1)).clip(1e-30, 1e30),
        "decades": lambda: 10.0 ** rng.uniform(-30.0, 30.0, shape),
        "all decades": lambda: np.exp2(rng.uniform(-149.0, 128.0, shape)).clip(LEAST, LARGEST),
        "equal": lambda: np.repeat(rayleigh[:, :1], length, axis=1),
        "zero": lambda: np.zeros(shape),
        "half zero": lambda: rayleigh * (rng.random(shape) < 0.5),
        "steps": lambda: np.round(rayleigh * 2.0),
        "two": lambda: np.where(rng.random(shape) < 0.5, rayleigh[:, :1], rayleigh[:, :1] * 1e6),
        "neighbours": lambda: np.float32(rayleigh[:, :1]).view(np.int32) + rng.integers(0, 3, shape),
        "denormal": lambda: rng.integers(0, 50, shape) * LEAST,
        "outlier": lambda: np.where(np.arange(length) == 0, LARGEST, 1.0 + rayleigh * 1e-6),
        "clusters": lambda: 10.0 ** rng.choice([-20.0, 0.0, 20.0], shape) * (1.0 + 1e-3 * rayleigh),
        "bits": lambda: rng.integers(0, 0x7F80_0001, shape),
        "largest": lambda: np.where(rng.random(shape) < 0.6, LARGEST, np.inf),
    }
    made = kinds[kind]()
    if made.dtype.kind == "i":
        return np.asarray(made.astype(np.int32).view(np.float32))
    with np.errstate(under="ignore", over="ignore"):
        return np.asarray(made.astype(np.float32))


KINDS = (
    *("rayleigh", "quiet", "loud", "onset", "drift", "decades", "all decades", "equal", "zero", "half zero", "steps"),
    *("two", "neighbours", "denormal", "outlier", "clusters", "bits", "largest"),
)
LENGTHS = (1, 2, 3, 4, 5, 8, 9, 15, 16, 17, 31, 32, 33, 62, 125, 250, 500, 2000)


@pytest.mark.parametrize("kind", KINDS)
def test_medians_are_those_of_numpy_to_the_last_bit(kind: str) -> None:
    for length in LENGTHS:
        frames = moduli(kind, (35, length), length)
        with np.errstate(over="ignore", invalid="ignore"):
            expected = np.median(frames, axis=1)
        # numpy's sum of two large numbers is infinite even where they are the same
        expected = np.where(np.isinf(expected), in_the_middle(frames), expected)
        np.testing.assert_array_equal(medians_of(frames), expected, err_msg=str(length))


@pytest.mark.parametrize("length", [1, 2, 7, 16, 125, 1000])
def test_frames_of_all_kinds_side_by_side(length: int) -> None:
    # each lane is done after another number of passes, the last ones only by bisection
    every = np.concatenate([moduli(kind, (9, length), 5) for kind in KINDS])
    frames = every[np.random.default_rng(length).permutation(len(every))]
    np.testing.assert_array_equal(medians_of(frames), in_the_middle(frames))


NUMBERS = st.one_of(
    st.sampled_from([0.0, LEAST, 1.0, float(np.nextafter(np.float32(1), np.float32(2))), 2.0, LARGEST, np.inf]),
    st.floats(0.0, LARGEST, width=32),
    st.floats(0.0, np.inf, width=32),
)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_medians_of_any_numbers(data: st.DataObject) -> None:
    length = data.draw(st.integers(1, 40), label="length")
    pool = data.draw(st.lists(NUMBERS, min_size=1, max_size=3 * length), label="pool")
    frames = data.draw(st.integers(1, 40), label="frames")
    seed = data.draw(st.integers(0, 1 << 32), label="seed")
    drawn = np.random.default_rng(seed).choice(np.array(pool, dtype=np.float32), (frames, length))
    np.testing.assert_array_equal(medians_of(drawn), in_the_middle(drawn))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3), st.integers(1, 40), st.integers(1, 300), st.integers(0, 20), st.integers(0, 20), st.data())
def test_nothing_outside_the_frames_is_read_or_written(
    rows: int, frames: int, length: int, before: int, after: int, data: st.DataObject
) -> None:
    kind = data.draw(st.sampled_from(KINDS), label="kind")
    inside = moduli(kind, (rows * frames, length), length).reshape(rows, frames * length)
    around = np.full((rows, before + frames * length + after), -np.inf, dtype=np.float32)
    around[:, before : before + frames * length] = inside
    kept = around.copy()
    expected = in_the_middle(inside.reshape(rows, frames, length))
    np.testing.assert_array_equal(found(around, before, length, frames), expected)
    np.testing.assert_array_equal(around, kept)


@pytest.mark.parametrize("length", [1, 2, 3, 16, 125, 128])
def test_what_is_no_number_counts_as_infinite(length: int) -> None:
    # from none to all of them, about half above all
    rng = np.random.default_rng(length)
    share = np.concatenate([np.arange(length // 2 - 1, length // 2 + 2), rng.integers(0, length + 1, 37)])
    missing = rng.random((40, length)).argsort(axis=1) < share[:, np.newaxis]
    frames = moduli("rayleigh", (40, length), length)
    expected = in_the_middle(np.where(missing, np.inf, frames))
    for nothing in [np.float32(np.nan), -np.float32(np.nan), np.float32(np.inf)]:
        np.testing.assert_array_equal(medians_of(np.where(missing, nothing, frames)), expected)


def test_zero_has_no_sign() -> None:
    frames = moduli("half zero", (40, 20), 1)
    np.testing.assert_array_equal(medians_of(np.where(frames == 0, -0.0, frames)), in_the_middle(frames))
