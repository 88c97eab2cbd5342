"""Where stations stand and what their channels measure, from tables, StationXML, RESP, dataless SEED and file headers.

A table is a list of entries, each valid for a pattern of channels (a missing network, location or code fits all) and
an epoch. `StationTable.lookup` answers for one channel and time: coordinates from the most specific entry that has
them, sensitivity from the most specific entry that has one; among equals the entry that was added first.
`StationTable.places` and `StationTable.gains` give all epochs of a channel.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from gravdask.archive.epochs import ALWAYS, Ranked, Stretch, sweep
from gravdask.archive.metadata_formats import metadata_format
from gravdask.archive.reader import import_quietly
from gravdask.archive.responses import InstrumentResponse, disagreement
from gravdask.archive.stations_csv import read_csv_rows
from gravdask.archive.traces import UNKNOWN_NETWORK, ChannelId, Trace
from gravdask.errors import StationError

CONFLICT_KM = 1.0
"""Coordinates of one channel further apart than this contradict each other [km]."""
_EARTH_RADIUS_KM = 6371.0
_ACCELERATION = frozenset({"M/S**2", "M/S^2", "M/S2", "M/(S**2)", "NM/S**2", "NM/S^2", "UM/S**2", "MM/S**2", "CM/S**2"})


@dataclass(frozen=True)
class ChannelMetadata:
    """What is known of a channel; None means unknown.

    Attributes
    ----------
    latitude, longitude, elevation
        Degrees north, degrees east in [-180, 180), metres.
    sensitivity
        Counts per `input_unit` at the sensitivity's frequency.
    input_unit
        Unit of the ground motion or pressure, as written in the StationXML, for example ``M/S**2``.
    start_ns, end_ns
        Epoch for which this is valid [ns since 1970]; None is open.
    source
        File it comes from.
    frequency_hz
        Frequency at which the sensitivity holds [Hz].
    output_unit
        Unit of what the sensitivity gives, ``COUNTS`` as a rule; '' if it is not stated.
    response
        The instrument's whole response, if it can be expressed in poles, zeros and coefficients.
    remark
        What is wrong with the response or the sensitivity, in words; '' if nothing is.
    """

    latitude: float | None = None
    longitude: float | None = None
    elevation: float | None = None
    sensitivity: float | None = None
    input_unit: str | None = None
    start_ns: int | None = None
    end_ns: int | None = None
    source: str = ""
    frequency_hz: float | None = None
    output_unit: str = ""
    response: InstrumentResponse | None = None
    remark: str = ""

    @property
    def is_acceleration(self) -> bool | None:
        """Whether the channel measures acceleration; None if its input unit is unknown."""
        return None if self.input_unit is None else self.input_unit.replace(" ", "").upper() in _ACCELERATION

    @property
    def gain(self) -> float | None:
        """Numbers per input unit: the sensitivity, or the product of the stages' gains where it contradicts them."""
        if self.response is not None and disagreement(self.response):
            return self.response.gain
        return self.sensitivity

    @property
    def has_coordinates(self) -> bool:
        """Whether latitude and longitude are both known."""
        return self.latitude is not None and self.longitude is not None

    @property
    def span(self) -> tuple[int, int]:
        """The epoch [ns since 1970], with the ends of time for what is open."""
        first, last = ALWAYS
        return first if self.start_ns is None else self.start_ns, last if self.end_ns is None else self.end_ns

    def covers(self, time_ns: int) -> bool:
        """Whether a time lies in the epoch."""
        return (self.start_ns is None or self.start_ns <= time_ns) and (self.end_ns is None or time_ns < self.end_ns)


@dataclass(frozen=True)
class StationEntry:
    """One row: a pattern of channels and what is known of them; None in the pattern fits all."""

    network: str | None
    station: str
    location: str | None
    code: str | None
    metadata: ChannelMetadata

    def fits(self, channel: ChannelId) -> bool:
        """Whether a channel fits the pattern; a channel of unknown network fits every network."""
        return (
            self.station == channel.station
            and (self.network is None or self.network == channel.network or channel.network == UNKNOWN_NETWORK)
            and self.location in {None, channel.location}
            and self.code in {None, channel.code}
        )

    @property
    def specificity(self) -> tuple[int, int]:
        """Number of parts of the pattern that are given, code and location first."""
        return (self.code is not None) + (self.location is not None), int(self.network is not None)

    def __str__(self) -> str:
        """Give the pattern as ``NET.STA.LOC.CHA`` with ``*`` for what fits all."""
        location = "*" if self.location is None else self.location or "--"
        return f"{self.network or '*'}.{self.station}.{location}.{self.code or '*'}"


@dataclass(frozen=True)
class StationConflict:
    """Two entries that put the same channel at the same time at places too far apart."""

    first: StationEntry
    second: StationEntry
    distance_km: float

    @property
    def used(self) -> StationEntry:
        """The one of the two that a channel takes which both fit, at times that both cover."""
        ranks = [ranked.rank for ranked in _ranked([self.first, self.second])]
        return self.first if ranks[0] > ranks[1] else self.second

    def __str__(self) -> str:
        """Say who contradicts whom, and who is believed."""
        which = "former" if self.used is self.first else "latter"
        a, b = self.first.metadata, self.second.metadata
        return (
            f"{self.first} ({a.latitude}, {a.longitude}; {a.source}) and {self.second} ({b.latitude}, {b.longitude}; "
            f"{b.source}) lie {self.distance_km:.1f} km apart; where both fit the {which} is used; "
            "correct one of them"
        )


class StationTable:
    """Coordinates and sensitivities of stations, from any number of sources; earlier entries win among equals."""

    def __init__(self, entries: Iterable[StationEntry] = ()) -> None:
        self._entries: tuple[StationEntry, ...] = tuple(entries)
        self._by_station: dict[str, list[StationEntry]] = defaultdict(list)
        for entry in self._entries:
            self._by_station[entry.station].append(entry)

    @property
    def entries(self) -> tuple[StationEntry, ...]:
        """All entries in the order of their precedence."""
        return self._entries

    @property
    def codes(self) -> tuple[str, ...]:
        """Station codes, sorted: what `ReadOptions.station_codes` wants."""
        return tuple(sorted(self._by_station))

    def __len__(self) -> int:
        return len(self._entries)

    def __add__(self, other: StationTable) -> StationTable:
        """Join two tables; this one's entries have precedence."""
        return StationTable((*self._entries, *other.entries))

    @classmethod
    def from_csv(cls, path: Path | str) -> StationTable:
        """Read a table of stations.

        Columns are found by name: station (or NET.STA), latitude, longitude, and if present network, location,
        channel, elevation. Separators are comma, semicolon, tab or ``|``; lines starting with ``#`` are comments,
        except a header line ``#Network|Station|...``. Columns start and end, if there are any, give epochs.

        Raises
        ------
        StationError
            If a column is missing or rows are wrong; names the file and every wrong row.
        """
        entries = []
        for row in read_csv_rows(Path(path)):
            place = ChannelMetadata(
                row.latitude,
                row.longitude,
                row.elevation,
                start_ns=row.start_ns,
                end_ns=row.end_ns,
                source=str(path),
            )
            entries.append(StationEntry(row.network, row.station, row.location, row.code, place))
        return cls(entries)

    @classmethod
    def from_file(cls, path: Path | str) -> StationTable:
        """Read whatever file: StationXML, RESP and dataless SEED by their contents, everything else as CSV.

        Raises
        ------
        StationError
            If it is damaged or none of these.
        """
        path = Path(path)
        if not path.exists():
            msg = f"{path}: there is no such file of stations; check the path"
            raise StationError(msg)
        known = metadata_format(path) or ("stationxml" if path.suffix.lower() == ".xml" else "")
        return cls.from_stationxml(path) if known else cls.from_csv(path)

    @classmethod
    def from_stationxml(cls, path: Path | str) -> StationTable:
        """Read a StationXML, RESP or dataless SEED file: an entry per station epoch, one per channel epoch.

        Raises
        ------
        StationError
            If the file is none of these or is damaged.
        """
        read_stationxml = import_quietly("gravdask.archive.stationxml").read_stationxml  # obspy; tables do not need it
        return cls(read_stationxml(Path(path)))

    @classmethod
    def from_traces(cls, traces: Iterable[Trace]) -> StationTable:
        """Take the coordinates that files state in their own headers, one entry per channel and place."""
        found: dict[StationEntry, None] = {}
        for trace in traces:
            if trace.latitude is not None and trace.longitude is not None:
                place = ChannelMetadata(trace.latitude, trace.longitude, trace.elevation, source="file header")
                name = trace.channel
                found[StationEntry(name.network, name.station, name.location, name.code, place)] = None
        return cls(found)

    def lookup(self, channel: ChannelId, time_ns: int | None = None) -> ChannelMetadata | None:
        """Find what is known of a channel.

        Parameters
        ----------
        channel
            Its name. Entries of another network do not count, unless the channel's network is unknown (XX).
        time_ns
            Time at which it must be valid [ns since 1970]; None takes the latest epoch.

        Returns
        -------
        metadata
            Coordinates and sensitivity, each from the most specific entry that has them; None if nothing fits.

        Raises
        ------
        StationError
            If the channel's network is unknown and stations of that code in several networks lie apart.
        """
        fitting = [e for e in self._fitting(channel) if time_ns is None or e.metadata.covers(time_ns)]
        fitting.sort(
            key=lambda e: (e.specificity, *(_latest_first(e.metadata) if time_ns is None else ())), reverse=True
        )
        if not fitting:
            return None
        if channel.network == UNKNOWN_NETWORK:
            _refuse_ambiguity(channel, fitting)
        place = next((e.metadata for e in fitting if e.metadata.has_coordinates), ChannelMetadata())
        gain = next((e.metadata for e in fitting if e.metadata.input_unit is not None), ChannelMetadata())
        epoch = gain if gain.input_unit is not None else place
        return replace(
            gain,
            latitude=place.latitude,
            longitude=place.longitude,
            elevation=place.elevation,
            start_ns=epoch.start_ns,
            end_ns=epoch.end_ns,
            source=place.source or gain.source,
        )

    def _fitting(self, channel: ChannelId) -> list[StationEntry]:
        """Entries that fit a channel, in the order of the table."""
        return [entry for entry in self._by_station.get(channel.station, []) if entry.fits(channel)]

    def places(self, channel: ChannelId) -> list[Stretch[ChannelMetadata]]:
        """When a channel stood where: stretches of time, each with the entry that says so and those it outdoes.

        Raises
        ------
        StationError
            As `lookup`.
        """
        fitting = self._fitting(channel)
        if channel.network == UNKNOWN_NETWORK:
            _refuse_ambiguity(channel, fitting)
        return sweep(_ranked([e for e in fitting if e.metadata.has_coordinates]))

    def gains(self, channel: ChannelId) -> list[Stretch[ChannelMetadata]]:
        """What a channel's numbers were worth when: stretches of time with the entry that holds and those it outdoes.

        Of two epochs of one file that overlap the later one holds.

        Raises
        ------
        StationError
            As `lookup`.
        """
        fitting = self._fitting(channel)
        if channel.network == UNKNOWN_NETWORK:
            _refuse_ambiguity(channel, fitting)
        return sweep(_ranked([e for e in fitting if e.metadata.input_unit and e.metadata.sensitivity]))

    def remarks(self, channel: ChannelId) -> list[str]:
        """What is wrong with the metadata of a channel, in words."""
        about = (e.metadata for e in self._fitting(channel))
        return list(dict.fromkeys(f"{m.source}: {m.remark}" for m in about if m.remark))

    def conflicts(self) -> list[StationConflict]:
        """List pairs of entries that put one channel, at one time, at places more than 1 km apart.

        Of the pairs with the same two places at a station (its channels, say) only the first is listed.
        """
        found: dict[object, StationConflict] = {}
        for entries in self._by_station.values():
            placed = [entry for entry in entries if entry.metadata.has_coordinates]
            for number, first in enumerate(placed):
                for second in placed[number + 1 :]:
                    if _same_channel(first, second) and _same_time(first.metadata, second.metadata):
                        distance = distance_km(first.metadata, second.metadata)
                        if distance > CONFLICT_KM:
                            places = (first.station, _coordinates(first), _coordinates(second))
                            found.setdefault(places, StationConflict(first, second, distance))
        return list(found.values())


def _ranked(entries: list[StationEntry]) -> list[Ranked[ChannelMetadata]]:
    """Entries with their precedence: the most specific, then the file that was named first, then the later epoch."""
    files = {source: -number for number, source in enumerate(dict.fromkeys(e.metadata.source for e in entries))}
    made = []
    for number, entry in enumerate(entries):
        start, end = entry.metadata.span
        # Within a table that knows no epochs the row that comes first wins, as everywhere.
        rank = (*entry.specificity, files[entry.metadata.source], start, -number)
        made.append(Ranked(start, end, rank, entry.metadata))
    return made


def _coordinates(entry: StationEntry) -> tuple[float | None, float | None]:
    """Latitude and longitude of an entry."""
    return entry.metadata.latitude, entry.metadata.longitude


def _latest_first(metadata: ChannelMetadata) -> tuple[float, float]:
    """Sort key by which, in falling order, the latest epoch comes first."""
    end = math.inf if metadata.end_ns is None else float(metadata.end_ns)
    return end, -math.inf if metadata.start_ns is None else float(metadata.start_ns)


def _same_channel(first: StationEntry, second: StationEntry) -> bool:
    """Whether a channel can fit both patterns."""
    pairs = ((first.network, second.network), (first.location, second.location), (first.code, second.code))
    return all(a is None or b is None or a == b for a, b in pairs)


def _same_time(first: ChannelMetadata, second: ChannelMetadata) -> bool:
    """Whether two epochs overlap."""
    start = max(-math.inf if m.start_ns is None else m.start_ns for m in (first, second))
    end = min(math.inf if m.end_ns is None else m.end_ns for m in (first, second))
    return start < end


def _refuse_ambiguity(channel: ChannelId, fitting: list[StationEntry]) -> None:
    """Raise if entries of several networks fit a channel of unknown network and lie apart."""
    placed = [entry for entry in fitting if entry.metadata.has_coordinates and entry.network is not None]
    for entry in placed[1:]:
        if entry.network != placed[0].network and distance_km(entry.metadata, placed[0].metadata) > CONFLICT_KM:
            msg = (
                f"{channel}: its network is unknown, and a station {channel.station} exists in the networks "
                f"{placed[0].network} and {entry.network}; state the network of these records"
            )
            raise StationError(msg)


def distance_km(first: ChannelMetadata, second: ChannelMetadata) -> float:
    """Great-circle distance on a sphere of 6371 km (haversine formula) [km]; nan if a coordinate is unknown."""
    if first.latitude is None or first.longitude is None or second.latitude is None or second.longitude is None:
        return math.nan
    lat_1, lat_2 = math.radians(first.latitude), math.radians(second.latitude)
    half_lat, half_lon = (lat_2 - lat_1) / 2, math.radians(second.longitude - first.longitude) / 2
    chord = math.sin(half_lat) ** 2 + math.cos(lat_1) * math.cos(lat_2) * math.sin(half_lon) ** 2
    return 2 * _EARTH_RADIUS_KM * math.asin(min(1.0, math.sqrt(chord)))
