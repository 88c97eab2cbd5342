"""The runs of a store in words: what goes on, how far it is, when it will be through, how the last one ended."""

from __future__ import annotations

import time
from typing import Any

from gravdask.config import WHOLE_STAGES
from gravdask.grid import utc_text
from gravdask.store.layout import open_root
from gravdask.store.place import Place, in_words
from gravdask.store.runlog import utc_now
from gravdask.store.runs import Runs
from gravdask.usage import shares

FEW = 20
"""Runs that are told one by one."""
SLOW_SHOWN = 3
"""Slow units that are named."""
QUIET_SECONDS = 30.0
"""A sign of life that is older is worth a warning: leases are renewed every ten seconds."""
State = dict[str, Any]


def run_lines(store: Place) -> list[str]:
    """Who works on a store, and how the last run ended.

    Raises
    ------
    StoreError
        If there is no store.
    """
    runs = _seen(store)
    lines: list[str] = []
    for state in runs.running[:FEW]:
        lines += _running(state)
    if len(runs.running) > FEW:
        lines.append(f"running    {len(runs.running) - FEW} more runs")
    for client in runs.starting[:FEW]:
        since = utc_text(int((client["since"] or time.time()) * 1e9))
        who = f"process {client['pid']} on {client['host']} since {since} UTC"
        lines.append(f"running    {who}: {client['claims']}; it has told no figures yet")
    for state in runs.lost[:FEW]:
        lines += _lost(state)
    if runs.last is not None:
        lines += _ended(runs.last)
    return lines or ["last run   none is known that did anything"]


def run_values(store: Place) -> dict[str, Any]:
    """Tell a machine what `run_lines` tells a person.

    Returns
    -------
    values
        ``store``; ``time`` (UTC); ``running``, ``starting``, ``lost``, ``last``: see `gravdask.store.runs.Runs`.

    Raises
    ------
    StoreError
        If there is no store.
    """
    runs = _seen(store)
    seen = {"running": runs.running, "starting": runs.starting, "lost": runs.lost, "last": runs.last}
    return {"store": str(store), "time": utc_now(), **seen}


def _seen(store: Place) -> Runs:
    """Look at a store, if it is one."""
    with in_words(store):
        open_root(store)
        return Runs.of(store)


def _when(text: str) -> str:
    """Time as a person writes it."""
    return f"{text[:10]} {text[11:19]}"


def _who(state: State) -> str:
    """Process and machine of a run's client."""
    return f"process {state['pid']} on {state['host']}"


def _what(state: State) -> str:
    """What a run was asked to do, as far as that is not everything."""
    settings = state.get("settings", {})
    words = [f"stages {', '.join(settings.get('stages', []))}"]
    if settings.get("channels", ["*"]) != ["*"]:
        words.append(f"channels {', '.join(settings['channels'])}")
    if settings.get("start") or settings.get("end"):
        words.append(f"from {settings['start'] or 'the beginning'} to {settings['end'] or 'the end'}")
    if settings.get("task", [0, 1])[1] > 1:
        words.append("share {}/{}".format(*settings["task"]))
    return "; ".join([*words, settings.get("cluster", {}).get("kind", "")])


def _rounded(seconds: float) -> str:
    """Duration as a person says it: ``40 s``, ``12 min``, ``3.2 h`` or ``1.5 days``."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"


def _stage(state: State) -> State:
    """Stage that a run is in, or was in last."""
    return state["stages"][-1] if state["stages"] else {}


def _running(state: State) -> list[str]:
    """A run that is going on."""
    stage, silent = _stage(state), state["silent_seconds"]
    lines = [f"running    {_who(state)} since {_when(state['started'])} UTC: {_what(state)}"]
    if not stage:
        lines.append("           it has begun no stage yet")
    else:
        lines.append(f"           {_progress(stage)}, this stage since {_when(stage['started'])} UTC")
        if stage["units"] is None and state.get("said"):
            lines.append(f"           it said last: {state['said']}")
    if shares(stage):
        lines.append(f"           workers' time: {shares(stage)}; {_memory(state)}")
    lines += _mishaps(state)
    failed = sum(s["quarantined"] for s in state["stages"])
    if failed:
        reasons = [unit["reason"] for unit in state["quarantined"][:1]]
        lines.append(f"           {failed} units quarantined so far{f', first: {reasons[0]}' if reasons else ''}")
    alarm = ": it may hang, or its machine or the connection is gone" if silent > QUIET_SECONDS else ""
    last = state["seconds_since_unit"]
    unit = f"; last unit {_rounded(last + silent)} ago" if last is not None else ""
    lines.append(f"           last sign of life {_rounded(silent)} ago{alarm}{unit}")
    return lines


def _to_do(stage: State) -> int:
    """Units of a stage that was planned which were not up to date."""
    return int(stage["units"] - (stage["skipped"] or 0))


def _progress(stage: State) -> str:
    """How far a stage is."""
    if stage["units"] is None:
        return f"{stage['stage']}: {'at work' if stage['stage'] in WHOLE_STAGES else 'looking at what there is to do'}"
    through = stage["done"] + stage["quarantined"]
    text = f"{stage['stage']}: {through} of {_to_do(stage)} units"
    if stage["skipped"]:
        text += f" ({stage['skipped']} more were up to date)"
    if stage["state"] != "running":
        return text
    text += f", {stage.get('units_per_second', 0):.3g} units/s"
    left = stage.get("seconds_left")
    return f"{text}, about {_rounded(left)} left of this stage" if left is not None else text


def _memory(state: State) -> str:
    """Most memory of workers and client."""
    peak = state["peak_memory_bytes"]
    return (
        f"peak memory {peak['workers'] / 2**20:.0f} MiB a worker ({state['workers']} processes), "
        f"{peak['client'] / 2**20:.0f} MiB client"
    )


_MISHAPS = {
    "attempts": "further attempts at units",
    "alone": "units tried alone since their worker died",
    "doubled": "stragglers run twice",
    "workers_gone": "workers gone",
    "jobs_lost": "jobs that ended too early",
}


def _mishaps(state: State) -> list[str]:
    """What happened to workers, and was made good unless the run failed, if anything did."""
    told = [f"{state.get('mishaps', {}).get(name, 0)} {words}" for name, words in _MISHAPS.items()]
    told = [text for text in told if not text.startswith("0 ")]
    what = "happened" if state["state"] == "failed" else "made good"
    return [f"           {what}: {', '.join(told)}"] if told else []


def _lost(state: State) -> list[str]:
    """A run that nobody ended."""
    stage = _stage(state)
    where = f" in {_progress({**stage, 'state': 'lost'})}" if stage else ""
    return [
        f"lost       {_who(state)} began a run {_when(state['started'])} UTC ({_what(state)})",
        f"           and died without a word{where}; last sign of life {_rounded(state['silent_seconds'])} ago "
        f"({_when(state['updated'])} UTC)",
        "           what was finished is kept; run again to continue",
    ]


_ENDS = {
    "done": "done",
    "quarantined": "done, with something quarantined",
    "stopped": "stopped as asked; run again to continue",
    "failed": "failed",
}


def _cut(stage: State) -> str:
    """What a stage that was stopped had not done yet."""
    if stage["units"] is None:
        return ", not finished"
    left = _to_do(stage) - stage["done"] - stage["quarantined"]
    return f", {left} left to do" if left > 0 else ", stopped before their results were joined"


def _ended(state: State) -> list[str]:
    """A run that came to an end, good or bad."""
    span = f"{_when(state['started'])} to {_when(state['ended'])} UTC ({_rounded(state['seconds'])})"
    error = f": {state['error']}" if state["error"] and state["state"] != "stopped" else ""
    lines = [
        f"last run   {span} by {_who(state)}: {_ENDS.get(state['state'], state['state'])}{error}",
        f"           {_what(state)}",
    ]
    for stage in state["stages"]:
        if stage["done"] or stage["quarantined"] or stage["state"] == "unfinished":
            failed = f", {stage['quarantined']} quarantined" if stage["quarantined"] else ""
            spent = f"; {shares(stage)}" if shares(stage) else ""
            cut = _cut(stage) if stage["state"] == "unfinished" else ""
            took = f"{stage['seconds']:.1f} s"
            lines.append(f"           {stage['stage']:<10} {stage['done']} units done{failed} in {took}{cut}{spent}")
    if state["workers"]:
        lines.append(f"           {_memory(state)}")
    lines += _mishaps(state)
    slow = [
        f"{u['stage']} {u['channel']} unit {u['unit']} {u['seconds']:.3g} s on {u['host']}" for u in state["slowest"]
    ]
    if slow:
        lines.append(f"           slowest: {', '.join(slow[:SLOW_SHOWN])}")
    for unit in state["quarantined"][:SLOW_SHOWN]:
        where = f"{unit['stage']} {unit['channel']} unit {unit['unit']}"
        host = f" (on {unit['host']})" if unit.get("host") else ""
        lines.append(f"           quarantined: {where}: {unit['reason']}{host}")
    return lines
