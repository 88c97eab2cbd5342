"""What a run did, what it left out and where its report is, in lines for a person."""

from __future__ import annotations

import time
from pathlib import Path

from gravdask.config import ClusterConfig
from gravdask.pipeline import RunRecord
from gravdask.progress import Progress, grouped

NO_DASK = "note: there will be no performance report: it is Dask's, and this run works without Dask (serial)"
FEW = 20
"""Findings that are told one by one."""


def tell_outcome(record: RunRecord, progress: Progress) -> None:
    """Say what a run did, what it left out and where the report is."""
    for note in grouped(record.notes):
        progress.say(f"note: {note}")
    for row in record.quarantine.head(FEW).to_dict("records"):
        line = f", line {row['line']}" if row.get("line") and row["line"] == row["line"] else ""
        cure = f"; {row['cure']}" if row["cure"] else ""
        progress.say(f"quarantined: {row['where']}{line}: {row['what']}{cure}")
    if len(record.quarantine) > FEW:
        progress.say(f"quarantined: {len(record.quarantine) - FEW} more; all are in quarantine.csv beside the report")
    if record.units_done == record.units_quarantined == record.units_skipped == 0:
        progress.say(
            f"nothing to do: {_scope(record)}; 'gravdask status' says what the store holds ({record.seconds:.1f} s)"
        )
    elif record.units_done == 0 and record.units_quarantined == 0:
        progress.say(f"nothing to do: all {record.units_skipped} units are up to date ({record.seconds:.1f} s)")
    else:
        progress.say(f"{record.units_done} units done, {record.units_skipped} up to date ({record.seconds:.1f} s)")
    if record.report is not None:
        progress.say(f"report: {record.report}")


def _scope(record: RunRecord) -> str:
    """Say of what a run found nothing."""
    share, jobs = record.figures.get("settings", {}).get("task", (0, 1))
    if jobs > 1:
        return f"share {share}/{jobs} holds none of the units of these stages, channels and times"
    return "there is nothing to work on for these stages, channels and times"


def tell_performance_report(settings: ClusterConfig, seconds: float, progress: Progress) -> None:
    """Say where Dask's performance report is, or that nothing needed a worker and there is none.

    Parameters
    ----------
    seconds
        How long the run took: what is older is the report of another run.
    """
    if not settings.performance_report or settings.kind == "serial":
        return
    file = Path(settings.performance_report)
    if file.exists() and time.time() - file.stat().st_mtime <= seconds + 60:
        progress.say(f"performance report: {file}")
    else:
        progress.say("note: there is no performance report: nothing needed a worker")
