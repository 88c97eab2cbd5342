"""From which months a channel's estimate was made, and what the record has become since.

An estimate stands until a refit is asked for, so that old frames keep their values. Where the record has since grown
far beyond it, or changed underneath it, a person should know what the estimate was made from and what a new one would
be.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gravdask.config import digest
from gravdask.preprocess.admittance import Admittance, AdmittanceEstimate
from gravdask.preprocess.monthly import MonthlyAdmittance
from gravdask.stages.scanning import examples

GROWN = 2
"""Times as many days as an estimate was made from that are worth a note."""
_QUANTITIES = (
    ("tidal_factor", "tidal factor", ".4f", ""),
    ("admittance", "pressure admittance", ".2f", " nm/s²/hPa"),
    ("drift", "drift", ".2f", " nm/s²/day"),
)


def months_of(months: MonthlyAdmittance) -> dict[str, str]:
    """Digest of the sums of each month that an estimate is made from, by ``YYYY-MM``."""
    return {month: _digest(sums) for month, sums in sorted(months.months.items())}


def _digest(sums: Admittance) -> str:
    """Digest of a month's days and second differences, to six digits: another processor rounds otherwise."""
    return digest([sums.days, sums.hours, [f"{value:.6g}" for value in sums.gram.ravel()]])[:8]


def age_notes(name: str, kept: dict[str, Any], months: MonthlyAdmittance) -> list[str]:
    """Note on an estimate that the record has outgrown, or that was made from a record that has changed.

    Parameters
    ----------
    name
        Of the channel.
    kept
        The estimate as the ledger holds it; ``made_from`` (`months_of`) is not there in stores of earlier versions,
        of which only the count of days is looked at.
    months
        Sums of the record as it is.
    """
    fresh, then, now = months.total().finalize(), kept.get("made_from") or {}, sorted(months.months)
    before = int(kept.get("days") or 0)
    reasons = []
    if before and fresh.days >= GROWN * before:
        reasons.append("has grown much since")
    if then and now and now[0] < min(then):
        reasons.append(f"begins earlier now, in {now[0]}")
    if then and (changed := _changed(then, months)) and _differs(kept, fresh):
        reasons.append(f"was changed in {examples(changed)}")
    if not reasons:
        return []
    span = f" ({min(then)} to {max(then)})" if then else ""
    present = f"{fresh.days} days now ({now[0]} to {now[-1]})" if now else "none now"
    return [
        f"{name}: its tidal factor, pressure admittance and drift stand as estimated from {before} days{span}; the "
        f"record {' and '.join(reasons)}, {present}. {_compared(kept, fresh)}; --refit estimates them, and the model, "
        "anew"
    ]


def _changed(then: dict[str, str], months: MonthlyAdmittance) -> list[str]:
    """Months whose sums are others than they were; the last one may have got more days."""
    present = months_of(months)
    return [month for month, text in then.items() if present.get(month) != text and month != max(then)]


def _differs(kept: dict[str, Any], fresh: AdmittanceEstimate) -> bool:
    """Whether any quantity would change by more than the error of the estimate that stands."""
    pairs = [(kept.get(q), getattr(fresh, q), kept.get(f"{q}_error")) for q, *_ in _QUANTITIES]
    return any(
        (old is None) != (not np.isfinite(new)) or (old is not None and abs(new - old) > (error or 0.0))
        for old, new, error in pairs
    )


def _compared(kept: dict[str, Any], fresh: AdmittanceEstimate) -> str:
    """What stands and what a new estimate would be, in words."""
    words = []
    for quantity, text, form, unit in _QUANTITIES:
        old, new = kept.get(quantity), getattr(fresh, quantity)
        if old is not None or np.isfinite(new):
            stands = "unknown" if old is None else f"{old:{form}}"
            words.append(f"{text} {new:{form}}{unit} (stands: {stands})" if np.isfinite(new) else f"{text} unknown")
    return "Made anew they would be " + ", ".join(words)
