"""First arrivals of any phase, from a table that is shipped with the package.

The table holds the time of the earliest P-type wave (direct, Moho-refracted, diffracted at the core or through it) of
the Earth model iasp91 (Kennett & Engdahl 1991), as obspy's TauPy gives it, on a grid of distances and focal depths.
Between its nodes the time is interpolated linearly in both directions, within 2 s of the model everywhere but at the
end of core diffraction: TauPy follows Pdiff for 60 degrees beyond the shadow's edge, to about 153 to 159 degrees by
depth, and there the first arrival jumps by some 115 s to PKIKP. Within a degree of the jump the interpolated time
lies between the two.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import ArrayLike, NDArray

TABLE_NAME = "first_arrivals.csv"
MODEL = "iasp91"
PHASES = ("p", "P", "Pn", "Pdiff", "PKP", "PKiKP", "PKIKP")
"""The phases among which the earliest is taken; no S or surface wave ever comes before all of these."""
DISTANCES_DEG = tuple(float(d) for d in np.concatenate([np.arange(0, 5, 0.25), np.arange(5, 181, 1)]))
DEPTHS_KM = (0.0, 10.0, 20.0, 35.0, 50.0, 75.0, 100.0, 150.0, 200.0, 300.0, 400.0, 500.0, 600.0, 700.0)


def build_table() -> str:
    """Compute the table of first arrivals anew, as the text of its file (a few minutes).

    Written to ``first_arrivals.csv`` beside this module it replaces the shipped table::

        Path("gravdask/catalog/first_arrivals.csv").write_text(build_table(), encoding="ascii")

    Returns
    -------
    str
        Lines of comma-separated values: a comment, the depths [km] after an empty first cell, then one line per
        distance with the distance [degrees] and the arrival times [s] from each depth.
    """
    from obspy.taup import TauPyModel  # obspy is needed to build the table only, never to look a time up

    model = TauPyModel(MODEL)
    times = np.empty((len(DISTANCES_DEG), len(DEPTHS_KM)))
    for j, depth in enumerate(DEPTHS_KM):
        for i, distance in enumerate(DISTANCES_DEG):
            arrivals = model.get_travel_times(depth, distance, PHASES)
            times[i, j] = min(arrival.time for arrival in arrivals)
    lines = [f"# first arrival [s] of {' '.join(PHASES)} in {MODEL}: depth [km] across, distance [degrees] down"]
    lines.append("," + ",".join(f"{depth:g}" for depth in DEPTHS_KM))
    lines += [f"{d:g}," + ",".join(f"{t:.2f}" for t in row) for d, row in zip(DISTANCES_DEG, times, strict=True)]
    return "\n".join(lines) + "\n"


@cache
def first_arrival_table() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Read the shipped table once per process.

    Returns
    -------
    distances : (n_distances,) degrees, increasing
    depths : (n_depths,) km, increasing
    times : (n_distances, n_depths) seconds; all three are read-only
    """
    text = files("gravdask.catalog").joinpath(TABLE_NAME).read_text(encoding="ascii")
    lines = text.splitlines()[1:]
    depths = np.array([float(cell) for cell in lines[0].split(",")[1:]])
    body = np.array([[float(cell) for cell in line.split(",")] for line in lines[1:]])
    table = (body[:, 0].copy(), depths, body[:, 1:].copy())
    for array in table:
        array.flags.writeable = False
    return table


def first_arrival_s(distance_deg: ArrayLike, depth_km: ArrayLike) -> NDArray[np.float64]:
    """Time from origin to the first arrival of any phase, by bilinear interpolation in the iasp91 table.

    Parameters
    ----------
    distance_deg
        Epicentral distances [degrees], 0 to 180; any shape that broadcasts with ``depth_km``.
    depth_km
        Focal depths [km]; values outside 0 to 700 (a focus above sea level) are taken at that limit.

    Returns
    -------
    ndarray
        Travel times [s] of the broadcast shape; NaN where an argument is NaN.
    """
    distances, depths, times = first_arrival_table()
    distance, depth = np.broadcast_arrays(
        np.clip(np.asarray(distance_deg, dtype=np.float64), distances[0], distances[-1]),
        np.clip(np.asarray(depth_km, dtype=np.float64), depths[0], depths[-1]),
    )
    i = np.clip(np.searchsorted(distances, distance, side="right") - 1, 0, len(distances) - 2)
    j = np.clip(np.searchsorted(depths, depth, side="right") - 1, 0, len(depths) - 2)
    u = (distance - distances[i]) / (distances[i + 1] - distances[i])
    v = (depth - depths[j]) / (depths[j + 1] - depths[j])
    near = times[i, j] * (1 - u) + times[i + 1, j] * u
    deep = times[i, j + 1] * (1 - u) + times[i + 1, j + 1] * u
    result: NDArray[np.float64] = near * (1 - v) + deep * v
    return result
