"""The runs of a store as they are seen from outside: who works on it now, how the last run ended, who died.

Everything that is read lies in the store, so that any machine that sees it can look; nothing is written and no lease
is taken. A run is going on whose state says so and whose lease is alive. One whose state says so without a live lease
was killed, or lost its machine or its disk: nobody wrote down how it ended.

Ages are those of objects, by this machine's clock, or by the newest object where that clock is behind.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from gravdask.store.claims import Claim
from gravdask.store.journal import contents_of, runs_of_process, states
from gravdask.store.lease import EXPIRY_SECONDS, alive
from gravdask.store.place import Place

LATEST = 20
"""Runs that are looked at, beside those that are going on."""

State = dict[str, Any]


@dataclass(frozen=True)
class _Holder:
    """A lease, and when it was last renewed [s since 1970]."""

    claim: Claim
    renewed: float

    def holds(self, state: State) -> bool:
        """Whether this is the lease of a run."""
        claim = self.claim
        return (claim.host, claim.pid, claim.machine) == (state.get("host"), state.get("pid"), state.get("machine"))


@dataclass(frozen=True)
class Runs:
    """Runs of a store.

    Attributes
    ----------
    running
        States of the runs that are going on, the latest begun first, each with ``silent_seconds`` since their last
        sign of life.
    starting
        Clients that hold a lease and have told nothing of a run yet: host, pid, since [s since 1970], claims (in
        words), silent_seconds.
    lost
        States, with ``state`` "lost" and ``silent_seconds``, of runs that died without a word and that no later one
        went on with.
    last
        State of the run that was the last to end, None if there is none.
    """

    running: list[State]
    starting: list[State]
    lost: list[State]
    last: State | None

    @classmethod
    def of(cls, store: Place) -> Runs:
        """Look at a store."""
        # Leases before and after: a run that begins or ends just now must not seem dead.
        holders = _holders(store)
        mine = [runs_of_process(h.claim.host, h.claim.pid) for h in holders]
        found = states(store, LATEST, lambda run: any(part in run for part in mine))
        holders += _holders(store)
        now = max([time.time(), *(h.renewed for h in holders), *(written for _, written in found)])
        living = [h for h in holders if now - h.renewed <= EXPIRY_SECONDS and alive(h.claim)]
        running, lost, ended, known = [], [], [], set()
        for state, written in found:
            holder = next((h for h in reversed(living) if h.holds(state)), None)
            silent = round(now - max(written, holder.renewed if holder is not None else 0.0), 1)
            if state["state"] != "running":
                ended.append(state)
            elif holder is not None:
                known.add(holder.claim.id)
                running.append({**state, "silent_seconds": silent})
            else:
                lost.append({**state, "state": "lost", "silent_seconds": silent})
        others = {h.claim.id: h for h in living if h.claim.id not in known}
        told = [_starting(h, now) for h in others.values() if not any(h.holds(s) for s in ended)]
        later = [*running, *ended]
        unfinished = [s for s in lost if not any(_goes_on_with(s, other) for other in later)]
        return cls(running, told, unfinished, max(ended, key=lambda s: str(s["ended"]), default=None))


def _holders(store: Place) -> list[_Holder]:
    """Leases that are held."""
    folder = store / "ledger" / "leases"
    entries = [e for e in folder.entries() if e.name.endswith(".json")]
    claims = map(Claim.parse, contents_of(folder, [e.name for e in entries]))
    return [
        _Holder(claim, e.time) for claim, e in zip(claims, entries, strict=True) if claim is not None and claim.held
    ]


def _starting(holder: _Holder, now: float) -> State:
    """What a lease alone tells."""
    claim = holder.claim
    return {
        "host": claim.host,
        "pid": claim.pid,
        "since": claim.time,
        "claims": claim.in_words(),
        "silent_seconds": round(now - holder.renewed, 1),
    }


def _goes_on_with(lost: State, other: State) -> bool:
    """Whether a run began later than one that was lost, and works on the same share of the units or on all."""
    share = other.get("settings", {}).get("task")
    return other["started"] > lost["started"] and share in ([0, 1], lost.get("settings", {}).get("task"))
