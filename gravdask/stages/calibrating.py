"""From what files, metadata and a person say of a channel's numbers to its calibration table.

For every stretch of time: a scale and unit that the configuration states, else a calibration of the operator's log,
else the unit that the files state, else the sensitivity of the metadata. Where nothing is known a sample has no
physical value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from gravdask.archive.epochs import ALWAYS, Stretch, uncovered
from gravdask.archive.operator_log import LogRow
from gravdask.archive.responses import InstrumentResponse
from gravdask.archive.stations import ChannelMetadata, StationTable
from gravdask.archive.traces import ChannelId
from gravdask.errors import StationError, UnitsError
from gravdask.preprocess.response import DigitalStage, ResponseEpoch, joined
from gravdask.preprocess.units import Unit, parse_unit
from gravdask.stages.channels import INTERNAL_UNITS, Calibration
from gravdask.stages.placement import ChannelPlan
from gravdask.stages.record_spans import any_sample, record_span, samples_within, time_words

GAIN_AGREES = 1e-3
"""Largest relative difference of two sensitivities for one time that is not reported."""
NO_MOTION = frozenset(
    {"CELSIUS", "C", "DEGC", "K", "KELVIN", "RAD", "MRAD", "URAD", "NRAD", "DEGREE", "DEGREES", "DEG", "%", "PERCENT"}
    | {"A", "T", "NT", "M/M", "STRAIN"}
)
"""Units of sensors beside the ground's motion: temperature, tilt, humidity, current, magnetic field, strain."""
_GROUND_MOTION = frozenset("GHLMN")
"""Instrument letters of SEED codes that nothing but gravimeters and seismometers have."""
_VOLTS = frozenset({"V", "VOLT", "VOLTS"})
_MOST_SPANS = 3


@dataclass(frozen=True)
class Calibrated:
    """What the numbers of a channel are worth.

    Attributes
    ----------
    quantity
        ``acceleration``, ``velocity``, ``pressure`` or ``counts``.
    source_unit
        Unit of the source's numbers, '' where none is stated.
    table
        The calibration table, in the order of time.
    responses
        Responses by time, of seismometers.
    notes
        What a person should know.
    """

    quantity: str
    source_unit: str
    table: tuple[Calibration, ...]
    responses: tuple[ResponseEpoch, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Piece:
    """A stretch of time over which one number is worth the same."""

    start_ns: int
    end_ns: int
    unit: Unit
    scale: float = 1.0
    offset: float = 0.0
    about: ChannelMetadata | None = None
    stated: bool = False

    @property
    def factor(self) -> float:
        """Factor to internal units; a unit that a person states leaves nothing to the metadata but the response."""
        gain = None if self.about is None or self.stated else self.about.gain
        return self.unit.factor / (gain or 1.0) * self.scale

    def entry(self) -> Calibration:
        """Row of the calibration table."""
        unit = INTERNAL_UNITS.get(self.unit.kind, "counts")
        return Calibration(self.start_ns, self.end_ns, self.factor, self.unit.factor * self.offset, unit)


def calibrate_channel(plan: ChannelPlan, table: StationTable) -> Calibrated:
    """Find the calibration table of a channel.

    Parameters
    ----------
    plan
        What the files and a person say.
    table
        What the metadata say.
    """
    identity = ChannelId.parse(plan.name.split("@")[0])
    notes: list[str] = []
    stated, own = _file_unit(plan, notes)
    if own is None:
        base = _from_metadata(plan, table, identity, notes)
    else:
        base = [_Piece(*ALWAYS, own)]
        notes += _unused(plan, table, identity, own)
    pieces = _with_stated(plan, base, notes)
    physical = [p for p in pieces if p.unit.kind != "counts"]
    kinds = sorted({p.unit.kind for p in physical})
    if len(kinds) > 1:
        spans = "; ".join(f"{p.unit.name} from {time_words(p.start_ns)} to {time_words(p.end_ns)}" for p in physical)
        notes.append(
            f"{plan.name}: unit conflict: {spans}: one channel cannot be several quantities, so it stays in counts; "
            "state unit and scale in [[archive.channels]]"
        )
        physical = []
    elif physical and not any_sample(plan, [(p.start_ns, p.end_ns) for p in physical]):
        spans = ", ".join(f"{time_words(p.start_ns)} to {time_words(p.end_ns)}" for p in physical)
        notes.append(
            f"{plan.name}: its metadata hold for {spans} only, when it has no sample, so it stays in counts; get the "
            "metadata of the time of the record"
        )
        physical = []
    if not physical:
        whole = Calibration(*ALWAYS, 1.0, 0.0, "counts")
        return Calibrated("counts", stated or "counts", (whole,), (), tuple(notes))
    notes += _gaps(plan, physical)
    entries = _merged([p.entry() for p in physical])
    return Calibrated(
        kinds[0], stated or _numbers_unit(physical), entries, _responses(plan, physical, notes), tuple(notes)
    )


def _file_unit(plan: ChannelPlan, notes: list[str]) -> tuple[str, Unit | None]:
    """Unit that the files state, as text and as far as it is a physical one."""
    stated = plan.units[0] if plan.units else ""
    if len(plan.units) > 1 and plan.stated.first("unit") is None:
        notes.append(
            f"{plan.name}: unit conflict: its files state several units ({', '.join(plan.units)}); {stated} is taken; "
            "state the right one with unit in [[archive.channels]]"
        )
    try:
        unit = parse_unit(stated) if stated else None
    except UnitsError as error:
        # Temperatures, tilts and the like are nobody's gravity; that their units are not known is no news.
        if plan.kind != "other":
            notes.append(f"{plan.name}: {error}; its record stays in the numbers of the source")
        unit = None
    if unit is not None and _cannot_be(plan, unit, notes):
        return "", None
    return stated, unit if unit is not None and unit.kind != "counts" else None


def _cannot_be(plan: ChannelPlan, unit: Unit, notes: list[str]) -> bool:
    """Whether a channel cannot be in a unit by its name: a seismometer's numbers are no air pressure.

    The unit that is meant for channels whose files state none reaches all of them.
    """
    if plan.stated.first("kind") is not None or plan.stated.first("unit") is not None:
        return False
    motion = ChannelId.parse(plan.name.split("@")[0]).code[1:2] in _GROUND_MOTION and plan.kind in {
        "gravity",
        "seismic",
    }
    if not (motion and unit.kind == "pressure"):
        return False
    what = "gravimeter" if plan.kind == "gravity" else "seismometer"
    notes.append(
        f"{plan.name}: unit conflict: archive.units (--units) or its files state {unit.name}, a unit of air pressure, "
        f"but by its code it is a {what}; {unit.name} is not used. State the unit of such channels there (m/s2, mGal, "
        "counts), and that of barometers in [[archive.channels]]"
    )
    return True


def _unused(plan: ChannelPlan, table: StationTable, identity: ChannelId, own: Unit) -> list[str]:
    """Metadata of another quantity than that which the files' unit says."""
    try:
        stretches = table.gains(identity)
    except StationError:
        return []
    found = {(str(s.value.input_unit), Path(s.value.source).name): _unit_of(s.value) for s in stretches}
    return [
        f"{plan.name}: unit conflict: its numbers are taken for {own.name}, as its files or archive.units state; the "
        f"sensitivity per {text} in {source} is not used; if they are counts, leave archive.units out and state the "
        "units of the other channels in [[archive.channels]]"
        for (text, source), unit in found.items()
        if unit is not None and unit.kind not in {own.kind, "counts"}
    ]


def _numbers_unit(pieces: Sequence[_Piece]) -> str:
    """Unit of the source's numbers where only a person states it and they need no scale."""
    plain = {p.unit.name for p in pieces if p.about is None and (p.scale, p.offset) == (1.0, 0.0)}
    return plain.pop() if len(plain) == 1 and all(p.about is None and p.scale == 1.0 for p in pieces) else "counts"


def _from_metadata(plan: ChannelPlan, table: StationTable, identity: ChannelId, notes: list[str]) -> list[_Piece]:
    """Sensitivities of the metadata by time, with notes on what cannot be used."""
    try:
        stretches = table.gains(identity)
    except StationError:  # said where the coordinates are looked up
        return []
    first, last = record_span(plan)
    near = [s for s in stretches if s.start_ns < last and s.end_ns > first]
    notes += [f"{plan.name}: {remark}" for remark in table.remarks(identity)]
    notes += _conflicts(plan, near, first, last)
    pieces = []
    for stretch in stretches:
        about = stretch.value
        unit = _unit_of(about)
        if unit is None or unit.kind == "counts":
            continue
        if about.output_unit.upper() in _VOLTS:
            notes.append(
                f"{plan.name}: the sensitivity in {about.source} gives volts, the record is in counts; it is not used; "
                "state scale and unit in [[archive.channels]]"
            )
            continue
        pieces.append(_Piece(stretch.start_ns, stretch.end_ns, unit, about=about))
    unknown = sorted({str(s.value.input_unit) for s in near if _unit_of(s.value) is None})
    if unknown:
        notes.append(
            f"{plan.name}: its metadata state {', '.join(unknown)}, which is no unit of velocity, acceleration or air "
            "pressure; its record stays in counts"
        )
    return list(dict.fromkeys(pieces))


def _unit_of(about: ChannelMetadata) -> Unit | None:
    """Unit that metadata refer to, None if it is unknown."""
    try:
        return parse_unit(about.input_unit or "")
    except UnitsError:
        return None


def _conflicts(plan: ChannelPlan, stretches: list[Stretch[ChannelMetadata]], first: int, last: int) -> list[str]:
    """Sources that give other sensitivities for the same time of the record."""
    found: dict[tuple[str, str, str], tuple[int, int]] = {}
    for stretch in stretches:
        for other in stretch.outdone:
            words = _contradiction(stretch.value, other)
            if words:
                key = (words, stretch.value.source, other.source)
                low, high = found.get(key, (stretch.start_ns, stretch.end_ns))
                found[key] = (min(low, stretch.start_ns), max(high, stretch.end_ns))
    return [
        f"{plan.name}: {words}, from {time_words(max(low, first))} to {time_words(min(high, last))}; the former is "
        "used; " + ("its epochs overlap: correct the file" if one == two else "correct one of them")
        for (words, one, two), (low, high) in found.items()
    ]


def _contradiction(used: ChannelMetadata, other: ChannelMetadata) -> str:
    """How two metadata contradict each other, '' if they agree."""
    mine, theirs = _unit_of(used), _unit_of(other)
    if mine is None or theirs is None or not used.gain or not other.gain:
        return ""
    sides = [f"{m.gain:g} per {m.input_unit} ({Path(m.source).name})" for m in (used, other)]
    if mine.kind != theirs.kind:
        return f"unit conflict: {sides[0]} against {sides[1]}"
    one, two = used.gain / mine.factor, other.gain / theirs.factor
    if abs(two / one - 1) <= GAIN_AGREES:
        return ""
    return f"gain conflict: {sides[0]} against {sides[1]}, {100 * abs(two / one - 1):.2g} % apart"


def _with_stated(plan: ChannelPlan, base: list[_Piece], notes: list[str]) -> list[_Piece]:
    """Put what a person states over what files and metadata say, stretch by stretch."""
    stated, kind = plan.stated, plan.kind
    rows = stated.calibrations(kind)
    edges = {*ALWAYS, *stated.edges(("scale", "offset", "unit"))}
    edges |= {edge for start, end, _ in rows for edge in (start, end)}
    edges |= {edge for piece in base for edge in (piece.start_ns, piece.end_ns)}
    ordered = sorted(edges)
    pieces = []
    for first, last in pairwise(ordered):
        below = next((p for p in base if p.start_ns <= first and last <= p.end_ns), None)
        row = next((r for start, end, r in rows if start <= first and last <= end), None)
        scaled, moved, named = (stated.at(key, first, last, kind) for key in ("scale", "offset", "unit"))
        unit = named.unit if named is not None else row.unit if row is not None and scaled is None else ""
        scale = scaled.scale if scaled is not None else row.value if row is not None else None
        offset = moved.offset if moved is not None else None
        if unit:
            meant = parse_unit(unit)
            if below is not None and any_sample(plan, [(first, last)]):
                by = f"[[archive.channels]] {named.pattern}" if named is not None else _line_of(row)
                notes += _overruled(plan, below, meant, by)
            about = below.about if below is not None and below.unit.kind == meant.kind else None
            below = _Piece(first, last, meant, about=about, stated=True)
        if below is not None:
            pieces.append(replace(below, start_ns=first, end_ns=last, scale=scale or 1.0, offset=offset or 0.0))
        elif scale is not None or offset is not None:
            where = _line_of(row) if scaled is None and row is not None else "[[archive.channels]]"
            notes.append(
                f"{plan.name}: {where} states a scale, but neither it nor files nor metadata state a unit; the record "
                "stays in counts; state the unit with it"
            )
    return pieces


def _line_of(row: LogRow | None) -> str:
    """Where a calibration of the operator's log stands."""
    return "" if row is None else f"line {row.line} of {row.source}"


def _overruled(plan: ChannelPlan, below: _Piece, meant: Unit, by: str) -> list[str]:
    """What files or metadata state and a person contradicts: another quantity, or of files another scale of it."""
    if below.unit.kind == meant.kind and (below.about is not None or below.unit.factor == meant.factor):
        return []
    if below.about is not None:
        who = f"its metadata ({Path(below.about.source).name}) state"
    else:
        # A unit for the files that state none reaches all but what is known to be a barometer.
        who = "its files state" if plan.kind == "pressure" else "its files or archive.units state"
    return [
        f"{plan.name}: unit conflict: {who} {below.unit.name}, {by} states {meant.name}; the latter is taken; correct "
        "it if it is not meant for this channel"
    ]


def _responses(plan: ChannelPlan, pieces: list[_Piece], notes: list[str]) -> tuple[ResponseEpoch, ...]:
    """Responses by time; only sensors whose metadata give more than a sensitivity have one."""
    epochs, bare = [], []
    for piece in pieces:
        about = piece.about
        if about is not None and about.response is not None and about.response.shaped:
            epochs.append(_epoch(piece, about, about.response))
        elif piece.unit.kind == "velocity" and about is not None:
            bare.append(about.source)
    if bare and plan.kind in {"seismic", "gravity"}:
        notes.append(
            f"{plan.name}: only the sensitivity of the sensor is known ({', '.join(dict.fromkeys(bare))}), not its "
            "poles and zeros: its record becomes velocity, not acceleration; get the metadata with the whole response"
        )
    return joined(epochs)


def _epoch(piece: _Piece, about: ChannelMetadata, response: InstrumentResponse) -> ResponseEpoch:
    """Response of a stretch, scaled as far as the calibration table differs from the metadata."""
    unit = parse_unit(response.input_unit)
    stages = tuple(DigitalStage(s.input_rate_hz, s.numerator, s.denominator, s.correction_s) for s in response.digital)
    sensitivity = unit.factor / piece.factor
    # Where the gains of all stages are stated they count, as in evalresp; else the sensitivity at its frequency does.
    gain = None
    if response.gains and about.gain:
        gain = response.normalization * response.gain * sensitivity / about.gain
    return ResponseEpoch(
        start_ns=piece.start_ns,
        end_ns=piece.end_ns,
        sensitivity=sensitivity,
        frequency_hz=response.frequency_hz,
        input_unit=response.input_unit,
        poles=response.poles,
        zeros=response.zeros,
        gain=gain,
        stages=stages,
    )


def _merged(entries: list[Calibration]) -> tuple[Calibration, ...]:
    """Rows in the order of time; those that follow one another and are worth the same made one."""
    kept: list[Calibration] = []
    for entry in sorted(entries, key=lambda e: e.start_ns):
        if kept and kept[-1] == replace(entry, start_ns=kept[-1].start_ns, end_ns=entry.start_ns):
            kept[-1] = replace(kept[-1], end_ns=entry.end_ns)
        else:
            kept.append(entry)
    if len(kept) == 1 and (kept[0].start_ns, kept[0].end_ns) != ALWAYS:
        # One row alone would hold for the whole record; a row of no length says that nothing holds elsewhere.
        kept.append(replace(kept[0], start_ns=kept[0].end_ns))
    return tuple(kept)


def _gaps(plan: ChannelPlan, pieces: list[_Piece]) -> list[str]:
    """Spans of the record for which no calibration is known."""
    holes = uncovered([(p.start_ns, p.end_ns) for p in pieces], *record_span(plan))
    spans = [span for hole in holes if (span := samples_within(plan, *hole)) is not None]
    if not spans:
        return []
    words = ", ".join(f"{time_words(a)} to {time_words(b)}" for a, b in spans[:_MOST_SPANS])
    more = f" and {len(spans) - _MOST_SPANS} more spans" if len(spans) > _MOST_SPANS else ""
    return [
        f"{plan.name}: no calibration is known for {words}{more}: its samples there have no physical value; get the "
        "metadata of that time, or state scale and unit with start and end in [[archive.channels]]"
    ]
