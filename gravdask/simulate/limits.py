"""What `simulate_network` takes: limits as data, and the checks that hold its arguments against them."""

from __future__ import annotations

from fractions import Fraction

from gravdask.errors import ConfigError, GridError
from gravdask.grid import Rate
from gravdask.simulate import writing

LIMITS: dict[str, tuple[float, float]] = {
    "stations": (1, 999),
    "days": (1, 3660),
    "rate": (1 / 60, 20.0),
    "seed": (0, 2**63 - 1),
    "events": (0, 2000),
    "disturbances": (0, 200),
}
"""Smallest and largest value of each number that `simulate_network` takes."""


def first_day_ns(text: str) -> int:
    """Return the midnight of the first day [ns since 1970 UTC].

    Raises
    ------
    ConfigError
        If it is not an ISO date between 1950 and 2140.
    """
    try:
        start_ns = writing.day_ns(text)
    except (TypeError, ValueError) as error:
        msg = f"start = {text!r} is not a date; expected one such as '2024-01-01'"
        raise ConfigError(msg) from error
    if not 1950 <= int(text[:4]) <= 2140:
        msg = f"start = {text!r} is outside 1950 to 2140, the years that the time grid covers with room for the record"
        raise ConfigError(msg)
    return start_ns


def check_numbers(**parameters: float | None) -> Rate:
    """Hold every number against `LIMITS` and return the nominal rate.

    Raises
    ------
    ConfigError
        If one is outside its limits, not whole where it must be, or the rate puts no whole number of samples in a day.
    """
    for name, value in parameters.items():
        low, high = LIMITS[name]
        if value is None and name in ("events", "disturbances"):
            continue
        wrong = isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high
        if wrong or (name != "rate" and value != int(value or 0)):
            kind = "a number" if name == "rate" else "a whole number"
            msg = f"{name} = {value!r}: expected {kind} from {low:g} to {high:g}"
            raise ConfigError(msg)
    hz = float(parameters["rate"] or 0)
    try:
        nominal = Rate.from_hz(hz)
        whole = Fraction(nominal.samples_per_day)
    except GridError as error:
        msg = f"rate = {hz:g} Hz does not give a whole number of samples a day; take 1, 0.5, 1/60 or the like"
        raise ConfigError(msg) from error
    if whole < 1:
        msg = f"rate = {hz:g} Hz gives less than one sample a day"
        raise ConfigError(msg)
    return nominal
