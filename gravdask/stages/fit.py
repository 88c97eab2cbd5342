"""fit: one frozen model for each rate, from all frames of all its channels.

The rows stay on the workers as a Dask array: dask-ml's StandardScaler runs over all of them, its PCA over a seeded
sample that every stratum of station and time enters at the same share, and the mixture over all projected rows.
"""

from __future__ import annotations

import time
import warnings
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal

import dask
import dask.array as da
import numpy as np
from numpy.typing import NDArray

from gravdask.config import FitConfig, digest
from gravdask.errors import MixtureError, ModelError
from gravdask.execution import Failure, Runner
from gravdask.features.clusters import kmeans_start
from gravdask.features.columns import Columns, choose_columns
from gravdask.features.independent import fit_independent
from gravdask.features.medians import channel_medians
from gravdask.features.projection import Projection, fit_projection
from gravdask.grid import Rate, frame_blocks
from gravdask.mixture import GaussianMixture
from gravdask.progress import followed
from gravdask.scattering import ScatteringNetwork
from gravdask.stages.base import VERSIONS, Context
from gravdask.stages.channels import Channel, feature_channel
from gravdask.stages.choice import Choice, choose
from gravdask.stages.matching import in_words, keep_numbers
from gravdask.stages.model import Medians, Model, current_digest, load_model, save_model
from gravdask.stages.rows import FitRows, Part
from gravdask.stages.scatter import network_for
from gravdask.stages.selection import model_channels
from gravdask.store.ledger import Record

Array = NDArray[np.float64]
DEFAULT_FEATURES = 10
ROWS_PER_FEATURE = 50
ALMOST = 0.95
"""Frames at the edges of a record and of its gaps are lost; so many of the least days count as enough."""
LEAST_FRAMES = 30
"""Frames that any model needs."""
START_ROWS = 1 << 16
"""Rows on which dask-ml's k-means starts the mixture, at most: every so many of each channel's, in order."""
FEW_BYTES = 64_000_000
"""Projected rows up to this size are fitted in the client."""


@dataclass(frozen=True)
class Survey:
    """What one pass over a channel's coefficients finds.

    Attributes
    ----------
    medians
        Normalisation of the channel.
    masks
        Which frames of each part have coefficients.
    """

    medians: Medians
    masks: tuple[NDArray[np.bool_], ...]

    @property
    def rows(self) -> int:
        """Frames with coefficients."""
        return sum(int(mask.sum()) for mask in self.masks)


def parts_of(context: Context, channel: Channel) -> list[Part]:
    """Finished units of a channel's coefficients, each trimmed to where it holds frames."""
    parts = []
    for record in context.ledger.of_stage("scatter", channel.name):
        if record.finished and record.info.get("frames"):
            start, stop = record.info["extent"]
            parts.append(Part(context.store, channel.name, record.unit, start, stop))
    return parts


def survey(task: tuple[list[Part], Columns]) -> Survey:
    """Count the valid frames of a channel and find its medians, with one part in memory at a time."""
    parts, columns = task
    found = channel_medians([p.coefficients for p in parts], columns)
    return Survey(Medians(found.path, found.column), tuple(p.valid() for p in parts))


def columns_for(network: ScatteringNetwork, settings: FitConfig) -> Columns:
    """Columns of a network by the configuration."""
    paths = network.paths
    return choose_columns(
        np.asarray(paths["order"].values, np.int64),
        np.asarray(paths["frequency_1"].values),
        np.asarray(paths["frequency_2"].values),
        network.frame_samples / network.sampling_rate,
        settings.blocks,
    )


def needs_fit(context: Context) -> dict[str, list[Channel]]:
    """Rates that have no model yet, or that a refit was asked for, with their channels."""
    wanted: dict[str, list[Channel]] = {}
    root = context.root()
    for channel in model_channels(context.features(), context.config.fit.channels):
        network = network_for(channel.rate, context.config.scattering)
        present = current_digest(root, str(channel.rate), network.digest)
        if not present or context.config.fit.refit == "always":
            wanted.setdefault(str(channel.rate), []).append(channel)
    return wanted


def fit_rate(context: Context, rate: str, channels: list[Channel], runner: Runner) -> tuple[bool, list[str]]:
    """Fit and store the model of one rate; tells whether there is one now, and notes on what was left out, and why.

    A rate whose channels have too few frames gets no model, and the notes say so.
    """
    begun = time.monotonic()
    settings = context.config.fit
    network = network_for(Rate.parse(rate), context.config.scattering)
    try:
        columns = columns_for(network, settings)
    except ModelError as error:
        return False, [f"{rate}: no model is fitted: {error}"]
    surveys, notes = _survey_all(context, channels, columns, network, runner)
    if not surveys:
        return False, [*notes, f"{rate}: no model is fitted, because no channel has enough frames (fit.min_days)"]
    frames = sum(s.rows for s in surveys.values())
    if frames < LEAST_FRAMES:
        few = f"{rate}: no model is fitted to {frames} frames, at least {LEAST_FRAMES} are needed"
        return False, [*notes, f"{few} ({', '.join(surveys)})"]
    try:
        model, score, words = _fit_model(context, rate, network, columns, surveys, runner)
    except (ModelError, MixtureError) as error:
        return False, [*notes, f"{rate}: no model is fitted to {', '.join(surveys)}: {error}"]
    save_model(context.store, model)
    record = Record("fit", rate, 0, digest(model.digest), "done", info=model.provenance)
    context.ledger.add(replace(record, seconds=time.monotonic() - begun))
    size = f"{model.n_components} components in {len(model.projection.components)} features"
    about = f"{rate}: model {model.digest} of {size} from {frames} frames, mean log-likelihood {score:.3f}"
    return True, [*notes, about, *words]


def _fit_model(
    context: Context,
    rate: str,
    network: ScatteringNetwork,
    columns: Columns,
    surveys: dict[str, Survey],
    runner: Runner,
) -> tuple[Model, float, list[str]]:
    """Fit the model of one rate to the channels surveyed; gives it, its mean log-likelihood and warnings.

    Raises
    ------
    ModelError, MixtureError
        If the frames do not determine one.
    """
    settings = context.config.fit
    keep = np.mean([np.isnan(s.medians.column) for s in surveys.values()], axis=0) < 0.5
    columns = columns.take(keep)
    medians = {n: Medians(s.medians.path, s.medians.column[keep]) for n, s in surveys.items()}
    parts = {n: parts_of(context, feature_channel(context.channels[n], context.config.preprocess)) for n in surveys}
    found = [(p, mask, medians[n]) for n, s in surveys.items() for p, mask in zip(parts[n], s.masks, strict=True)]
    rows = FitRows.of(found, columns)
    total = len(rows.index)
    n_features = _n_features(settings, total, len(columns))
    during, many = context.progress.during, f"{total} frames"
    with runner.arrays():
        with during(f"fit: scaling and features of {many} with {len(columns)} columns"):
            projection, remarks = _fit_projection(rows, settings, n_features)
        with during(f"fit: choosing the mixture by a share of {many}"):
            choice = _choose(rows, projection, settings, _guard(network))
        with during(f"fit: {choice.n_components} components to {many}"):
            mixture, score, words = _fit_mixture(rows.array(projection), choice, settings)
        words += remarks
    match, more = _numbered(context, rate, network, (mixture, projection, columns))
    provenance = {
        "channels": sorted(surveys),
        "rows": total,
        "mean_log_likelihood": score,
        "converged": bool(mixture.converged_),
        "selection": choice.provenance(),
        "match": match,
        "settings": settings.model_dump(mode="json"),
        "version": VERSIONS["fit"],
    }
    words[:0] = more
    words.insert(0, f"{rate}: {choice.n_components} components, {choice.covariance_type}: {choice.reason}")
    return Model(rate, network.digest, columns, projection, mixture, medians, {}, provenance), score, words


def _numbered(
    context: Context, rate: str, network: ScatteringNetwork, fitted: tuple[GaussianMixture, Projection, Columns]
) -> tuple[dict[str, Any], list[str]]:
    """Give components the numbers of the model before, where there is one that can be read; tells how, and in words."""
    before = current_digest(context.root(), rate, network.digest)
    if not before:
        return {}, []
    try:
        match = keep_numbers(*fitted, load_model(context.store, rate, before))
    except ModelError as error:
        return {}, [f"{rate}: the components are numbered anew, without regard to the model before: {error}"]
    return match, [f"{rate}: {in_words(match)}"] if match else []


def _survey_all(
    context: Context,
    channels: list[Channel],
    columns: Columns,
    network: ScatteringNetwork,
    runner: Runner,
) -> tuple[dict[str, Survey], list[str]]:
    """Survey every channel; leave out those with too few frames, and those that fail, with a note."""
    least = context.config.fit.min_days * 86_400 * network.sampling_rate / network.frame_samples
    tasks = [(parts, columns) for c in channels if (parts := parts_of(context, c))]
    found: dict[str, Survey] = {}
    notes = [f"{c.name}: no frames, not in the fit" for c in channels if not parts_of(context, c)]
    for (parts, _), result in followed(context.progress, "fit: channels", runner.run(survey, tasks), len(tasks)):
        name = parts[0].channel
        if isinstance(result, Failure):
            notes.append(f"{name}: not in the fit: {result.reason}")
        elif np.isnan(result.medians.column).all():
            notes.append(f"{name}: its record has no energy at any period, not in the fit")
        elif result.rows < ALMOST * least:
            notes.append(f"{name}: {result.rows} valid frames, the fit asks for {least:.0f} (fit.min_days)")
        else:
            found[name] = result
    return dict(sorted(found.items())), sorted(notes)


def _n_features(settings: FitConfig, rows: int, columns: int) -> int:
    """Number of principal components: those asked for, or fewer for short records."""
    return min(settings.n_features or max(min(DEFAULT_FEATURES, rows // ROWS_PER_FEATURE), 2), columns)


def _guard(network: ScatteringNetwork) -> int:
    """Frames that must lie between two frames that have no sample in common."""
    reach = float(np.nanmax(network.paths["reach"].values)) * network.sampling_rate
    return int(np.ceil(2.0 * reach / network.frame_samples)) + 1


def _choose(rows: FitRows, projection: Projection, settings: FitConfig, guard: int) -> Choice:
    """Choose the mixture from a share of all rows."""

    def draw(share: float) -> tuple[Array, NDArray[np.int64]]:
        """Features and frame numbers of a share of all rows."""
        drawn = rows.sampled(settings.seed, share)
        return drawn.compute(projection), drawn.index.frame

    return choose(settings, len(rows.index), len(projection.components), guard, draw)


def _fit_projection(rows: FitRows, settings: FitConfig, n_features: int) -> tuple[Projection, list[str]]:
    """Fit scaling and features; gives also what is to be told of them."""
    share = min(1.0, settings.sample_megabytes * 1e6 / (8.0 * len(rows.index) * len(rows.columns)))
    sample = rows.sampled(settings.seed, share).compute()
    method: Literal["sample", "exact"] = "exact" if settings.axes == "exact-pca" else "sample"
    width = min(n_features, len(sample))
    projection = fit_projection(rows.array(), sample, width, settings.seed, method, settings.whiten)
    if settings.axes != "ica":
        return projection, []
    independent, words = fit_independent(projection, sample, settings.seed)
    return independent, list(words)


def _fit_mixture(rows: da.Array, choice: Choice, settings: FitConfig) -> tuple[GaussianMixture, float, list[str]]:
    """Fit the mixture; gives it, its mean log-likelihood, and what it warns of as notes of the run.

    The rows stay on the workers unless they are few: then the messages of a cluster would take longer than the sums,
    and the same blocks are summed here in the same order, to the same bits.
    """
    if rows.nbytes <= FEW_BYTES:
        rows = da.from_array(rows.compute(), chunks=rows.chunks)
        place: AbstractContextManager[object] = dask.config.set(scheduler="synchronous")
    else:
        rows, place = rows.persist(), nullcontext()
    given: dict[str, Any] = {}
    if settings.start == "dask-kmeans":
        share = min(1.0, START_ROWS / len(rows))
        sample = rows.compute() if share == 1.0 else rows[:: int(1.0 / share)].compute()
        clusters = kmeans_start(sample, choice.n_components, settings.seed)
        given = {"means_init": clusters.centres, "weights_init": clusters.weights}
    mixture = GaussianMixture(
        choice.n_components,
        **given,
        covariance_type=choice.covariance_type,
        random_state=settings.seed,
        n_init=settings.starts,
        max_iter=500,
        tol=1e-4,
        reg_covar=1e-4,
    )
    with warnings.catch_warnings(record=True) as caught, place:
        warnings.simplefilter("always")
        mixture.fit(rows)
        score = float(mixture.score(rows))
    return mixture, score, [str(w.message) for w in caught if issubclass(w.category, UserWarning)]


def frame_span_of(context: Context, channel: Channel) -> tuple[int, int]:
    """First frame and last + 1 that any finished unit of a channel holds, (0, 0) without any."""
    parts = parts_of(context, channel)
    return (min(p.start for p in parts), max(p.stop for p in parts)) if parts else (0, 0)


def frame_cut(context: Context, channel: Channel) -> Any:  # noqa: ANN401
    """How the channel's frames are cut into units."""
    network = network_for(channel.rate, context.config.scattering)
    return frame_blocks(channel.rate, network.frame_samples, network.n_paths)
