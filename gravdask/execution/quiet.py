"""Lines of libraries that say nothing which is not said in words elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet(logger: str, *beginnings: str, inside: str = "") -> Iterator[None]:
    """Keep a library's logger from writing some lines.

    Parameters
    ----------
    logger
        Its name.
    beginnings
        How the lines begin; '' for lines that hold nothing but a traceback.
    inside
        What they hold besides.
    """
    log = logging.getLogger(logger)

    def worth_saying(record: logging.LogRecord) -> bool:
        """Whether a line is none of them."""
        text = record.getMessage().strip()
        return not any(text.startswith(b) if b else not text for b in beginnings) or inside not in text

    log.addFilter(worth_saying)
    try:
        yield
    finally:
        log.removeFilter(worth_saying)
