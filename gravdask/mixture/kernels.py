"""The E-step over the rows of one block.

Rows are worked through in strips small enough for the processor's cache. Inside a strip the features lie along the
first axis (``(n_features, n_rows)``), so that every pass runs along contiguous memory. Nothing of shape rows x
components x features ever exists for more than a strip. All arithmetic is float64, whatever the type of the rows.

Strips are worked on by compiled kernels (`strips.CompiledStrip`) or, where Numba must not compile
(``NUMBA_DISABLE_JIT``), by plain NumPy: all components are projected by one matrix product, and all sufficient
statistics come out of one more.

Notation of the formulas: x a row, c the fixed centre, µ_k a mean, U_k the upper triangular matrix with
U_k U_kᵀ = Σ_k⁻¹, π_k a weight, d the number of features, K the number of components.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from gravdask.mixture import strips
from gravdask.mixture.arrays import Float, Index, Rows

COVARIANCE_TYPES = ("full", "tied", "diag", "spherical")
"""The four shapes of covariance, named as in scikit-learn."""

_STRIP_BYTES = 1 << 21
_STRIP_ROWS = (64, 4096)


@dataclass(frozen=True)
class Density:
    """What the E-step needs of a mixture, prepared once an iteration and sent to the blocks.

    Attributes
    ----------
    covariance_type
        One of `COVARIANCE_TYPES`.
    centre
        c, (n_features,): subtracted from every row before anything is multiplied.
    projection
        full: rows of U_kᵀ with -U_kᵀ(µ_k - c) as first column, (n_components * n_features, 1 + n_features);
        tied: Uᵀ, (n_features, n_features); diag: 1/σ, (n_components, n_features); spherical: 1/σ, (n_components,).
    offset
        full: unused, (0,); tied: Uᵀ(µ_k - c), (n_components, n_features); diag, spherical: µ_k - c, same shape.
    log_constant
        log π_k - ½ d log 2π + log det U_k, (n_components,); -inf where π_k is 0.
    """

    covariance_type: str
    centre: Float
    projection: Float
    offset: Float
    log_constant: Float

    @property
    def n_components(self) -> int:
        """Number of components."""
        return int(self.log_constant.shape[0])

    @property
    def n_features(self) -> int:
        """Number of features."""
        return int(self.centre.shape[0])


@dataclass(frozen=True)
class BlockSums:
    """Raw sums of one block under one density (see `accumulate`)."""

    counts: Float
    first: Float
    second: Float
    log_likelihood: float
    weight: float


def packed_size(n_features: int) -> int:
    """Return the number of entries of the upper triangle, diagonal included."""
    return n_features * (n_features + 1) // 2


def second_shape(covariance_type: str, n_components: int, n_features: int) -> tuple[int, ...]:
    """Return the shape of the second-order sums of a covariance type.

    full: the packed upper triangle per component; tied: one packed triangle; diag: a square per feature; spherical: the
    sum of squares.
    """
    shapes: dict[str, tuple[int, ...]] = {
        "full": (n_components, packed_size(n_features)),
        "tied": (packed_size(n_features),),
        "diag": (n_components, n_features),
        "spherical": (n_components,),
    }
    return shapes[covariance_type]


def strip_rows(covariance_type: str, n_components: int, n_features: int) -> int:
    """Return how many rows a strip has: a multiple of 64, a function of the model's size only.

    It must not depend on the machine or the block: it decides the order of the sums and with it their last bits.
    """
    height = 1 + n_features + n_components
    if covariance_type == "full":
        height += packed_size(n_features) + n_components * n_features
    else:
        height += 3 * n_features
    if not numba.config.DISABLE_JIT:
        return strips.strip_rows(n_components, n_features)
    low, high = _STRIP_ROWS
    return int(np.clip(_STRIP_BYTES // (8 * height) // 64 * 64, low, high))


class _PlainStrip:
    """`strips.CompiledStrip` in plain NumPy.

    Attributes
    ----------
    moments
        (1 + n_features [+ packed triangle], width): ones, the features less the centre, and for "full" their products.
    whitened
        full: (n_components * n_features, width); else (2 * n_features, width).
    joint
        (n_components, width): log joint densities, then responsibilities.
    """

    def __init__(self, density: Density, width: int) -> None:
        n_features, n_components, kind = density.n_features, density.n_components, density.covariance_type
        self.density = density
        self.low_order = np.zeros((n_components, 1 + n_features))
        self.second = np.zeros(second_shape(kind, n_components, n_features))
        self._allocate(width)

    def _allocate(self, width: int) -> None:
        """Make the buffers: fresh ones for every strip cost as much as the arithmetic."""
        n_features, n_components = self.density.n_features, self.density.n_components
        full = self.density.covariance_type == "full"
        self.width = width
        self.moments = np.empty((1 + n_features + (packed_size(n_features) if full else 0), width))
        self.moments[0] = 1.0
        self.whitened = np.empty((n_components * n_features if full else 2 * n_features, width))
        self.joint = np.empty((n_components, width))

    def load(self, rows: Rows, weights: Float | None) -> None:
        """Take the next rows, at least one, with their weights."""
        if len(rows) != self.width:
            self._allocate(len(rows))
        self.weights = weights
        np.subtract(rows.T, self.density.centre[:, None], out=self.moments[1 : 1 + self.density.n_features])

    def log_joint(self) -> Float:
        """Return log π_k + log N(x | µ_k, Σ_k), (n_components, n_rows): a view that the next strip overwrites."""
        density, distance = self.density, self.joint
        n_components, n_features = density.n_components, density.n_features
        if density.covariance_type == "full":
            whitened = np.matmul(density.projection, self.moments[: 1 + n_features], out=self.whitened)
            np.square(whitened, out=whitened)
            whitened.reshape(n_components, n_features, self.width).sum(axis=1, out=distance)
        else:
            base, difference = self.moments[1 : 1 + n_features], self.whitened[:n_features]
            if density.covariance_type == "tied":
                base = np.matmul(density.projection, base, out=self.whitened[n_features:])
            for k in range(n_components):
                np.subtract(base, density.offset[k][:, None], out=difference)
                if density.covariance_type == "diag":
                    difference *= density.projection[k][:, None]
                np.square(difference, out=difference)
                difference.sum(axis=0, out=distance[k])
            if density.covariance_type == "spherical":
                distance *= np.square(density.projection)[:, None]
        distance *= -0.5
        distance += density.log_constant[:, None]
        return distance

    def normalise(self) -> tuple[Float, Float]:
        """Turn `log_joint` into responsibilities times weights; return these (a view) and the log-likelihoods."""
        joint = self.joint
        top = joint.max(axis=0)
        joint -= top
        np.exp(joint, out=joint)
        total = joint.sum(axis=0)
        joint /= total
        if self.weights is not None:
            joint *= self.weights
        np.log(total, out=total)
        total += top
        return joint, np.asarray(total)

    def add(self) -> None:
        """Add the strip's moments to the sums."""
        n_low, kind = self.low_order.shape[1], self.density.covariance_type
        share, x = self.joint, self.moments[1:n_low]
        if kind == "full":
            row = n_low
            for j in range(len(x)):
                np.multiply(x[j], x[j:], out=self.moments[row : row + len(x) - j])
                row += len(x) - j
            sums = share @ self.moments.T
            self.low_order += sums[:, :n_low]
            self.second += sums[:, n_low:]
            return
        self.low_order += share @ self.moments.T
        if kind == "tied":
            scatter = x @ (x if self.weights is None else x * self.weights).T
            self.second += scatter[np.triu_indices(len(x))]
            return
        squares = np.square(x, out=self.whitened[: len(x)])
        self.second += share @ (squares.sum(axis=0) if kind == "spherical" else squares.T)

    def sums(self) -> tuple[Float, Float, Float]:
        """Return counts, first and second moments of all strips that were added."""
        return self.low_order[:, 0].copy(), self.low_order[:, 1:].copy(), self.second


def _strip(rows: Rows, density: Density) -> tuple[_PlainStrip | strips.CompiledStrip, list[slice]]:
    """Return the memory of a strip, and which rows to load one after the other."""
    step = strip_rows(density.covariance_type, density.n_components, density.n_features)
    make = _PlainStrip if numba.config.DISABLE_JIT else strips.CompiledStrip
    parts = [slice(start, min(start + step, len(rows))) for start in range(0, len(rows), step)]
    return make(density, min(step, len(rows))), parts


def accumulate(rows: Rows, weights: Float | None, density: Density) -> BlockSums:
    """Return the sufficient statistics of one block: the E-step.

    With r_ik the responsibility of component k for row i times the row's weight:
    N_k = Σ r, F_k = Σ r (x - c), S_k = Σ r (x - c)(x - c)ᵀ (upper triangle) and Σ w log p(x).

    Parameters
    ----------
    rows
        (n_rows, n_features), finite, any real type; no rows give zeros.
    weights
        (n_rows,) or None for ones.
    density
        The mixture of this iteration.

    Returns
    -------
    BlockSums
        counts (n_components,), first (n_components, n_features), second (`second_shape`), log_likelihood, weight.
    """
    strip, parts = _strip(rows, density)
    log_likelihood = 0.0
    for part in parts:
        weight = None if weights is None else weights[part]
        strip.load(rows[part], weight)
        strip.log_joint()
        _, likelihoods = strip.normalise()
        strip.add()
        log_likelihood += float((likelihoods if weight is None else likelihoods * weight).sum())
    total = float(len(rows)) if weights is None else float(weights.sum())
    return BlockSums(*strip.sums(), log_likelihood, total)


def log_likelihoods(rows: Rows, density: Density) -> Float:
    """Return log p(x) of each row, (n_rows,), by a log-sum-exp over the components."""
    out = np.empty(len(rows))
    strip, parts = _strip(rows, density)
    for part in parts:
        strip.load(rows[part], None)
        strip.log_joint()
        out[part] = strip.normalise()[1]
    return out


def responsibilities(rows: Rows, density: Density) -> Float:
    """Return the posterior probability of each component for each row, (n_rows, n_components)."""
    out = np.empty((len(rows), density.n_components))
    strip, parts = _strip(rows, density)
    for part in parts:
        strip.load(rows[part], None)
        strip.log_joint()
        out[part] = strip.normalise()[0].T
    return out


def labels(rows: Rows, density: Density) -> Index:
    """Return the most probable component of each row, (n_rows,); the lower index where two are equal."""
    out = np.empty(len(rows), dtype=np.int64)
    strip, parts = _strip(rows, density)
    for part in parts:
        strip.load(rows[part], None)
        out[part] = strip.log_joint().argmax(axis=0)
    return out
