"""Lines of libraries that say nothing which is not said in words elsewhere."""

from __future__ import annotations

import logging
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
