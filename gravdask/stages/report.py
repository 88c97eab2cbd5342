"""report: the page and the tables that a person reads, gathered from the store and the ledger."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pandas as pd

import gravdask
from gravdask.archive.index import ArchiveIndex
from gravdask.archive.lookalikes import told_problems
from gravdask.config import digest
from gravdask.errors import ModelError
from gravdask.grid import day_start_ns
from gravdask.mixture import hierarchy
from gravdask.report.data import EVENT_COLUMNS, QUARANTINE_COLUMNS, STATION_COLUMNS, ModelSection, ReportData, Waveform
from gravdask.report.page import build_report
from gravdask.report.tables import write_csv_tables
from gravdask.stages.base import VERSIONS, Context
from gravdask.stages.calibrate import estimate_of, remarks
from gravdask.stages.channels import Channel, response_fault
from gravdask.stages.classify import models_of
from gravdask.stages.frames import Network, read_network
from gravdask.stages.interpret import load_table
from gravdask.stages.model import load_model
from gravdask.stages.noise import daily_series, identity, refusal
from gravdask.stages.preprocessing import gravimeters, monthly, preprocessed

WAVEFORMS_PER_COMPONENT = 4
MOST_POINTS = 2000
UNITS = {"acceleration": "nm s⁻²", "velocity": "nm s⁻¹", "pressure": "hPa", "counts": "counts"}
REFERENCES = (
    "Andén & Mallat (2014), Deep scattering spectrum, IEEE Trans. Signal Process. 62, 4114-4128.",
    "Andreux et al. (2020), Kymatio: scattering transforms in Python, JMLR 21(60).",
    "Seydoux et al. (2020), Clustering earthquake signals and background noises in continuous seismic data with "
    "unsupervised deep learning, Nat. Commun. 11, 3972.",
    "Steinmann et al. (2022), Hierarchical exploration of continuous seismograms with unsupervised learning, JGR 127.",
    "Gou (2022), Classification of background noise and gravity disturbance signals.",
    "Peterson (1993), Observations and modeling of seismic background noise, USGS Open-File Report 93-322.",
)


def fingerprint(context: Context) -> str:
    """Digest of everything that the report shows."""
    units = context.ledger.digest("convert", "noise", "calibrate", "scatter", "fit", "classify", "interpret")
    # the figures of the preprocessing show what the chain does with the gravimeters' records
    shown = [(identity(c), c.masks, c.places, context.reader(c).steps) for c in gravimeters(context)]
    return digest(
        VERSIONS["report"], units, shown, context.config.preprocess, context.config.report, gravdask.__version__
    )


def run(context: Context, summary: pd.DataFrame, plan: list[str], notes: list[str], quarantine: pd.DataFrame) -> None:
    """Write the page ``report.html`` and the tables beside it.

    Parameters
    ----------
    summary
        A row for each stage of this run: stage, units, done, skipped, quarantined, seconds.
    plan, notes
        Lines about the run.
    quarantine
        What could not be used: where, line, what, cure.
    """
    channels = context.chosen()
    snm = {c.name: table for c in context.signals() if len(table := _snm(context, c))}
    sections, intervals, events = [], [], []
    for rate, model_digest in models_of(context).items():
        network = read_network(context, rate, load_model(context.store, rate, model_digest))
        if network is not None:
            sections.append(_section(context, network, rate))
            intervals.append(load_table(context.store, rate, "intervals"))
            events.append(load_table(context.store, rate, "events"))
    event_table = _events([e for e in events if len(e)])
    stations = _stations(context, channels, snm)
    data = ReportData(
        title=context.config.report.title or _title(channels),
        created_ns=time.time_ns(),
        version=gravdask.__version__,
        store=context.store.name,
        stations=stations,
        snm=snm,
        noise_refused=noise_refused(context),
        preprocessed=preprocessed(context),
        monthly=monthly(context),
        models=sections,
        events=event_table,
        run=summary,
        plan=plan,
        quarantine=quarantine,
        notes=[*notes, *(note for note in remarks(context) if note not in notes)],
        references=list(REFERENCES),
    )
    folder = context.config.report_folder
    build_report(data, folder / "report.html")
    joined = pd.concat(intervals, ignore_index=True) if intervals else pd.DataFrame()
    joined = joined.rename(columns={"name": "label", "posterior": "mean_posterior"})
    if joined.empty:
        joined = pd.DataFrame(
            columns=["channel", "start_ns", "end_ns", "component", "label", "frames", "mean_posterior"]
        )
    write_csv_tables(folder, snm=snm, intervals=joined, events=event_table, quarantine=quarantine)


def noise_refused(context: Context) -> dict[str, str]:
    """Why channels have no noise magnitudes, in the words of the stage and by the settings that it goes by."""
    settings = context.config.preprocess
    found = ((c.name, response_fault(c, settings) or refusal(c, settings=settings)) for c in context.signals())
    return {name: reason for name, reason in found if reason}


def _title(channels: list[Channel]) -> str:
    """Title from the stations: their names if they are few."""
    stations = sorted({c.station for c in channels})
    names = ", ".join(stations) if len(stations) <= 6 else f"{len(stations)} stations"
    return f"What the records of {names} hold"


def _snm(context: Context, channel: Channel) -> pd.DataFrame:
    """Daily magnitudes of a channel as the page wants them."""
    series = daily_series(context, channel)
    if not series:
        return pd.DataFrame()
    days = np.array([day_start_ns(int(d)) for d in series["day"]], np.int64)
    return pd.DataFrame(
        {"day_ns": days, **{n: series[n].astype(np.float64) for n in ("snm", "ssnm", "valid_fraction")}}
    )


def _stations(context: Context, channels: list[Channel], snm: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row for each channel."""
    rows = []
    for c in channels:
        table = snm.get(c.name)
        magnitudes = table["snm"].dropna() if table is not None else pd.Series(dtype=float)
        first, last = c.times_ns(c.extent[0], c.extent[0] + 1)[0], c.times_ns(c.extent[1] - 1, c.extent[1])[0]
        rows.append(
            {
                "channel": c.name,
                "latitude": np.nan if c.latitude is None else c.latitude,
                "longitude": np.nan if c.longitude is None else c.longitude,
                "elevation": np.nan if c.elevation is None else c.elevation,
                "rate": str(c.rate),
                "first_ns": int(first),
                "last_ns": int(last),
                "valid_fraction": _valid_fraction(context, c, table),
                "unit": UNITS[c.quantity],
                "kind": c.kind,
                "snm_median": float(magnitudes.median()) if len(magnitudes) else np.nan,
                "snm_days": len(magnitudes),
                "note": _remark(context, c),
            }
        )
    return pd.DataFrame(rows, columns=list(STATION_COLUMNS))


def _remark(context: Context, channel: Channel) -> str:
    """Unit of the source, and what was estimated of a gravimeter."""
    words = [f"source in {channel.source_unit}"] if channel.source_unit else []
    found = estimate_of(context, channel)
    for key, text in (("tidal_factor", "tide {:.3f}"), ("admittance", "air {:.2f} nm s⁻²/hPa")):
        value, error = found.get(key), found.get(f"{key}_error")
        if value is not None and error is not None:
            words.append(f"{text.format(value)} ± {error:.2g}")
    if found.get("drift") is not None:
        words.append(f"drift {found['drift']:.0f} nm s⁻²/day")
    return ", ".join(words)


def _valid_fraction(context: Context, channel: Channel, snm: pd.DataFrame | None) -> float:
    """Share of valid samples between a channel's first and last, from its days or else from its frames."""
    if snm is not None and len(snm):
        daily = channel.rate.samples_per_day
        total = snm["valid_fraction"].fillna(0).sum() * daily
        return float(min(total / (channel.extent[1] - channel.extent[0]), 1.0))
    valid = sum(r.info.get("valid_samples", 0) for r in context.ledger.of_stage("convert", channel.name))
    return float(valid / (channel.extent[1] - channel.extent[0])) if valid else np.nan


def _events(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Events of all rates in one table, not seen where there was no data."""
    if not tables:
        return pd.DataFrame({name: [] for name in EVENT_COLUMNS})
    table = pd.concat(tables, ignore_index=True)
    table["seen"] = table["seen"].astype(object).where(~table["no_data"], None)
    return table


def _section(context: Context, network: Network, rate: str) -> ModelSection:
    """Everything about one model."""
    paths = network.scattering.paths
    components = load_table(context.store, rate, "components")
    if len(components) != network.model.n_components:
        msg = f"{rate}: the model has changed since its components were tested; run the stage interpret first"
        raise ModelError(msg)
    components["share"] = components["frames"] / max(int(components["frames"].sum()), 1)
    predicted = components["share_predicted"].dropna() if "share_predicted" in components else pd.Series(dtype=float)
    columns = network.model.columns
    mean_log = np.full((network.model.n_components, network.scattering.n_paths), np.nan)
    mean_log[:, columns.path] = network.model.mean_columns()
    keep = np.asarray(paths["order"].values) > 0
    starts = network.frames.starts_ns(0, network.frames.n_frames)
    frame_seconds = network.frames.frame_s
    rows, features = network.model.provenance.get("rows", 0), len(network.model.projection.components)
    net = network.scattering
    return ModelSection(
        rate=rate,
        digest=network.model.digest,
        frame_seconds=frame_seconds,
        settings={
            "frame": f"{net.frame_samples} samples, {frame_seconds:g} s",
            "wavelets": f"J = {net.J}, Q = {net.Q[0]}, pooling {net.pooling}",
            "reach of a frame": f"{network.frames.reach_ns * 1e-9:.0f} s from its centre",
            "features": f"{len(columns)} logarithmic columns, {features} principal components",
            "mixture": f"{network.model.n_components} components, fitted to {rows} frames",
        },
        components=components,
        path_order=np.asarray(paths["order"].values)[keep],
        path_frequency_1=np.asarray(paths["frequency_1"].values)[keep],
        path_frequency_2=np.asarray(paths["frequency_2"].values)[keep],
        mean_log=mean_log[:, keep],
        waveforms=_waveforms(context, network),
        calendar={c.name: (starts, network.frames.component[i]) for i, c in enumerate(network.channels)},
        likelihood={c.name: _daily_likelihood(network, i, starts) for i, c in enumerate(network.channels)},
        window_share=float(predicted.iloc[0]) if len(predicted) else float("nan"),
        selection=list(network.model.provenance.get("selection", {}).get("table", ())),
        merges=hierarchy(network.model.mixture).table,
        reason=str(network.model.provenance.get("selection", {}).get("reason", "")),
    )


def _daily_likelihood(network: Network, row: int, starts: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Median log-likelihood of each day's frames: its drift says how well the frozen model still fits."""
    likelihood = network.log_likelihood[row]
    known = np.isfinite(likelihood)
    days = pd.Series(likelihood[known].astype(np.float64)).groupby(starts[known] // 86_400_000_000_000).median()
    return days.index.to_numpy(np.int64) * 86_400_000_000_000, days.to_numpy(np.float64)


def _waveforms(context: Context, network: Network) -> dict[int, list[Waveform]]:
    """Typical frames of each component: the likeliest one of each channel, channels with most of its frames first."""
    chosen: dict[int, list[Waveform]] = {}
    frames = network.frames
    for component in range(network.model.n_components):
        counts = (frames.component == component).sum(axis=1)
        rows = [int(r) for r in np.argsort(-counts, kind="stable")[:WAVEFORMS_PER_COMPONENT] if counts[r]]
        chosen[component] = [_waveform(context, network, row, component) for row in rows]
    return chosen


def _waveform(context: Context, network: Network, row: int, component: int) -> Waveform:
    """Residual record of a channel's likeliest frame of a component, thinned to what a figure can show."""
    channel = network.channels[row]
    mine = np.flatnonzero(network.frames.component[row] == component)
    frame = network.first + int(mine[np.argmax(network.log_likelihood[row, mine])])
    samples = network.scattering.frame_samples
    start, stop = frame * samples, (frame + 1) * samples
    step = max(samples // MOST_POINTS, 1)
    values = context.reader(channel).residual(start, stop)
    values = values - np.nanmedian(values)
    return Waveform(
        channel.name,
        int(channel.times_ns(start, start + 1)[0]),
        step / channel.rate.hz,
        values[::step],
        UNITS[channel.quantity],
    )


def quarantine_table(context: Context, index: ArchiveIndex | None, more: list[dict[str, Any]]) -> pd.DataFrame:
    """Everything that could not be used: files of the archive, units of the stages, rows of the catalogue."""
    rows: list[dict[str, Any]] = []
    for problem in told_problems(index) if index is not None else ():
        if problem.severity == "quarantined":
            rows.append({"where": problem.path, "line": problem.line, "what": problem.what, "cure": problem.cure})
    chosen = {c.name for c in context.chosen()} | {"*"}
    for stage in ("convert", "noise", "calibrate", "scatter", "classify"):
        for record in context.ledger.of_stage(stage):
            if record.channel in chosen:
                rows += [dict(p) for p in record.info.get("problems", ())]
    table = pd.DataFrame([*rows, *more], columns=list(QUARANTINE_COLUMNS)).drop_duplicates(ignore_index=True)
    table["line"] = table["line"].astype("Int64")
    return table
