"""A made-up report with everything in it, from a seed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd

from gravdask.report import ModelSection, ReportData, Waveform

DAY_NS = 86_400_000_000_000
START_NS = 1_704_067_200_000_000_000
FRAME_S = 4096.0
LABELS = ("background", "co-seismic", "background 2", "unattributed disturbance", "microseism", "instrument")
SITES = (
    ("GD.LSA.00.LGZ", 29.65, 91.13, 3650.0, 3.62),
    ("GD.QZH.00.LGZ", 24.94, 118.59, 22.0, 4.31),
    ("GD.LZH.00.LGZ", 36.09, 103.84, 1560.0, 3.70),
    ("GD.DLN.00.LGZ", 38.91, 121.63, 60.0, 4.25),
    ("GD.KMI.00.LGZ", 25.12, 102.74, 1975.0, 3.55),
    ("GD.WMQ.00.LGZ", 43.81, 87.70, 903.0, float("nan")),
)


def make_stations(days: int) -> pd.DataFrame:
    rows = [
        {
            "channel": name,
            "latitude": latitude,
            "longitude": longitude,
            "elevation": elevation,
            "rate": 1.0,
            "first_ns": START_NS,
            "last_ns": START_NS + days * DAY_NS - 10**9,
            "valid_fraction": 0.987,
            "unit": "nm s⁻²",
            "kind": "gravity",
            "snm_median": snm,
            "snm_days": days - 1,
            "note": "",
        }
        for name, latitude, longitude, elevation, snm in SITES
    ]
    pressure = [
        {
            **row,
            "channel": row["channel"].replace("LGZ", "LDO"),
            "unit": "hPa",
            "kind": "pressure",
            "snm_median": np.nan,
            "snm_days": 0,
        }
        for row in rows[:2]
    ]
    return pd.DataFrame(rows + pressure)


def make_model(days: int, seed: int = 0) -> ModelSection:
    rng = np.random.default_rng(seed)
    f1 = 0.45 * 2.0 ** (-np.arange(54) / 7)
    pairs = [(a, b) for a in f1 for b in 0.25 * 2.0 ** -np.arange(1, 9.0) if b < a / 1.5]
    order = np.array([1] * f1.size + [2] * len(pairs))
    frequency_1 = np.concatenate([f1, [a for a, _ in pairs]])
    frequency_2 = np.concatenate([np.full(f1.size, np.nan), [b for _, b in pairs]])
    mean_log = np.zeros((6, order.size))
    period = 1 / frequency_1
    for row, (centre, size, width) in enumerate(
        ((20, 0, 1), (22, 4.5, 1.3), (300, 0.3, 1), (120, 2.1, 0.6), (5, 1.4, 0.4), (2, 0.8, 3))
    ):
        mean_log[row] = size * np.exp(-0.5 * (np.log(period / centre) / width) ** 2)
        mean_log[row, order == 2] *= rng.uniform(-0.3, 0.5)
    mean_log += rng.normal(0, 0.03, mean_log.shape)
    calendar, likelihood = {}, {}
    frames = int(days * 86_400 / FRAME_S)
    for index, (name, *_) in enumerate(SITES):
        starts = START_NS + (np.arange(frames) * FRAME_S * 1e9).astype(np.int64)
        component = rng.choice([0, 2], frames, p=[0.8, 0.2]).astype(np.int8)
        for at in (0.1, 0.33, 0.5, 0.74, 0.9):
            component[int(at * frames) : int(at * frames) + 4] = 1
        component[int(0.6 * frames) : int(0.63 * frames)] = 4
        if index in (2, 3):
            component[int(0.2 * frames) : int(0.24 * frames)] = 3
        if index == 5:
            component[: frames // 3] = -1
        component[rng.integers(0, frames, 3)] = 5
        calendar[name] = (starts, component)
        likelihood[name] = (
            START_NS + np.arange(days) * DAY_NS,
            30 + rng.normal(0, 1.5, days) - 4 * (np.arange(days) > 0.8 * days),
        )
    minutes = np.arange(4096)
    waveforms = {
        k: [
            Waveform(
                SITES[i % len(SITES)][0],
                START_NS + (i + 1) * 7 * 3600 * 10**9,
                1.0,
                rng.normal(0, 60, 4096)
                + (8000 * np.exp(-(((minutes - 1500) / 400) ** 2)) * np.sin(minutes / 3.2) if k == 1 else 0),
                "nm s⁻²",
            )
            for i in range(4 if k else 6)
        ]
        for k in range(5)
    }
    every = np.concatenate([component for _, component in calendar.values()]).astype(int)
    counts = np.bincount(every + 1, minlength=7)[1:]
    components = pd.DataFrame(
        {
            "component": range(6),
            "label": LABELS,
            "frames": counts,
            "share": counts / counts.sum(),
            "odds_ratio": [0.4, 48.2, 0.9, 1.3, 0.7, np.nan],
            "lift": [0.7, 9.1, 0.95, 1.2, 0.8, np.nan],
            "p_value": [0.9, 0.0002, 0.5, 0.21, 0.7, np.nan],
            "q_value": [0.95, 0.0008, 0.8, 0.4, 0.9, np.nan],
            "distinct_events": [3, 14, 2, 1, 0, 0],
            "evidence": [
                "The largest component with an odds ratio of at most 1.5.",
                "Odds ratio 48.2 with q < 0.001 over 14 distinct events: its frames lie where they were predicted.",
                "Like background, at long periods.",
                "Rises at periods of 50 to 300 s at two stations; no association with predicted arrivals.",
                "Excess only between 2 and 20 s, correlation 0.91 with the network's microseism level.",
                "Nearly all its frames at one station.",
            ],
        }
    )
    return ModelSection(
        rate="1Hz",
        digest="3f9a1c77d0",
        frame_seconds=FRAME_S,
        settings={"J": "8", "Q": "8, 1", "principal axes": "10", "covariance": "full"},
        components=components,
        path_order=order,
        path_frequency_1=frequency_1,
        path_frequency_2=frequency_2,
        mean_log=mean_log,
        waveforms=waveforms,
        calendar=calendar,
        likelihood=likelihood,
        window_share=0.14,
    )


def make_events(days: int, count: int = 16) -> pd.DataFrame:
    rng = np.random.default_rng(7)
    rows = []
    for event in range(count):
        magnitude = round(5.8 + 2 * ((event * 7) % count) / count, 1)
        for name, *_ in SITES:
            predicted = magnitude > 6.1
            seen: object = bool(predicted and rng.uniform() < 0.93)
            if name.startswith("GD.WMQ") and event < count // 3:
                seen = None
            rows.append(
                {
                    "event_id": f"gd{event:04d}",
                    "time_ns": START_NS + int((event + 0.4) * days / count * DAY_NS),
                    "magnitude": magnitude,
                    "place": ("Kuril Islands", "Vanuatu", "Hindu Kush region, Afghanistan", "Banda Sea")[event % 4],
                    "channel": name,
                    "distance_deg": float(rng.uniform(20, 120)),
                    "predicted": predicted,
                    "seen": seen,
                    "component": 1 if seen else np.nan,
                    "peak_acceleration": float(10 ** rng.uniform(2.5, 5)),
                }
            )
    return pd.DataFrame(rows)


def make_report(days: int = 20, seed: int = 0) -> ReportData:
    rng = np.random.default_rng(seed)
    snm = {
        name: pd.DataFrame(
            {
                "day_ns": START_NS + np.arange(days) * DAY_NS,
                "snm": np.where(
                    np.arange(days) == 7, np.nan, level + rng.normal(0, 0.04, days) + 0.8 * (np.arange(days) % 6 == 2)
                ),
                "ssnm": 4.7 + rng.normal(0, 0.2, days),
                "valid_fraction": 0.99,
            }
        )
        for name, *_, level in SITES
        if np.isfinite(level)
    }
    stages = ("convert", "noise", "calibrate", "scatter", "fit", "classify", "interpret")
    return ReportData(
        title="Gravity network, January 2024",
        created_ns=START_NS + 40 * DAY_NS,
        version="0.1.0",
        store="gravdask.zarr",
        stations=make_stations(days),
        snm=snm,
        noise_refused={"GD.WMQ.00.LGZ": "the channel is in velocity and has no full response to acceleration"},
        models=[make_model(days, seed)],
        events=make_events(days),
        run=pd.DataFrame(
            {
                "stage": stages,
                "units": [12, 6, 6, 6, 1, 6, 1],
                "done": [12, 6, 6, 6, 1, 6, 1],
                "skipped": 0,
                "quarantined": [1, 0, 0, 0, 0, 0, 0],
                "seconds": [4.2, 1.1, 0.9, 5.8, 3.3, 0.4, 1.2],
            }
        ),
        plan=["convert    12 units, 31 MB in, 40 MB out", "scatter     6 units, peak 310 MB a worker"],
        quarantine=pd.DataFrame(
            {
                "where": ["archive/2024/GD/LSA/LGZ.D/GD.LSA.00.LGZ.D.2024.005"],
                "line": [np.nan],
                "what": ["the file ends within a record"],
                "cure": ["fetch it again, then run convert"],
            }
        ),
        notes=["Two stations had a step of 50 µGal, which was corrected."],
        references=[
            "Seydoux et al. (2020), Nature Communications 11, 3972",
            "Crossley, D. (GGP), steps of the noise magnitude",
        ],
    )


def make_small_report() -> ReportData:
    """Two stations, two components and one record: whatever a page has, drawn quickly."""
    data = make_report()
    model = data.models[0]
    names = [name for name, *_ in SITES[:2]]
    model = dataclasses.replace(
        model,
        components=model.components.head(2),
        mean_log=model.mean_log[:2],
        waveforms={1: model.waveforms[1][:1]},
        calendar={name: model.calendar[name] for name in names},
        likelihood={name: model.likelihood[name] for name in names},
    )
    return dataclasses.replace(data, models=[model], snm={name: data.snm[name] for name in names})
