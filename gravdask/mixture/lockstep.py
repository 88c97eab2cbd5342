"""Many runs of EM side by side: every pass over the rows serves all of them.

Rows that are read from disk, or sent over a network, cost more than the arithmetic on them. Candidates of a selection,
their starts and their held-out blocks therefore iterate together, and a pass ends those that have converged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gravdask.errors import MixtureError
from gravdask.mixture import kernels
from gravdask.mixture.arrays import Float, Index, Rows
from gravdask.mixture.blocks import RowBlocks
from gravdask.mixture.em import EMState
from gravdask.mixture.kernels import Density
from gravdask.mixture.reseed import LeastLikely
from gravdask.mixture.statistics import SufficientStatistics

_OFFSET = 2.0
"""Labels from -1 on travel as weights from 1 on: a weight of 0 would mean that there is no row."""


@dataclass(frozen=True)
class Sums:
    """Sums of several runs: they are added one by one."""

    parts: tuple[Any, ...]

    def __add__(self, other: Sums) -> Sums:
        """Add each to its partner."""
        return Sums(tuple(a + b for a, b in zip(self.parts, other.parts, strict=True)))


def as_weights(labels: Index) -> Float:
    """Block labels (-1 for none) in the place of weights."""
    return labels.astype(np.float64) + _OFFSET


def labels_of(weights: Float) -> Index:
    """Block labels from what `as_weights` made of them."""
    return (weights - _OFFSET).astype(np.int64)


def _rows_of(rows: Rows, weights: Float | None, fold: int | None, cut: dict[int, Rows]) -> Rows:
    """Rows that a run is fitted to: all of them, or those of every block but one."""
    if fold is None or weights is None:
        return rows
    if fold not in cut:
        labels = labels_of(weights)
        cut[fold] = rows[(labels >= 0) & (labels != fold)]
    return cut[fold]


def _each_sum(
    rows: Rows, weights: Float | None, asked: Sequence[tuple[int | None, Callable[..., Any], tuple[Any, ...]]]
) -> Sums:
    """Sums of one block for every run: (fold, function of rows and weights, its other arguments)."""
    cut: dict[int, Rows] = {}
    return Sums(tuple(f(_rows_of(rows, weights, fold, cut), None, *more) for fold, f, more in asked))


def run_together(blocks: RowBlocks, states: Sequence[EMState], folds: Sequence[int | None]) -> int:
    """Iterate all runs until each has converged, failed, or come to its last iteration.

    Parameters
    ----------
    blocks
        The rows, with `as_weights` of their labels where a fold is not None.
    states
        The runs; a failure is kept in each and does not end the others.
    folds
        Label of the block that each run leaves out (with all rows of label -1), or None.

    Returns
    -------
    passes
        Passes over the rows.
    """
    passes = 0
    pairs = list(zip(states, folds, strict=True))
    while active := [(state, fold) for state, fold in pairs if state.active]:
        steps = [(fold, SufficientStatistics.from_block, (state.density(),)) for state, fold in active]
        found: Sums = blocks.reduce(_each_sum, steps)
        passes += 1
        for (state, _), statistics in zip(active, found.parts, strict=True):
            _guarded(state, state.take, statistics)
        if lost := [(state, fold) for state, fold in active if state.wanted and state.failure is None]:
            seeds = [(fold, LeastLikely.from_block, (state.density(), state.wanted)) for state, fold in lost]
            least: Sums = blocks.reduce(_each_sum, seeds)
            passes += 1
            for (state, _), rows in zip(lost, least.parts, strict=True):
                _guarded(state, state.reseed, rows)
    return passes


def _guarded(state: EMState, step: Callable[[Any], None], given: object) -> None:
    """Do a step of a run; keep why it failed."""
    try:
        step(given)
    except MixtureError as error:
        state.failure = error


@dataclass(frozen=True)
class Question:
    """What is asked of the rows about one candidate.

    Attributes
    ----------
    density
        Its fit to all rows.
    others
        Fits from other starts, whose labels are compared with its own.
    folds
        Fits without one block each, by the label of that block.
    """

    density: Density
    others: tuple[Density, ...]
    folds: dict[int, Density]


@dataclass(frozen=True)
class Answer:
    """Sums over rows about one candidate: a monoid.

    Attributes
    ----------
    log_likelihood, rows, entropy
        Sum of the rows' log-likelihoods, their number, and the sum of the entropies of their posteriors.
    tables
        Rows by label of this fit and of another, (n_others, n_components, n_components).
    held_out
        For each block its log-likelihood under the fit without it, and its number of rows, (n_folds, 2).
    """

    log_likelihood: float
    rows: int
    entropy: float
    tables: Float
    held_out: Float

    def __add__(self, other: Answer) -> Answer:
        """Return the sums over both sets of rows."""
        return Answer(
            self.log_likelihood + other.log_likelihood,
            self.rows + other.rows,
            self.entropy + other.entropy,
            self.tables + other.tables,
            self.held_out + other.held_out,
        )


def answers(
    rows: Rows, weights: Float | None, questions: Sequence[Question], scored: bool
) -> tuple[tuple[Answer, ...], Float]:
    """Answer questions from one block; also the log-likelihood of each row under each fit, (n_questions, n_rows).

    Those are left out, (n_questions, 0), unless ``scored``.
    """
    cut: dict[int, Rows] = {}
    labels = None if weights is None else labels_of(weights)
    found = []
    scores = np.empty((len(questions), len(rows) if scored else 0))
    for number, question in enumerate(questions):
        likelihoods = kernels.log_likelihoods(rows, question.density)
        if scored:
            scores[number] = likelihoods
        held_out = np.zeros((len(question.folds), 2))
        for place, (fold, density) in enumerate(sorted(question.folds.items())):
            if fold not in cut:
                cut[fold] = rows[labels == fold]
            held_out[place] = kernels.log_likelihoods(cut[fold], density).sum(), len(cut[fold])
        share = kernels.responsibilities(rows, question.density)
        entropy = -float(np.sum(share * np.log(np.where(share > 0.0, share, 1.0))))
        tables = _tables(rows, share.argmax(axis=1), question)
        found.append(Answer(float(likelihoods.sum()), len(rows), entropy, tables, held_out))
    return tuple(found), scores


def _tables(rows: Rows, mine: Index, question: Question) -> Float:
    """Count rows by label of a fit and label of each other one."""
    size = question.density.n_components
    tables = np.zeros((len(question.others), size, size))
    for table, other in zip(tables, question.others, strict=True):
        np.add.at(table, (mine, kernels.labels(rows, other)), 1.0)
    return tables


def adjusted_rand(table: Float) -> float:
    """Adjusted Rand index of two labellings from the counts of their pairs (Hubert and Arabie 1985)."""

    def pairs(counts: Float) -> float:
        """Pairs of rows within groups of these sizes."""
        return float((counts * (counts - 1.0)).sum() / 2.0)

    both, first, second = pairs(table), pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    expected = first * second / max(pairs(np.array([table.sum()])), 1.0)
    most = (first + second) / 2.0
    return 1.0 if most == expected else (both - expected) / (most - expected)
