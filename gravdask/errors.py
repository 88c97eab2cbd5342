"""The errors of gravdask: one small tree, each class also the natural built-in.

A message says what was found, where (file, line, station, span), what was expected and what to do next.
"""

from __future__ import annotations


class GravdaskError(Exception):
    """Base of every error that gravdask raises on purpose."""


class ConfigError(GravdaskError, ValueError):
    """A key of the configuration is unknown, has the wrong type or lies outside its limits."""


class GridError(GravdaskError, ValueError):
    """A rate, time or index does not fit the absolute time grid."""


class ReadError(GravdaskError, ValueError):
    """A file of the archive cannot be read as what it claims to be; names the file and, if known, the line."""


class NotThisFormatError(ReadError):
    """A reader was offered a file that is not of its format; the next reader is tried."""


class StationError(GravdaskError, ValueError):
    """A table or StationXML file with station coordinates is wrong or contradicts another."""


class UnitsError(GravdaskError, ValueError):
    """A unit of measurement is unknown or is not one of acceleration or pressure where that is needed."""


class PreprocessError(GravdaskError, ValueError):
    """A step of the preprocessing was given a record, a limit or a model that it cannot work with."""


class CatalogError(GravdaskError, ValueError):
    """An earthquake catalogue cannot be read at all (a single bad row is listed instead)."""


class StoreError(GravdaskError, RuntimeError):
    """The store does not hold what is asked of it, or was written by something else."""


class AlignmentError(StoreError, ValueError):
    """A write would touch a part of a shard only; it is refused because it could lose data."""


class LeaseHeldError(StoreError):
    """Another client works on the same channels, stage and span of the store."""


class NotAccelerationError(GravdaskError, ValueError):
    """A noise magnitude was asked of a channel that is not known to be in acceleration."""


class NoiseError(GravdaskError, ValueError):
    """A noise magnitude was asked of a spectrum or span that cannot give it, or by an unknown name."""


class ScatteringError(GravdaskError, ValueError):
    """The parameters of a scattering network contradict each other or do not fit the record."""


class MixtureError(GravdaskError, ValueError):
    """A Gaussian mixture was given rows or parameters that it cannot work with."""


class ModelError(GravdaskError, RuntimeError):
    """A frozen model is missing, damaged or does not fit the coefficients that it is given."""


class ExecutionError(GravdaskError, RuntimeError):
    """Work could not be run to its end on the workers; running again continues."""


class PreflightError(GravdaskError, RuntimeError):
    """A check before the start says that the run would fail (disk, memory, interface)."""
