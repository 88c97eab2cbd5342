"""gravdask: years of continuous gravity and seismic records, classified and mapped.

Archive files are converted to one chunked Zarr store (`gravdask.archive`, `gravdask.store`), brought to residual
gravity (`gravdask.preprocess`), measured for their noise (`gravdask.noise`), transformed by a wavelet scattering
network (`gravdask.scattering`, `gravdask.features`), described by one Gaussian mixture (`gravdask.mixture`), compared
with earthquake catalogues (`gravdask.catalog`, `gravdask.interpret`) and reported on one page (`gravdask.report`).
`gravdask.pipeline` joins the stages and does whatever of them is out of date.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gravdask.pipeline import run
    from gravdask.store.opening import network
    from gravdask.store.opening import open_store as open  # noqa: A004

__version__ = "0.1.0"
__all__ = ["__version__", "network", "open", "run"]

_LAZY = {
    "open": ("gravdask.store.opening", "open_store"),
    "network": ("gravdask.store.opening", "network"),
    "run": ("gravdask.pipeline", "run"),
}


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """Load a public name, or a sub-package such as ``gravdask.mixture``, when it is first used."""
    if name in _LAZY:
        module, attribute = _LAZY[name]
        return getattr(importlib.import_module(module), attribute)
    if name in {"scattering", "mixture", "noise", "simulate", "catalog", "interpret", "preprocess"}:
        return importlib.import_module(f"gravdask.{name}")
    msg = f"module 'gravdask' has no attribute {name!r}"
    raise AttributeError(msg)
