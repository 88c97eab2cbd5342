"""Load obspy once with its own import-time deprecation (Python 3.11's entry points) set aside."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "SelectableGroups dict interface is deprecated", DeprecationWarning)
    import obspy  # noqa: F401
