"""A channel of the store as its attributes describe it, and as the features of its record see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gravdask.config import PreprocessConfig
from gravdask.errors import StoreError
from gravdask.grid import Grid, Rate
from gravdask.preprocess.decimate import factor_between, feature_rate
from gravdask.preprocess.deconvolution import fault
from gravdask.preprocess.response import ResponseEpoch

INTERNAL_UNITS = {"acceleration": "nm s-2", "pressure": "hPa", "velocity": "nm s-1"}
"""Unit of each kind of quantity inside gravdask."""

PlaceEpoch = tuple[int, int, float, float, float | None]
"""Start and end [ns since 1970], latitude, longitude [degree], elevation [m] or None."""


@dataclass(frozen=True)
class Calibration:
    """From a source's numbers to physical units over a stretch of time.

    Attributes
    ----------
    start_ns, end_ns
        The stretch [ns since 1970].
    factor, offset
        physical = factor x number + offset.
    unit
        Unit of the result; ``counts`` where the physical unit is unknown.
    """

    start_ns: int
    end_ns: int
    factor: float
    offset: float
    unit: str


@dataclass(frozen=True)
class Channel:
    """What is known of a channel.

    Attributes
    ----------
    name
        Group of the channel in the store, ``NET.STA.LOC.CHA``.
    rate
        Sampling rate.
    phases
        (from sample, phase [ns]) of each span of constant phase, in order.
    dtype, decimals
        How the numbers are kept: true value = number x 10^-decimals.
    kind
        ``gravity``, ``pressure``, ``seismic`` or ``other``.
    quantity
        ``acceleration``, ``pressure``, ``velocity`` or ``counts``: what the calibrated record is.
    source_unit
        Unit as the file, the metadata or the user states it, '' if none does.
    latitude, longitude, elevation
        Degrees and metres, None where unknown.
    calibrations
        The calibration table.
    pressure
        Channel of the station's air pressure, '' if it has none.
    extent
        First and last sample + 1 that any file of the archive holds.
    tide_applied
        Whether the tide was taken off the record already.
    places
        Coordinates by time; empty for a single place.
    responses
        Responses by time, from numbers of the record to ground motion.
    masks
        (start, end [ns since 1970], reason) of what the operator's log says to leave out.
    log_steps
        (time [ns since 1970], size [nm s⁻²] or None) of the steps that the operator's log names.
    velocity_limit
        Largest ground velocity that the sensor follows [nm s⁻¹], None where unknown.
    recorded
        The channel of the store, where this is a view of it at another rate or after removal of its response; see
        `feature_channel`. Never written down.
    """

    name: str
    rate: Rate
    phases: tuple[tuple[int, int], ...]
    dtype: str
    decimals: int
    kind: str
    quantity: str
    source_unit: str
    latitude: float | None
    longitude: float | None
    elevation: float | None
    calibrations: tuple[Calibration, ...]
    pressure: str
    extent: tuple[int, int]
    tide_applied: bool = False
    places: tuple[PlaceEpoch, ...] = ()
    responses: tuple[ResponseEpoch, ...] = ()
    masks: tuple[tuple[int, int, str], ...] = ()
    log_steps: tuple[tuple[int, float | None], ...] = ()
    velocity_limit: float | None = None
    recorded: Channel | None = None

    @property
    def record(self) -> Channel:
        """The channel as it is in the store: what a view was made from, else itself."""
        return self.recorded or self

    @property
    def station(self) -> str:
        """Network and station code, ``NET.STA``."""
        return ".".join(self.name.split(".")[:2])

    @property
    def located(self) -> bool:
        """Whether the coordinates are known."""
        return self.latitude is not None and self.longitude is not None

    @property
    def grid(self) -> Grid:
        """Grid of the channel's first span."""
        return Grid(self.rate, self.phases[0][1])

    def times_ns(self, start: int, stop: int) -> NDArray[np.int64]:
        """Times of the samples ``[start, stop)`` [ns since 1970], each with the phase of its span."""
        times = Grid(self.rate, 0).times_ns(start, stop)
        edges = [start, *(min(max(first, start), stop) for first, _ in self.phases[1:]), stop]
        for (_, phase), begin, end in zip(self.phases, edges[:-1], edges[1:], strict=True):
            times[begin - start : end - start] += phase
        return times

    def to_attributes(self) -> dict[str, Any]:
        """Contents as attributes that JSON can hold; what is not known of a channel is left out."""
        values = asdict(self)
        for known in fields(self):
            if known.name in _LATER and values[known.name] == known.default:
                del values[known.name]
        values["rate"] = str(self.rate)
        values["calibrations"] = [asdict(c) for c in self.calibrations]
        del values["name"], values["recorded"]
        return values

    @classmethod
    def from_attributes(cls, name: str, values: dict[str, Any]) -> Channel:
        """Read back what `to_attributes` gave, now or before a channel had all of its attributes.

        Raises
        ------
        StoreError
            If the attributes are not of that form.
        """
        try:
            later = {k: _LATER[k](values[k]) for k in _LATER if k in values}
            return cls(
                name=name,
                **{
                    **values,
                    "rate": Rate.parse(values["rate"]),
                    "phases": tuple((int(a), int(b)) for a, b in values["phases"]),
                    "calibrations": tuple(Calibration(**c) for c in values["calibrations"]),
                    "extent": (int(values["extent"][0]), int(values["extent"][1])),
                    **later,
                },
            )
        except (KeyError, TypeError, ValueError) as error:
            msg = f"channel {name}: its attributes are not gravdask's ({error}); convert the archive again"
            raise StoreError(msg) from error


def _optional(value: Any) -> float | None:  # noqa: ANN401
    """A number or nothing."""
    return None if value is None else float(value)


_LATER: dict[str, Callable[[Any], Any]] = {
    "tide_applied": bool,
    "places": lambda v: tuple((int(a), int(b), float(c), float(d), _optional(e)) for a, b, c, d, e in v),
    "responses": lambda v: tuple(ResponseEpoch.from_dict(e) for e in v),
    "masks": lambda v: tuple((int(a), int(b), str(c)) for a, b, c in v),
    "log_steps": lambda v: tuple((int(a), _optional(b)) for a, b in v),
    "velocity_limit": _optional,
}
"""Attributes that stores of earlier versions lack, and how each is read back."""


def response_fault(channel: Channel, settings: PreprocessConfig) -> str:
    """Why the response of a seismometer cannot be taken out of its record, '' if it can or is not to be."""
    if channel.kind != "seismic" or not channel.responses or not settings.response:
        return ""
    rate = feature_rate(channel.record.rate, settings.feature_rate)
    return fault(channel.responses, rate.hz, settings.band)


def removes_response(channel: Channel, settings: PreprocessConfig) -> bool:
    """Whether a channel's response is taken out: seismometers' only.

    A gravimeter is flat down to the tides and the drift, which a band would take off.
    """
    wanted = channel.kind == "seismic" and bool(channel.responses) and settings.response
    return wanted and not response_fault(channel, settings)


def feature_channel(channel: Channel, settings: PreprocessConfig) -> Channel:
    """The channel as noise and features see it: at the rate of the features, in acceleration where it has a response.

    Everything that follows - frames, times, models - counts samples of this view; its ``recorded`` is the channel of
    the store. A channel that is used as it was recorded comes back as it is.
    """
    whole = channel.record
    rate = feature_rate(whole.rate, settings.feature_rate)
    quantity = "acceleration" if removes_response(whole, settings) else whole.quantity
    if rate == whole.rate and quantity == whole.quantity:
        return whole
    factor = factor_between(whole.rate, rate)
    return replace(
        whole,
        rate=rate,
        quantity=quantity,
        # Sample k of the view stands at sample k x factor of the record, so that phases are the same.
        phases=tuple((-(-first // factor), phase) for first, phase in whole.phases),
        extent=(whole.extent[0] // factor, -(-whole.extent[1] // factor)),
        recorded=whole,
    )
