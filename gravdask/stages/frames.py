"""All frames of the channels of one rate side by side, read from the store for the tests and the report."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from gravdask.errors import ModelError
from gravdask.grid import frame_centre_ns
from gravdask.interpret.frames import FrameTable
from gravdask.scattering import ScatteringNetwork
from gravdask.stages.base import Context
from gravdask.stages.channels import Channel
from gravdask.stages.fit import frame_span_of
from gravdask.stages.model import Model
from gravdask.stages.scatter import network_for
from gravdask.stages.selection import model_channels
from gravdask.store.layout import read_span, sub_array

MICROSEISM_PERIODS_S = (2.0, 20.0)


@dataclass(frozen=True)
class Network:
    """The classified frames of all channels of one rate.

    Attributes
    ----------
    channels
        The channels, in the order of the rows.
    scattering
        Their scattering network.
    model
        The model that classified them.
    first
        Absolute number of the frame in column 0.
    frames
        Components, (n_channels, n_frames).
    posterior
        Posterior of the component of each frame, NaN where it has none.
    log_likelihood, valid_fraction
        Of each frame, (n_channels, n_frames).
    """

    channels: list[Channel]
    scattering: ScatteringNetwork
    model: Model
    first: int
    frames: FrameTable
    posterior: NDArray[np.float32]
    log_likelihood: NDArray[np.float32]
    valid_fraction: NDArray[np.float32]


def classified(context: Context, rate: str) -> list[Channel]:
    """Channels of one rate that have classified frames."""
    done = {r.channel for r in context.ledger.of_stage("classify") if r.status == "done" and r.info.get("frames")}
    chosen = model_channels(context.features(), context.config.fit.channels)
    return [c for c in chosen if str(c.rate) == rate and c.name in done]


def read_network(context: Context, rate: str, model: Model) -> Network | None:
    """Read the classes of all channels of one rate; None if nothing is classified."""
    channels = classified(context, rate)
    if not channels:
        return None
    _check_model(context, channels, model)
    scattering = network_for(channels[0].rate, context.config.scattering)
    spans = [frame_span_of(context, c) for c in channels]
    first, last = min(s for s, _ in spans), max(e for _, e in spans)
    shape = (len(channels), last - first)
    component = np.full(shape, -1, np.int8)
    posterior, likelihood = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
    valid = np.zeros(shape, np.float32)
    root = context.root()
    for row, channel in enumerate(channels):
        component[row] = read_span(sub_array(root, f"{channel.name}/classes/component"), first, last)
        likelihood[row] = read_span(sub_array(root, f"{channel.name}/classes/log_likelihood"), first, last)
        valid[row] = read_span(sub_array(root, f"{channel.name}/scattering/valid_fraction"), first, last)
        all_posteriors = read_span(sub_array(root, f"{channel.name}/classes/posterior"), first, last)
        known = np.flatnonzero(component[row] >= 0)
        posterior[row, known] = all_posteriors[known, component[row, known]]
    interval = channels[0].rate.interval_ns
    frame_ns = scattering.frame_samples * interval
    # A frame of the low-pass is centred on its first sample, one of a mean begins there.
    samples = scattering.frame_samples
    middle = frame_centre_ns(channels[0].rate, channels[0].phases[0][1], samples, first, scattering.frame_centre)
    start = middle - int(Fraction(samples - 1, 2) * interval)
    frames = FrameTable(
        tuple(c.name for c in channels), start, Fraction(frame_ns), component, round(reach_s(scattering, model) * 1e9)
    )
    return Network(channels, scattering, model, first, frames, posterior, likelihood, valid)


def _check_model(context: Context, channels: list[Channel], model: Model) -> None:
    """Refuse classes of another model: a refit came after them.

    Raises
    ------
    ModelError
        Names the channel and what to run.
    """
    root = context.root()
    for channel in channels:
        made = dict(root[f"{channel.name}/classes"].attrs).get("model", "")
        if made != model.digest:
            msg = (
                f"{channel.name}: its classes are of model {made}, the current one is {model.digest}; run the stages "
                "classify and interpret first (gravdask run does all that is due)"
            )
            raise ModelError(msg)


def reach_s(scattering: ScatteringNetwork, model: Model) -> float:
    """Largest reach of the paths that the model uses [s]: how far from a frame's centre it is fed from."""
    used = np.unique(np.concatenate([model.columns.path, model.columns.parent[model.columns.parent >= 0]]))
    return float(np.asarray(scattering.paths["reach"].values)[used].max())


def log_first_order(context: Context, network: Network, row: int) -> NDArray[np.float64]:
    """First-order log coefficients above the channel's median, (n_frames, n_first_order); NaN where missing."""
    channel = network.channels[row]
    medians = network.model.medians_of(channel.name)
    first = np.flatnonzero(np.asarray(network.scattering.paths["order"].values) == 1)
    array = sub_array(context.root(), f"{channel.name}/scattering/coefficients")
    coefficients = read_span(array, network.first, network.first + network.frames.n_frames)[:, first]
    if medians is None:
        return np.full(coefficients.shape, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        logarithms = np.log(coefficients.astype(np.float64)) - np.log(medians.path[first])
    return np.where(np.isfinite(logarithms), logarithms, np.nan)


def first_order_periods(network: Network) -> NDArray[np.float64]:
    """Centre periods of the first-order paths [s]."""
    paths = network.scattering.paths
    order = np.asarray(paths["order"].values)
    return np.asarray(1.0 / np.asarray(paths["frequency_1"].values)[order == 1])
