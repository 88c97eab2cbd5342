"""classify: the component of every frame, with its posterior and its likelihood under the frozen model.

A unit is one shard of frames of one channel. A channel that was not in the fit gets medians of its own, from its
first thirty days, which are frozen beside the model before its first frame is classified.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import cache, partial
from typing import Any

import numpy as np

from gravdask.config import digest
from gravdask.execution import Failure, Runner
from gravdask.grid import Blocks
from gravdask.stages.base import VERSIONS, ChannelTasks, Context, Plan, Task, make_task
from gravdask.stages.channels import Channel
from gravdask.stages.fit import ALMOST, frame_cut, parts_of, survey
from gravdask.stages.model import Medians, Model, current_digest, load_model, model_path, save_medians
from gravdask.stages.rows import Part
from gravdask.stages.scatter import network_for
from gravdask.stages.selection import model_channels
from gravdask.store.layout import create_array, open_root, read_span, sub_array, write_unit
from gravdask.store.ledger import Record
from gravdask.store.place import Place

FIRST_DAYS = 30


def models_of(context: Context) -> dict[str, str]:
    """Digest of the current model of each rate among the chosen channels."""
    root = context.root()
    found = {}
    for channel in model_channels(context.features(), context.config.fit.channels):
        network = network_for(channel.rate, context.config.scattering)
        present = current_digest(root, str(channel.rate), network.digest)
        if present:
            found[str(channel.rate)] = present
    return found


def add_channels(context: Context, runner: Runner) -> list[str]:
    """Freeze medians for channels that came after the fit; gives notes on them."""
    notes = []
    models = models_of(context)
    for channel in model_channels(context.features(), context.config.fit.channels):
        if str(channel.rate) not in models:
            continue
        model = load_model(context.store, str(channel.rate), models[str(channel.rate)])
        if model.medians_of(channel.name) is None:
            notes.append(_add_channel(context, channel, model, runner))
    return notes


def _add_channel(context: Context, channel: Channel, model: Model, runner: Runner) -> str:
    """Freeze the medians of one channel, if it has frames enough."""
    network = network_for(channel.rate, context.config.scattering)
    daily = 86_400 * network.sampling_rate / network.frame_samples
    parts, left = [], round(FIRST_DAYS * daily)
    for part in parts_of(context, channel):
        if left > 0:
            stop = min(part.stop, part.start + left)
            parts.append(Part(part.store, part.channel, part.unit, part.start, stop))
            left -= stop - part.start
    least = context.config.fit.min_days * daily
    for _, result in runner.run(survey, [(parts, model.columns)] if parts else []):
        if isinstance(result, Failure):
            return f"{channel.name}: not classified: {result.reason}"
        if np.isnan(result.medians.column).all():
            return f"{channel.name}: not classified: its record has no energy at any period"
        if result.rows >= ALMOST * least:
            group: Any = open_root(context.store, write=True)[model_path(model.rate, model.digest)]
            with context.turn():
                save_medians(group, channel.name, result.medians)
            return f"{channel.name}: not in the fit; classified with medians of its own first {FIRST_DAYS} days"
    return f"{channel.name}: not classified: too few valid frames for medians of its own (fit.min_days)"


def plan(context: Context) -> Plan:
    """Find the units whose coefficients or model changed."""
    channels: list[ChannelTasks] = []
    models = models_of(context)
    loaded = {rate: load_model(context.store, rate, d) for rate, d in models.items()}
    for channel in model_channels(context.features(), context.config.fit.channels):
        model = loaded.get(str(channel.rate))
        medians = model.medians_of(channel.name) if model is not None else None
        if model is not None and medians is not None:
            channels.append(ChannelTasks(channel.name, partial(_tasks, context, channel, model, medians)))
    return Plan.of(channels)


def _tasks(context: Context, channel: Channel, model: Model, medians: Medians) -> Iterator[Task | None]:
    """Compare the units of a channel with the ledger."""
    settings = digest(VERSIONS["classify"], model.digest, medians.path.tolist(), medians.column.tolist())
    payload = {
        "store": context.store,
        "rate": model.rate,
        "model": model.digest,
        "medians": medians,
        "blocks": frame_cut(context, channel),
        "frame_samples": network_for(channel.rate, context.config.scattering).frame_samples,
    }
    for record in context.ledger.of_stage("scatter", channel.name):
        if record.finished:
            cells = {"0": digest(record.fingerprint, record.content)} if record.cells else {}
            yield make_task(context, "classify", channel.name, record.unit, cells, settings, payload)


def prepare(context: Context, tasks: list[Task]) -> None:
    """Make the arrays that the tasks write to and write the model's digest beside them."""
    root = context.root(create=True)
    for name in sorted({t.channel for t in tasks}):
        task = next(t for t in tasks if t.channel == name)
        model = _model(context.store, task.payload["rate"], task.payload["model"])
        blocks: Blocks = task.payload["blocks"]
        group = root.require_group(f"{name}/classes")
        about = {"long_name": "mixture component, -1 where there is none"}
        create_array(group, "component", blocks, ("frame",), "int8", fill=-1, attributes=about)
        about = {"long_name": "log-likelihood of the frame under the model", "units": "1"}
        create_array(group, "log_likelihood", blocks, ("frame",), "float32", attributes=about)
        about = {"long_name": "posterior probability of each component", "units": "1"}
        dims, tail = ("frame", "mixture_component"), (model.n_components,)
        create_array(group, "posterior", blocks, dims, "float32", tail=tail, attributes=about)
        group.attrs.put({"model": model.digest, "rate": model.rate, "frame_samples": task.payload["frame_samples"]})


@cache
def _model(store: Place, rate: str, digest_: str) -> Model:
    """Model, read once a process; it is immutable under its digest."""
    return load_model(store, rate, digest_)


def work(task: Task) -> Record:
    """Classify the frames of one unit."""
    begun = time.monotonic()
    payload = task.payload
    model = _model(payload["store"], payload["rate"], payload["model"])
    medians: Medians = payload["medians"]
    blocks: Blocks = payload["blocks"]
    root = open_root(payload["store"], write=True)
    start, stop = blocks.unit_span(task.unit)
    if not task.cells and start >= blocks.length:  # of another rate or frame, configured before
        return task.record("empty", info={"settings": payload["settings"], "frames": 0})
    component = np.full(blocks.shard, -1, np.int8)
    posterior = np.full((blocks.shard, model.n_components), np.nan, np.float32)
    likelihood = np.full(blocks.shard, np.nan, np.float32)
    if task.cells:
        coefficients = read_span(sub_array(root, f"{task.channel}/scattering/coefficients"), start, stop)
        rows = model.features(coefficients, medians)
        valid = np.flatnonzero(np.isfinite(rows).all(axis=1))
        if valid.size:
            component[valid] = model.mixture.predict(rows[valid])
            posterior[valid] = model.mixture.predict_proba(rows[valid])
            likelihood[valid] = model.mixture.score_samples(rows[valid])
    size = write_unit(sub_array(root, f"{task.channel}/classes/component"), start, component)
    write_unit(sub_array(root, f"{task.channel}/classes/posterior"), start, posterior)
    write_unit(sub_array(root, f"{task.channel}/classes/log_likelihood"), start, likelihood)
    info = {"settings": payload["settings"], "frames": int((component >= 0).sum()), "bytes": size}
    return task.record("done" if task.cells else "empty", info=info, seconds=time.monotonic() - begun)
