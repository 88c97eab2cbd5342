"""The fits behind a selection: every candidate from every start, and without each block, in common passes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gravdask.errors import MixtureError
from gravdask.mixture import kernels
from gravdask.mixture.arrays import Float, Index, MatrixLike, VectorLike
from gravdask.mixture.blocks import row_blocks
from gravdask.mixture.em import EMSettings, EMState
from gravdask.mixture.gaussian_mixture import GaussianMixture
from gravdask.mixture.independence import effective_size
from gravdask.mixture.initialise import Start, draw_sample, start_parameters
from gravdask.mixture.lockstep import Answer, Question, adjusted_rand, answers, as_weights, labels_of, run_together
from gravdask.mixture.parameters import count_parameters
from gravdask.mixture.survey import Survey, survey_block

COLUMNS = (
    "covariance_type",
    "n_components",
    "n_parameters",
    "log_likelihood",
    "bic",
    "aic",
    "icl",
    "bic_effective",
    "effective_size",
    "held_out",
    "held_out_error",
    "held_out_loss",
    "held_out_loss_error",
    "stability",
    "converged",
    "note",
)
"""Columns of the table that a selection gives."""
_SCORES = 1 << 25
"""Scores of rows that are held at a time."""


@dataclass
class Candidate:
    """A covariance type and number of components, and its runs.

    Attributes
    ----------
    kind, k
        The two.
    runs
        Runs on all rows, one a start.
    folds
        Runs without one block of time, by its label.
    """

    kind: str
    k: int
    runs: list[EMState] = field(default_factory=list)
    folds: dict[int, EMState] = field(default_factory=dict)
    note: str = ""

    def best(self) -> tuple[EMState | None, list[EMState]]:
        """Run of the largest likelihood, and the others that ended well."""
        done = [run for run in self.runs if run.failure is None]
        if not done:
            return None, []
        best = max(range(len(done)), key=lambda n: (done[n].result().lower_bound, -n))
        return done[best], done[:best] + done[best + 1 :]


class Trial:
    """All candidates on the same rows.

    Parameters
    ----------
    X, labels, times
        Rows, labels of their blocks or None, and their times or None.
    template
        Gives tolerance, regularisation and method of the starts.
    generator, starts
        Of the starts.
    """

    def __init__(
        self,
        X: MatrixLike,
        labels: Index | None,
        times: VectorLike,
        template: GaussianMixture,
        generator: np.random.RandomState,
        starts: int,
    ) -> None:
        blocks = row_blocks(X)
        surveys: list[Survey] = blocks.map(survey_block)
        whole = surveys[0]
        for survey in surveys[1:]:
            whole = whole + survey
        if whole.bad_rows:
            msg = (
                f"X contains NaN or inf in {whole.bad_rows} of {whole.rows} rows, first in row {whole.first_bad_row}: "
                "leave such rows, their labels and times out before a selection"
            )
            raise MixtureError(msg)
        whole.check(1)
        for name, given in (("blocks", labels), ("times", times)):
            if given is not None and given.shape != (whole.rows,):
                msg = f"{name} has shape {given.shape}, but X has {whole.rows} rows: one value per row is needed"
                raise MixtureError(msg)
        self.blocks = blocks if labels is None else row_blocks(X, as_weights(labels))
        self.times, self.template, self.starts = times, template, starts
        self.centre, self.n_features = whole.total / whole.weight, blocks.n_features
        self.fold_labels = [] if labels is None else [int(n) for n in np.unique(labels[labels >= 0])]
        self.seeds = [int(seed) for seed in generator.randint(np.iinfo(np.int32).max, size=starts)]
        sizes = [survey.rows for survey in surveys]
        sample, weights = draw_sample(self.blocks, sizes, np.random.RandomState(self.seeds[0]))
        self.sample, self.sample_labels = sample, None if weights is None else labels_of(weights)
        self.candidates: list[Candidate] = []
        self.passes = 2

    def run(self, candidates: list[tuple[str, int]]) -> None:
        """Fit every candidate from every start, and without each block."""
        states: list[EMState] = []
        folds: list[int | None] = []
        for kind, k in candidates:
            candidate = Candidate(kind, k)
            self.candidates.append(candidate)
            try:
                candidate.runs = [self._start(candidate, seed, None) for seed in self.seeds]
                candidate.folds = {fold: self._start(candidate, self.seeds[0], fold) for fold in self.fold_labels}
            except MixtureError as error:
                candidate.note = str(error)
                candidate.runs, candidate.folds = [], {}
                continue
            states += [*candidate.runs, *candidate.folds.values()]
            folds += [*([None] * len(candidate.runs)), *candidate.folds]
        self.passes += run_together(self.blocks, states, folds)

    def _start(self, candidate: Candidate, seed: int, fold: int | None) -> EMState:
        """Begin a run; one without a block knows nothing of that block's rows."""
        settings = self.template
        start = Start(candidate.kind, candidate.k, settings.init_params, settings.reg_covar, None, None, None)
        rows = self.sample
        if fold is not None and self.sample_labels is not None:
            rows = rows[(self.sample_labels >= 0) & (self.sample_labels != fold)]
        parameters = start_parameters(start, (rows, None), self.centre, np.random.RandomState(seed))
        return EMState(parameters, self.centre, EMSettings(settings.tol, settings.reg_covar, settings.max_iter))

    def judge(self) -> tuple[list[dict[str, Any]], list[Float]]:
        """Criteria of every candidate, and held-out log-likelihoods per row of its blocks."""
        rows: list[dict[str, Any]] = []
        folds: list[Float] = []
        # scores of all rows come back for some candidates at a time, so that they fit the memory
        at_once = max(_SCORES // max(1, 1 if self.times is None else len(self.times)), 1)
        for first in range(0, len(self.candidates), at_once):
            for row, fold in self._judge(self.candidates[first : first + at_once]):
                rows.append(row)
                folds.append(fold)
        return rows, folds

    def _judge(self, candidates: list[Candidate]) -> list[tuple[dict[str, Any], Float]]:
        """Criteria of some candidates, in one pass."""
        asked = [(c, *c.best()) for c in candidates]
        questions = [
            Question(best.density(), tuple(o.density() for o in others), _densities(c.folds))
            for c, best, others in asked
            if best is not None
        ]
        found: list[tuple[tuple[Answer, ...], Float]] = []
        if questions:
            found = self.blocks.map(answers, questions, self.times is not None)
            self.passes += 1
        result, number = [], 0
        for candidate, best, _ in asked:
            if best is None:
                result.append((_row(candidate, self.n_features), np.zeros(0)))
                continue
            answer = found[0][0][number]
            for part, _ in found[1:]:
                answer = answer + part[number]
            row, fold = _criteria(candidate, best, answer, self.n_features)
            if self.times is not None:
                scores = np.concatenate([part[number] for _, part in found])
                row["effective_size"] = effective_size(scores, self.times)
            result.append((row, fold))
            number += 1
        return result


def _densities(folds: dict[int, EMState]) -> dict[int, kernels.Density]:
    """What the fits without one block each ask of the rows; none if one of them failed."""
    if any(run.failure is not None for run in folds.values()):
        return {}
    return {fold: run.density() for fold, run in folds.items()}


def _row(candidate: Candidate, n_features: int) -> dict[str, Any]:
    """Row of the table for a candidate, with what is known without a fit."""
    row: dict[str, Any] = dict.fromkeys(COLUMNS, np.nan)
    failures = [run.failure for run in [*candidate.runs, *candidate.folds.values()] if run.failure is not None]
    note = candidate.note or (str(failures[0]) if failures else "")
    row |= {"covariance_type": candidate.kind, "n_components": candidate.k, "converged": False, "note": note}
    row["n_parameters"] = count_parameters(candidate.k, n_features, candidate.kind)
    return row


def _criteria(candidate: Candidate, best: EMState, answer: Answer, n_features: int) -> tuple[dict[str, Any], Float]:
    """Row of the table for a candidate, and its held-out log-likelihood per row for each block."""
    row = _row(candidate, n_features)
    total, n_rows = answer.log_likelihood, answer.rows
    bic = -2.0 * total + row["n_parameters"] * np.log(n_rows)
    row |= {
        "log_likelihood": total / n_rows,
        "bic": bic,
        "aic": -2.0 * total + 2.0 * row["n_parameters"],
        "icl": bic + 2.0 * answer.entropy,
        "converged": best.result().converged,
    }
    if len(answer.tables):
        row["stability"] = float(np.mean([adjusted_rand(table) for table in answer.tables]))
    if not len(answer.held_out):
        return row, np.zeros(0)
    fold, weight = answer.held_out[:, 0] / answer.held_out[:, 1], answer.held_out[:, 1]
    row["held_out"] = float(fold @ weight / weight.sum())
    row["held_out_error"] = float(fold.std(ddof=1) / np.sqrt(len(fold)))
    return row, fold
