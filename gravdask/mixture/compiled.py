"""The E- and the M-step over one strip of rows, compiled.

A strip lies features first, ``x[feature, row]``, as (features filled up to a multiple of `SIDE` by zeros, width). The
first ``columns`` of a row are worked on, a multiple of `STEP`; what stands beyond the last row of data has the weight
0. Arrays begin on a cache line and their rows are a multiple of eight numbers long, or kernels take twice the time.
"""

from __future__ import annotations

from gravdask.mixture.arrays import Float, Index
from gravdask.mixture.primitives import (
    SIDE,
    STEP,
    gather_double,
    gather_single,
    measure,
    multiply_half,
    multiply_square,
    multiply_triangle,
    project,
    share_out,
    weigh,
    weigh_squares,
)
from gravdask.mixture.vectors import LANES, WIDE, compiled, pointer

STRIPE = 128
"""Columns of a strip whose weighted features stay in the nearest cache."""
TILE = SIDE * SIDE * LANES
"""Numbers that one tile of second moments takes, lane by lane."""


@compiled
def gather(
    address: int, row_step: int, feature_step: int, single: bool, n_rows: int, centre: Float, begins: Index, x: Float
) -> None:
    """Lay rows side by side, less the centre, in double precision.

    Parameters
    ----------
    address, row_step, feature_step
        Where the rows begin, and bytes from one to the next; bytes from one feature to the next.
    single
        Whether they are of single precision, else of double.
    n_rows
        At least 1; columns beyond the last row, up to a multiple of `STEP`, repeat it.
    centre
        (n_features,).
    begins
        Room for `LANES` integers.
    x
        (features filled up, width), written.
    """
    for at in range(0, (n_rows + STEP - 1) // STEP * STEP, LANES):
        for lane in range(LANES):
            begins[lane] = min(at + lane, n_rows - 1) * row_step
        if single:
            gather_single(
                address, pointer(begins), feature_step, pointer(centre), centre.size, pointer(x), x.shape[1], at
            )
        else:
            gather_double(
                address, pointer(begins), feature_step, pointer(centre), centre.size, pointer(x), x.shape[1], at
            )


@compiled
def log_joint_full(x: Float, columns: int, factors: Float, constants: Float, joint: Float) -> None:
    """Write log π_k + log N(x | µ_k, Σ_k) for components with axes of their own.

    Parameters
    ----------
    x
        (features filled up, width).
    columns
        How many of them.
    factors
        (n_components, numbers of one), as `strips.pack_factors` lays them out.
    constants
        (n_components,), the value at the mean.
    joint
        (n_components, width), written.
    """
    tiles = x.shape[0] // SIDE
    for at in range(0, columns, STEP):
        for k in range(constants.size):
            place = k * joint.shape[1] + at
            project(pointer(x), x.shape[1], at, pointer(factors[k]), tiles, constants[k], pointer(joint), place)


@compiled
def log_joint_axes(x: Float, columns: int, offset: Float, scale: Float, constants: Float, joint: Float) -> None:
    """`log_joint_full` where the features are the axes: log π_k - ... - ½ Σ_j (scale_kj (x_j - offset_kj))².

    ``offset`` and ``scale`` are (n_components, n_features).
    """
    count = offset.shape[1]
    for at in range(0, columns, STEP):
        for k in range(constants.size):
            middle, factor, place = pointer(offset[k]), pointer(scale[k]), k * joint.shape[1] + at
            measure(pointer(x), x.shape[1], at, middle, factor, count, constants[k], pointer(joint), place)


@compiled
def normalise(joint: Float, columns: int, weights: Float, likelihoods: Float) -> None:
    """Turn log joint densities into responsibilities times weights, in place; write the log-likelihoods.

    Parameters
    ----------
    joint
        (n_components, width).
    columns
        How many of them.
    weights
        (width,).
    likelihoods
        (width,), written: log Σ_k exp(joint_k), not weighted.
    """
    for at in range(0, columns, LANES):
        share_out(pointer(joint), joint.shape[1], at, joint.shape[0], pointer(weights), pointer(likelihoods))


@compiled
def add_products(x: Float, columns: int, share: Float, weighted: Float, low: Float, second: Float) -> None:
    """Add Σ r, Σ r x and Σ r x xᵀ, lane by lane.

    Parameters
    ----------
    x
        (features filled up, width).
    columns
        How many of them.
    share
        r, (n_components, width).
    weighted
        (features filled up, at least `STRIPE`), overwritten.
    low
        (n_components, (1 + features filled up) `LANES`), added to: Σ r, then Σ r x.
    second
        (n_components, tiles `TILE`), added to: the tiles of the upper triangle row after row, each of them row by row;
        nothing is added below the diagonal.
    """
    px, ps, pw, p1, p2 = pointer(x), pointer(share), pointer(weighted), pointer(low), pointer(second)
    stride, width, tiles = x.shape[1], weighted.shape[1], x.shape[0] // SIDE
    for at in range(0, columns, STRIPE):
        count = min(STRIPE, columns - at)
        for k in range(share.shape[0]):
            weigh(px, stride, at, tiles, ps, k * share.shape[1] + at, count, pw, width, p1, k * low.shape[1])
            place = k * second.shape[1]
            for row in range(0, x.shape[0], SIDE):
                multiply_triangle(pw, width, row, px, stride, row * stride + at, count, p2, place)
                place += TILE
                for column in range(row + SIDE, x.shape[0], SIDE):
                    begin = column * stride + at
                    if WIDE:
                        multiply_square(pw, width, row, px, stride, begin, count, p2, place)
                    else:
                        multiply_half(pw, width, row, px, stride, begin, count, p2, place)
                        multiply_half(pw, width, row + SIDE // 2, px, stride, begin, count, p2, place + TILE // 2)
                    place += TILE


@compiled
def add_squares(x: Float, columns: int, share: Float, low: Float) -> None:
    """Add Σ r, Σ r x and Σ r x², lane by lane.

    ``low`` is (n_components, (1 + 2 features filled up) `LANES`), all else as in `add_products`.
    """
    px, ps, p1, tiles = pointer(x), pointer(share), pointer(low), x.shape[0] // SIDE
    for at in range(0, columns, STRIPE):
        count = min(STRIPE, columns - at)
        for k in range(share.shape[0]):
            begin, place = k * share.shape[1] + at, k * low.shape[1]
            weigh_squares(px, x.shape[1], at, tiles, ps, begin, count, px, 0, p1, place)
