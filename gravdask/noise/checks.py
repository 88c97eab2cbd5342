"""What may have a noise magnitude at all: a record in acceleration, over a span long enough for the band."""

from __future__ import annotations

from gravdask.errors import NotAccelerationError
from gravdask.preprocess.units import Unit, parse_unit

_WHY = {
    "velocity": "the channel is in velocity ({name}), and dividing by a flat sensitivity is not enough, because the "
    "band of 200 s to 600 s crosses the sensor's corner. Remove the full instrument response to acceleration first "
    "(StationXML or RESP with poles and zeros)",
    "pressure": "the channel is a pressure ({name}), not gravity",
    "counts": "the channel is in {name} and nothing says what one of them is in nm s⁻². State the calibration and the "
    "unit in the station table, or give a StationXML with the full response",
}


def require_acceleration(unit: Unit | str | None, channel: str = "the channel") -> float:
    """Refuse what is not an acceleration.

    Parameters
    ----------
    unit
        The unit of the channel after whatever response removal there was; None if it is not known.
    channel
        Its name, for the message.

    Returns
    -------
    factor
        What brings the values to nm s⁻².

    Raises
    ------
    NotAccelerationError
        If the unit is unknown or of another kind; the message says why and what to do.
    UnitsError
        If the text is not a unit.
    """
    known = parse_unit(unit) if isinstance(unit, str) else unit
    if known is None:
        msg = f"{channel} has no noise magnitude: its unit is not known. State it in the station table"
        raise NotAccelerationError(msg)
    if known.kind != "acceleration":
        msg = f"{channel} has no noise magnitude: {_WHY[known.kind].format(name=known.name)}"
        raise NotAccelerationError(msg)
    return known.factor
