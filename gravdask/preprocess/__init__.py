"""From raw numbers to residual gravity: units, theoretical tide, air pressure, and what is regressed of them."""

from __future__ import annotations

from gravdask.preprocess.admittance import Admittance, AdmittanceEstimate
from gravdask.preprocess.chain import CHAIN, ChainOptions, Residual, Segment, residual, run_chain
from gravdask.preprocess.pressure import normal_pressure, pressure_at, pressure_effect, repair_pressure
from gravdask.preprocess.tides import tide
from gravdask.preprocess.units import Unit, parse_unit

__all__ = [
    "CHAIN",
    "Admittance",
    "AdmittanceEstimate",
    "ChainOptions",
    "Residual",
    "Segment",
    "Unit",
    "normal_pressure",
    "parse_unit",
    "pressure_at",
    "pressure_effect",
    "repair_pressure",
    "residual",
    "run_chain",
    "tide",
]
