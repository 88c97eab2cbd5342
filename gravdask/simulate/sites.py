"""Where the stations of a simulated network stand and how noisy their sites are."""

from __future__ import annotations

import numpy as np
import pandas as pd

from gravdask.simulate import signals

PLACES: tuple[tuple[str, str, float, float, float, bool], ...] = (
    ("LSA", "Lhasa", 29.65, 91.13, 3650.0, False),
    ("QZH", "Quanzhou", 24.94, 118.59, 22.0, True),
    ("LZH", "Lanzhou", 36.09, 103.84, 1560.0, False),
    ("DLN", "Dalian", 38.91, 121.63, 60.0, True),
    ("KMI", "Kunming", 25.12, 102.74, 1975.0, False),
    ("WMQ", "Urumqi", 43.81, 87.70, 903.0, False),
    ("TIY", "Taiyuan", 38.43, 113.02, 850.0, False),
    ("QIZ", "Qiongzhong", 19.03, 109.84, 230.0, True),
    ("GOM", "Golmud", 36.43, 94.87, 2850.0, False),
    ("SSE", "Sheshan, Shanghai", 31.10, 121.19, 15.0, True),
    ("XAN", "Xi'an", 34.03, 108.92, 630.0, False),
    ("HIA", "Hailar", 49.27, 119.74, 610.0, False),
    ("CDU", "Chengdu", 30.91, 103.76, 653.0, False),
    ("ENH", "Enshi", 30.28, 109.49, 487.0, False),
    ("KSH", "Kashgar", 39.52, 75.92, 1314.0, False),
    ("MDJ", "Mudanjiang", 44.62, 129.59, 270.0, False),
)
"""Where the stations stand: code, place, latitude and longitude [degrees], elevation [m], at the coast."""


def site_table(count: int, seed: int) -> pd.DataFrame:
    """Describe the stations; beyond the named places they are scattered over China, a quarter of them coastal.

    The columns are those of `SimulatedNetwork.stations`.
    """
    rng = np.random.default_rng([seed, 0xFFFE])
    rows = []
    for index in range(count):
        if index < len(PLACES):
            code, place, latitude, longitude, elevation, coast = PLACES[index]
        else:
            coast = bool(rng.uniform() < 0.25)
            latitude = round(float(rng.uniform(22, 45)), 3)
            longitude = round(float(rng.uniform(118, 121) if coast else rng.uniform(80, 116)), 3)
            elevation = round(float(rng.uniform(5, 100) if coast else rng.uniform(200, 4000)))
            code, place = f"S{index:03d}", f"site {index}"
        white = 30 * (rng.uniform(1.6, 2.6) if coast else rng.uniform(1.0, 1.4))
        corner = rng.uniform(1.5e-3, 2.5e-3) if coast else rng.uniform(6e-4, 1.2e-3)
        microseism = rng.uniform(80, 150) if coast else rng.uniform(25, 60)
        per_day = rng.uniform(60, 300) * rng.choice([-1, 1])
        rows.append(
            {
                "station": code,
                "place": place,
                "latitude": latitude,
                "longitude": longitude,
                "elevation": elevation,
                "coast": coast,
                "white": round(white, 3),
                "corner": round(corner, 6),
                "microseism": round(microseism, 2),
                "drift": round(per_day, 2),
                "snm": round(signals.expected_noise_magnitude(white, corner), 4),
            }
        )
    return pd.DataFrame(rows)
