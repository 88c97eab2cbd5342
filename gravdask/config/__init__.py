"""The configuration: ``gravdask.toml`` read into validated, immutable models, and written out documented.

Limits and defaults live here and nowhere else; the command line, the file that ``gravdask init`` writes and the
error messages all read them from these models. A digest of the part that a stage uses enters the fingerprints of its
units, so that changing a key redoes exactly the stages that read it.
"""

from gravdask.config.archive import ArchiveConfig, StoreConfig
from gravdask.config.digests import digest
from gravdask.config.document import Config, build_config, load_values, render, set_value
from gravdask.config.processing import FitConfig, InterpretConfig, NoiseConfig, PreprocessConfig, ScatteringConfig
from gravdask.config.work import ClusterConfig, ReportConfig

STAGES = ("convert", "noise", "calibrate", "scatter", "fit", "classify", "interpret", "report")
"""The stages in their order."""
WHOLE_STAGES = ("fit", "interpret", "report")
"""Those that look at the whole network: no share of the units can do them."""
STAGES_OF_UNITS = tuple(stage for stage in STAGES if stage not in WHOLE_STAGES)
"""Those that consist of units."""

__all__ = [
    "STAGES",
    "STAGES_OF_UNITS",
    "WHOLE_STAGES",
    "ArchiveConfig",
    "ClusterConfig",
    "Config",
    "FitConfig",
    "InterpretConfig",
    "NoiseConfig",
    "PreprocessConfig",
    "ReportConfig",
    "ScatteringConfig",
    "StoreConfig",
    "build_config",
    "digest",
    "load_values",
    "render",
    "set_value",
]
