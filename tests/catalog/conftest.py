"""Import obspy once without its own deprecation warnings, which the test run would turn into errors."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import obspy.geodetics
    import obspy.io.ndk.core
    import obspy.taup  # noqa: F401
