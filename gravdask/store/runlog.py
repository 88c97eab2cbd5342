"""What a run tells of itself while it goes on: its log, its figures, and in the end its record.

The lines of the log, by their ``event``: ``run_start``, ``stage_start``, ``unit``, ``said`` (what runners told of their
workers), ``stage_end``, ``run_end``. All have ``time`` (UTC). The state has the keys that `RunLog.state` lists; they
are what ``gravdask status --json`` and `gravdask.pipeline.RunRecord.figures` give.
"""

from __future__ import annotations

import heapq
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import gravdask
from gravdask.config import Config, digest
from gravdask.progress import time_left
from gravdask.secrets import masked
from gravdask.store.journal import Journal, run_name
from gravdask.store.lease import machine
from gravdask.store.ledger import Record
from gravdask.store.place import Place
from gravdask.usage import SLOWEST, Tally, Usage, peak_memory

FORMAT = 1
REASONS = 20
"""Units that failed whose reasons are in the state; all are in the log."""
WORD_LENGTH = 2000
RECENT_SECONDS = 300.0
"""Over this time the present rate is taken, so that it follows workers that come and go."""
LEAST_SECONDS = 20.0
"""Over less time there is no present rate but the mean one."""


@dataclass
class _Stage:
    """A stage so far.

    Attributes
    ----------
    begun, working
        When it began and when its first unit did, by the monotonic clock [s]: workers may have been waited for between.
    started
        The former as text.
    to_do, current
        Units to do and units up to date; None until that is known.
    drawn
        Units that were handed out.
    marks
        (time, units through) now and then during the last minutes.
    row
        Figures in the end.
    """

    name: str
    started: str
    begun: float
    working: float = 0.0
    state: str = "running"
    to_do: int | None = None
    current: int | None = None
    done: int = 0
    failed: int = 0
    drawn: int = 0
    tally: Tally = field(default_factory=Tally)
    marks: deque[tuple[float, int]] = field(default_factory=deque)
    row: dict[str, Any] = field(default_factory=dict)

    def rate(self) -> tuple[float, float | None]:
        """Units a second: lately, or since the first of them began; and the seconds that the rest will take.

        Units under way are taken to be half done, as they are on average. 0 and None as long as no unit is through.
        """
        now, through = time.monotonic(), self.done + self.failed
        if not through:
            return 0.0, None
        while self.marks and now - self.marks[0][0] > RECENT_SECONDS:
            self.marks.popleft()
        lately = bool(self.marks) and now - self.marks[0][0] >= LEAST_SECONDS
        since, before = self.marks[0] if lately else (self.working, 0)
        self.marks.append((now, through))
        elapsed, under_way, to_do = max(now - since, 1e-6), max(self.drawn - through, 0), self.to_do or 0
        rate = (through - before) / elapsed
        if not lately:
            return rate, time_left(elapsed, through, under_way, to_do)
        # As many were half done when that time began: the rate is theirs, too.
        return rate, max(to_do - through - under_way / 2, 0.0) / rate if rate else None

    def figures(self) -> dict[str, Any]:
        """Figures as they stand in the state."""
        if self.row:
            return {**self.row, "state": self.state, "started": self.started}
        found: dict[str, Any] = {
            "stage": self.name,
            "state": self.state,
            "started": self.started,
            "units": None if self.to_do is None else self.to_do + (self.current or 0),
            "done": self.done,
            "skipped": self.current,
            "quarantined": self.failed,
            "seconds": round(time.monotonic() - self.begun, 3),
            **self.tally.figures(),
        }
        if self.to_do is not None and self.state == "running":
            rate, left = self.rate()
            found["units_per_second"] = round(rate, 6)
            found["seconds_left"] = None if left is None else round(left, 1)
        return found


class RunLog:
    """Follows one run; a context within which the log is kept.

    Parameters
    ----------
    store
        Place of the store; None keeps figures and writes nothing.
    about
        What to say of the run: see `about_run`.
    stop
        Set where the run was asked to stop.
    said
        Gives the last line that a person was told.
    """

    def __init__(
        self,
        store: Place | None = None,
        about: dict[str, Any] | None = None,
        stop: threading.Event | None = None,
        said: Callable[[], str] = str,
    ) -> None:
        self._lock = threading.RLock()
        self._stop, self._said = stop, said
        self._begun = time.monotonic()
        self._last: float | None = None  # when a unit of the present stage was through
        self._about = {"started": utc_now(), "host": socket.gethostname(), "pid": os.getpid(), **(about or {})}
        self._name = run_name(self._about["started"], self._about["host"], self._about["pid"])
        self._state, self._error, self._ended, self._worked = "running", "", "", False
        self._stages: dict[str, _Stage] = {}
        self._workers: dict[tuple[str, int], int] = {}
        self._reasons: list[dict[str, Any]] = []
        self._mishaps: Callable[[], Mapping[str, int]] = dict
        self._store = store
        self._journal: Journal | None = None

    def __enter__(self) -> RunLog:
        """Begin."""
        if self._store is not None:
            self._journal = Journal(self._store, self._name, self.state)
            self._write("run_start", run=self._name, **self._about)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write how it ended; a run that had nothing to do leaves nothing."""
        if error is not None:
            stopped = isinstance(error, KeyboardInterrupt) or (self._stop is not None and self._stop.is_set())
            self._state = "stopped" if stopped else "failed"
            self._error = _told(str(error) or type(error).__name__)
        elif self._state == "running":
            self._state = "done"
        self._ended = utc_now()
        self._close(keep=self._worked or error is not None)

    def _close(self, keep: bool) -> None:
        """Stop writing."""
        if self._journal is not None:
            self._write("run_end", state=self._state, error=self._error, seconds=time.monotonic() - self._begun)
            self._journal.close(keep)
            self._journal = None

    def discard(self) -> None:
        """Remove what was written and write no more: the store is to be removed."""
        if self._journal is not None:
            self._journal.close(keep=False)
            self._journal = None

    def _write(self, event: str, **values: Any) -> None:  # noqa: ANN401
        """Add a line to the log."""
        if self._journal is not None:
            self._journal.add({"event": event, "time": utc_now(), **values})

    def telling(self, say: Callable[[str], None]) -> Callable[[str], None]:
        """Make what keeps a line in the log too, of what tells it to a person."""

        def tell(text: str) -> None:
            self._write("said", text=_told(text))
            say(text)

        return tell

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Follow a stage from its start to its end."""
        with self._lock:
            self._last = None
            stage = self._stages[name] = _Stage(name, utc_now(), time.monotonic())
        self._write("stage_start", stage=name)
        try:
            yield
            stage.state = "done"
        finally:
            with self._lock:
                if stage.state == "running":
                    stage.state = "unfinished"
                figures = stage.figures()
            self._write("stage_end", **figures)

    def follow(self, mishaps: Callable[[], Mapping[str, int]]) -> None:
        """Learn from a runner what happened to its workers: see `gravdask.execution.Runner`."""
        self._mishaps = mishaps

    def _stage(self, name: str) -> _Stage:
        """Stage of a name, also where nobody said that it began."""
        return self._stages.setdefault(name, _Stage(name, utc_now(), time.monotonic()))

    def planned(self, name: str, to_do: int, current: int) -> None:
        """Take how many units of a stage are to be done, and how many are up to date."""
        with self._lock:
            stage = self._stage(name)
            stage.to_do, stage.current, stage.working = to_do, current, time.monotonic()

    def drawn(self, name: str) -> None:
        """Take that a unit of a stage was handed out."""
        with self._lock:
            self._stage(name).drawn += 1

    def unit(self, record: Record, usage: Usage | None) -> None:
        """Take a unit that is through, with what it needed if that is known."""
        failed = record.status == "quarantined"
        with self._lock:
            self._worked, self._last = True, time.monotonic()
            stage = self._stage(record.stage)
            if usage is not None and not stage.tally.units:
                stage.working = max(stage.working, self._last - usage.seconds)
            stage.done += not failed
            stage.failed += failed
            if usage is not None:
                stage.tally.add(usage, lambda: _slow(record, usage))
                self._workers[usage.host, usage.pid] = usage.peak_memory
            if failed and len(self._reasons) < REASONS:
                self._reasons.append({**_unit(record), **_failure(record)})
        if self._journal is None:
            return
        about = {**_unit(record), "status": record.status}
        if usage is not None:
            about |= {
                "seconds": round(usage.seconds, 6),
                "read_seconds": round(usage.read, 6),
                "compute_seconds": round(usage.compute, 6),
                "write_seconds": round(usage.write, 6),
                "bytes": usage.written,
                "peak_memory_bytes": usage.peak_memory,
                "host": usage.host,
                "pid": usage.pid,
                "started": utc_text_of(usage.started),
            }
        if failed:
            about |= _failure(record)
        self._write("unit", **about)

    def sums(self, row: dict[str, Any]) -> dict[str, Any]:
        """Join a stage's row in the end with what its units needed."""
        with self._lock:
            stage = self._stage(row["stage"])
            stage.row = {**row, "seconds": round(row["seconds"], 3), **stage.tally.figures()}
            through = row["done"] + row["quarantined"]
            stage.row["units_per_second"] = round(through / max(row["seconds"], 1e-6), 6)
            self._worked = self._worked or bool(through)
            return dict(stage.row)

    def finish(self, exit_code: int) -> dict[str, Any]:
        """Take how the run ended, and give its record."""
        self._state, self._ended = "quarantined" if exit_code else "done", utc_now()
        return self.state()

    def state(self) -> dict[str, Any]:
        """Give the state of the run as it is written.

        Returns
        -------
        state
            ``format``; ``run`` (its name); ``state`` (running, done, quarantined, stopped, failed); ``started``,
            ``updated``, ``ended`` (UTC); ``seconds``; ``version``, ``configuration`` (digest), ``settings``;
            ``host``, ``pid``, ``machine`` of the client; ``stage`` (the present or last one); ``said`` (the last line
            that a person was told); ``stages``: a list with stage, state (running, done, unfinished), started, units
            (null until known), done, skipped, quarantined, seconds, worker_seconds, read_seconds, compute_seconds,
            write_seconds, bytes (written), peak_memory_bytes (of a worker), units_per_second, and seconds_left while
            it runs; ``seconds_since_unit`` (null before the stage's first); ``slowest``: the slowest units;
            ``quarantined``: the first units that failed, with reasons; ``workers`` (processes that did units),
            ``mishaps``: how often what happened to workers and was made good: attempts (further ones at units), alone
            (units tried alone since their worker died), doubled (stragglers run twice), workers_gone, jobs_lost;
            ``peak_memory_bytes`` (workers, client); ``error``; ``log``: lines written, waiting or lost, fault.
        """
        journal = self._journal
        with self._lock:
            stages = [stage.figures() for stage in self._stages.values()]
            slow = [unit for stage in self._stages.values() for unit in stage.tally.slowest]
            return {
                "format": FORMAT,
                "run": self._name,
                "state": self._state,
                **self._about,
                "updated": utc_now(),
                "ended": self._ended,
                "seconds": round(time.monotonic() - self._begun, 3),
                "stage": stages[-1]["stage"] if stages else "",
                "stages": stages,
                "said": _told(self._said()),
                "seconds_since_unit": None if self._last is None else round(time.monotonic() - self._last, 3),
                "slowest": [about for _, _, about in heapq.nlargest(SLOWEST, slow, key=lambda unit: unit[0])],
                "quarantined": list(self._reasons),
                "workers": len(self._workers),
                "mishaps": {name: count for name, count in self._mishaps().items() if count},
                "peak_memory_bytes": {"workers": max(self._workers.values(), default=0), "client": peak_memory()},
                "error": self._error,
                "log": {} if journal is None else journal.figures(),
            }


def about_run(
    config: Config, stages: tuple[str, ...], channels: tuple[str, ...], part: tuple[int, int]
) -> dict[str, Any]:
    """What is said of a run: the version, what it was asked to do, and where it works; no address, no key."""
    cluster = config.cluster
    return {
        "version": gravdask.__version__,
        "configuration": digest(config),
        "machine": machine(),
        "settings": {
            "stages": list(stages),
            "channels": list(channels),
            "select": list(config.archive.select),
            "task": list(part),
            "start": config.archive.start,
            "end": config.archive.end,
            "refit": config.fit.refit,
            "cluster": {
                key: getattr(cluster, key)
                for key in ("kind", "workers", "workers_per_job", "memory", "walltime", "retries")
            },
        },
    }


def _unit(record: Record) -> dict[str, Any]:
    """Which unit a record is about."""
    return {"stage": record.stage, "channel": record.channel, "unit": record.unit}


def _failure(record: Record) -> dict[str, Any]:
    """Why a unit failed, where, and after how many attempts."""
    where = {key: record.info[key] for key in ("host", "tries") if record.info.get(key)}
    return {"reason": reason_of(record), "seconds": round(record.seconds, 6), **where}


def _slow(record: Record, usage: Usage) -> dict[str, Any]:
    """What is remembered of a slow unit."""
    found = {"seconds": usage.seconds, "read_seconds": usage.read, "write_seconds": usage.write}
    return {**_unit(record), **{k: round(v, 3) for k, v in found.items()}, "host": usage.host, "pid": usage.pid}


def reason_of(record: Record) -> str:
    """Why a unit failed, in words."""
    problems = record.info.get("problems") or [{}]
    return _told(str(problems[0].get("what", "")))


def _told(text: str) -> str:
    """Text of any origin as it may be written down: not too long, and without credentials."""
    return masked(text)[:WORD_LENGTH]


def utc_now() -> str:
    """Present time (UTC) to the millisecond."""
    return utc_text_of(time.time())


def utc_text_of(seconds: float) -> str:
    """Time of seconds since 1970 (UTC) to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
