"""Fixtures of the archive's tests."""

from __future__ import annotations

from gravdask.archive.reader import import_quietly

import_quietly("obspy")  # its import warns of importlib's future, which would fail whichever test comes first
