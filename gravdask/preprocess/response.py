"""What a sensor and its digitizer make of ground motion: poles, zeros and digital stages, by epoch.

The response of an epoch is counts per input unit as a function of frequency,

    H(f) = gain x prod(i w - zero) / prod(i w - pole) x prod over digital stages of (b(z) / a(z)) exp(i w correction),

with w = 2 pi f and z = exp(i w / rate of the stage's input). The correction is the delay that the digitizer has already
taken off its time stamps (SEED blockette 57). How the response is taken out of a record is in
`gravdask.preprocess.deconvolution`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gravdask.errors import UnitsError
from gravdask.preprocess.units import parse_unit

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]


@dataclass(frozen=True)
class DigitalStage:
    """A digital filter of the digitizer.

    Attributes
    ----------
    input_rate_hz
        Sampling rate of what the filter is fed [Hz].
    numerator, denominator
        Coefficients b and a of powers of 1/z; a FIR filter has the denominator (1,). All coefficients are written
        out: symmetric halves are already mirrored. A stage without coefficients does nothing but delay.
    correction_s
        Delay that the time stamps are already corrected for [s].
    """

    input_rate_hz: float
    numerator: tuple[float, ...] = (1.0,)
    denominator: tuple[float, ...] = (1.0,)
    correction_s: float = 0.0

    def at(self, frequency: Array) -> Complex:
        """Response at frequencies [Hz], same shape."""
        omega = 2 * np.pi * frequency
        lag = np.exp(-1j * omega / self.input_rate_hz)
        value = np.polynomial.polynomial.polyval(lag, self.numerator or (1.0,))
        value = value / np.polynomial.polynomial.polyval(lag, self.denominator or (1.0,))
        return np.asarray(value * np.exp(1j * omega * self.correction_s))


@dataclass(frozen=True)
class ResponseEpoch:
    """The response of a channel over a stretch of time.

    Attributes
    ----------
    start_ns, end_ns
        The stretch [ns since 1970], the end exclusive.
    sensitivity
        Counts per input unit at ``frequency_hz``, as the metadata state it.
    frequency_hz
        Frequency at which the sensitivity holds [Hz].
    input_unit
        Unit of the ground motion, as `gravdask.preprocess.units.parse_unit` reads it: a velocity or an acceleration.
    poles, zeros
        Of all analogue stages together, as (real, imaginary) [rad s⁻¹].
    gain
        Factor before the poles and zeros with which the product of all stages is counts per input unit (product of
        normalisation factors and stage gains). None: whatever gives the stated sensitivity at its frequency.
    stages
        Digital filters, in order.
    """

    start_ns: int
    end_ns: int
    sensitivity: float
    frequency_hz: float
    input_unit: str
    poles: tuple[tuple[float, float], ...] = ()
    zeros: tuple[tuple[float, float], ...] = ()
    gain: float | None = None
    stages: tuple[DigitalStage, ...] = ()

    def at(self, frequency: Sequence[float] | Array) -> Complex:
        """Counts per input unit at frequencies [Hz], same shape; phases refer to exp(+i w t).

        Raises
        ------
        UnitsError
            If the response cannot be brought to its sensitivity.
        """
        shape = self._shape(np.asarray(frequency, np.float64))
        if self.gain is not None:
            return self.gain * shape
        reference = float(abs(self._shape(np.array([self.frequency_hz]))[0]))
        if not np.isfinite(reference) or reference == 0:
            msg = (
                f"a response cannot have a sensitivity of {self.sensitivity:g} at {self.frequency_hz:g} Hz, where its "
                f"poles and zeros give {reference:g}; state the frequency of the sensitivity within the sensor's band"
            )
            raise UnitsError(msg)
        return self.sensitivity / reference * shape

    def _shape(self, frequency: Array) -> Complex:
        """Product of poles, zeros and digital stages, unscaled."""
        s = 2j * np.pi * frequency
        value = np.ones(frequency.shape, np.complex128)
        for real, imaginary in self.zeros:
            value *= s - complex(real, imaginary)
        for real, imaginary in self.poles:
            value /= s - complex(real, imaginary)
        for stage in self.stages:
            value *= stage.at(frequency)
        return value

    def acceleration_at(self, frequency: Sequence[float] | Array) -> Complex:
        """Counts per nm s⁻² at frequencies [Hz], same shape; 0 at 0 Hz for a sensor of velocity.

        Raises
        ------
        UnitsError
            If the input unit is no velocity or acceleration.
        """
        unit = parse_unit(self.input_unit)
        frequency = np.asarray(frequency, np.float64)
        counts: Complex = np.asarray(self.at(frequency) / unit.factor)
        if unit.kind == "acceleration":
            return counts
        if unit.kind == "velocity":
            with np.errstate(divide="ignore", invalid="ignore"):
                per_acceleration: Complex = counts / (2j * np.pi * frequency)
            per_acceleration[frequency == 0] = 0
            return per_acceleration
        msg = (
            f"a response from {unit.kind} ({self.input_unit!r}) gives no ground motion; expected a velocity such as "
            "'m/s' or an acceleration such as 'm/s**2'"
        )
        raise UnitsError(msg)

    @property
    def of_velocity(self) -> bool:
        """Whether the sensor is fed a velocity."""
        try:
            return parse_unit(self.input_unit).kind == "velocity"
        except UnitsError:
            return False

    @property
    def counts_per_unit(self) -> float:
        """Counts per nm s⁻¹ or nm s⁻² where the response is flat: as stated, else the largest below 1 Hz."""
        counts = self.sensitivity or float(np.max(np.abs(self.at(np.geomspace(0.01, 1.0, 50)))))
        return abs(counts) / parse_unit(self.input_unit).factor

    def same_system(self, other: ResponseEpoch) -> bool:
        """Whether two epochs are of the same response, only their times being different."""
        return replace(other, start_ns=self.start_ns, end_ns=self.end_ns) == self

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, text and lists, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> ResponseEpoch:
        """Read back what `to_dict` gave, or JSON of it.

        Raises
        ------
        TypeError, ValueError
            If it is not of that form.
        """
        values = dict(stored)
        for name in ("poles", "zeros"):
            values[name] = tuple((float(a), float(b)) for a, b in values.get(name, ()))
        values["stages"] = tuple(_stage(stage) for stage in values.get("stages", ()))
        return cls(**values)


def _stage(stored: Mapping[str, Any]) -> DigitalStage:
    """Read back a digital stage."""
    plain = dict(stored)
    for name in ("numerator", "denominator"):
        plain[name] = tuple(float(b) for b in plain.get(name, (1.0,)))
    return DigitalStage(**plain)


def joined(epochs: Sequence[ResponseEpoch]) -> tuple[ResponseEpoch, ...]:
    """Epochs in order of time, those that follow one another with the same response made one."""
    found: list[ResponseEpoch] = []
    for epoch in sorted(epochs, key=lambda e: e.start_ns):
        if found and found[-1].end_ns >= epoch.start_ns and found[-1].same_system(epoch):
            found[-1] = replace(found[-1], end_ns=max(epoch.end_ns, found[-1].end_ns))
        else:
            found.append(epoch)
    return tuple(found)
