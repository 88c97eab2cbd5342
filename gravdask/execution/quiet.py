"""Lines of libraries that say nothing which is not said in words elsewhere."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def worth_saying(*beginnings: str, inside: str = "") -> Callable[[logging.LogRecord], bool]:
    """Make a filter that drops some lines.

    Parameters
    ----------
    beginnings
        How the lines begin; '' for lines that hold nothing but a traceback.
    inside
        What they hold besides.
    """

    def keep(record: logging.LogRecord) -> bool:
        """Whether a line is none of them."""
        text = record.getMessage().strip()
        return not any(text.startswith(b) if b else not text for b in beginnings) or inside not in text

    return keep


@contextmanager
def quiet(logger: str, *beginnings: str, inside: str = "") -> Iterator[None]:
    """Keep a library's logger from writing some lines; see `worth_saying`."""
    log, keep = logging.getLogger(logger), worth_saying(*beginnings, inside=inside)
    log.addFilter(keep)
    try:
        yield
    finally:
        log.removeFilter(keep)


def start_quiet_tracker() -> None:
    """Start Python's tracker of semaphores so that it removes what a run that was stopped has left without a word.

    It outlives the client, and its warning would stand behind the sentence that the run ends with. One that runs
    already, as in a notebook, stays as it is.
    """
    if os.name != "posix":  # nothing is tracked elsewhere
        return
    from multiprocessing import resource_tracker

    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, [before, "ignore:resource_tracker"]))
    try:
        resource_tracker.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before
