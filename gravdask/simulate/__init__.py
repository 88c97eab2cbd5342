"""A seeded network of gravimeters with known truth, written in the formats that real archives have."""

from __future__ import annotations

from gravdask.simulate.network import SimulatedNetwork, simulate_network

__all__ = ["SimulatedNetwork", "simulate_network"]
