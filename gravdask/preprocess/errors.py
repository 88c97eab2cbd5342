"""The error of the preprocessing; by itself, so that a tide can be had without the compiler."""

from __future__ import annotations

from gravdask.errors import GravdaskError


class PreprocessError(GravdaskError, ValueError):
    """A step of the preprocessing was given a record, a limit or a model that it cannot work with."""
