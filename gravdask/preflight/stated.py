"""What a person states beside the records: the station table, the operator's log, the catalogue of earthquakes."""

from __future__ import annotations

from gravdask.config import Config
from gravdask.errors import CatalogError, ConfigError, ReadError, StationError
from gravdask.preflight.findings import Finding, fail, note, ok
from gravdask.stages.archive import station_table
from gravdask.stages.interpret import load_events


def stated_findings(config: Config) -> list[Finding]:
    """Whether what is named can be read: a run would be refused for it, after its archive was looked through."""
    return [*_stations(config), *_catalogue(config)]


def _stations(config: Config) -> list[Finding]:
    """Look at the station table and, as every run does with it, at the operator's log and the stated channels."""
    settings = config.archive
    try:
        table, notes = station_table(settings)
    except (ConfigError, ReadError, StationError) as error:
        return [fail("stations", str(error), "correct archive.stations, archive.log or [[archive.channels]]")]
    if not settings.station_files:
        return [
            note("stations", "no table is named", "without coordinates no tide is subtracted, no arrival predicted")
        ]
    told = [note("stations", text, "") for text in notes]
    return [ok("stations", f"{len(table.codes)} stations in {', '.join(settings.station_files)}"), *told]


def _catalogue(config: Config) -> list[Finding]:
    """Look at the catalogue."""
    settings = config.interpret
    if not settings.catalog:
        return [note("catalogue", "none is named", "no component is tested for association with earthquakes")]
    try:
        events = load_events(settings)
    except CatalogError as error:
        return [fail("catalogue", str(error), "correct interpret.catalog")]
    left = f", {len(events.problems)} rows are left out" if events.problems else ""
    about = f"{len(events.table)} earthquakes of magnitude {settings.min_magnitude:g} or more in {settings.catalog}"
    return [ok("catalogue", about + left)]
