"""The theoretical tide by ETERNA's PREDICT, through the optional package pygtide.

Its catalogue of tidal waves is good to a hundredth of a nm s⁻², and it gives every wave the amplitude that the elastic
Earth gives it *relative to the main wave of its kind*: about 0.979 for K1, because of the resonance of the liquid core.
Like the built-in tide it is multiplied by the tidal factor, and unlike it the product then has the right K1.

Predictions are made in blocks on a grid of days since 1970 and kept, so that no value depends on the span asked for.
"""

from __future__ import annotations

import warnings
from datetime import UTC, datetime
from functools import lru_cache
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from gravdask.errors import PreprocessError

Array = NDArray[np.float64]

BLOCK_DAYS = 32
_TRUNCATION = 1e-6
"""Least amplitude of the waves used [m² s⁻²]: costs 0.01 nm s⁻²."""
_HEIGHTS = (-500.0, 5000.0)


def require_pygtide() -> ModuleType:
    """Import pygtide.

    Raises
    ------
    PreprocessError
        If it is not installed, or cannot be loaded.
    """
    try:
        import pygtide
    except ImportError as error:
        msg = (
            f'preprocess.tide_model = "pygtide": the package pygtide cannot be loaded ({error}). Install it with '
            "pip install 'gravdask[tides]' (where there is no wheel of it, it needs a Fortran compiler), or set "
            'tide_model = "builtin", which is good to 1 µGal'
        )
        raise PreprocessError(msg) from error
    return pygtide  # type: ignore[no-any-return]


def tide_at_nodes(first: int, last: int, step_s: int, latitude: float, longitude: float, elevation: float) -> Array:
    """Tide [nm s⁻²] at the nodes ``[first, last)``, which lie on multiples of a step [s] since 1970.

    Parameters
    ----------
    first, last
        Numbers of the nodes.
    step_s
        Divides a day.
    latitude, longitude
        [degree]; north and east positive.
    elevation
        [m]; -500 to 5000.

    Raises
    ------
    PreprocessError
        If pygtide is not there, or the place is beyond what it takes.
    """
    per_block = BLOCK_DAYS * 86_400 // step_s
    blocks = range(first // per_block, -(-last // per_block))
    east = (longitude + 180) % 360 - 180
    parts = [_block(block, step_s, float(latitude), float(east), float(elevation)) for block in blocks]
    offset = blocks.start * per_block
    return np.concatenate(parts)[first - offset : last - offset]


@lru_cache(maxsize=64)
def _block(block: int, step_s: int, latitude: float, longitude: float, elevation: float) -> Array:
    """Tide at the nodes of one block of days; shared, so not to be written to."""
    if not (_HEIGHTS[0] <= elevation <= _HEIGHTS[1] and abs(latitude) <= 90):
        msg = (
            f"pygtide takes latitudes within 90 degrees and heights of {_HEIGHTS[0]:.0f} to {_HEIGHTS[1]:.0f} m, "
            f'got {latitude} degrees and {elevation} m; correct the coordinates or set tide_model = "builtin"'
        )
        raise PreprocessError(msg)
    begin = datetime.fromtimestamp(block * BLOCK_DAYS * 86_400, UTC).replace(tzinfo=None)
    program = require_pygtide().pygtide(False)
    with warnings.catch_warnings():
        # the age of its table of leap seconds: a second costs 0.01 nm s⁻²
        warnings.filterwarnings("ignore", category=UserWarning, module="pygtide")
        program.predict(
            latitude, longitude, elevation, begin, BLOCK_DAYS * 24, step_s,
            statgravit=0, poltidecor=0, lodtidecor=0, amtruncate=_TRUNCATION,
        )  # fmt: skip
    count = BLOCK_DAYS * 86_400 // step_s
    found = np.array(program.raw(), dtype=np.float64)[:count, 2]
    if found.size != count or not np.isfinite(found).all():
        msg = f"pygtide gave {found.size} values for {begin} at {latitude}, {longitude}; expected {count} finite ones"
        raise PreprocessError(msg)
    found.flags.writeable = False
    return found
