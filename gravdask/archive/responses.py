"""What an instrument does to the ground's motion, as plain numbers: poles, zeros, gains and digital filters.

From the response of a StationXML, RESP or dataless SEED file as obspy reads it. The response at frequency f is

    H(f) = normalization x prod(s - zeros) / prod(s - poles) x gain x prod(digital stages),   s = 2 pi i f,

in numbers of the record per `input_unit`: what evalresp computes, but for the phase of symmetric filters, where it
supposes that the time stamps were corrected for the whole delay, and here only for what the metadata say. The stated
`sensitivity` is what |H| should be near `frequency_hz`, filters aside.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gravdask.errors import StationError

AGREES = 0.05
"""Largest relative difference between a stated sensitivity and the product of the gains that is not remarked on."""
_TWO_PI = 2 * math.pi


@dataclass(frozen=True)
class DigitalStage:
    """A digital filter of the recorder.

    Attributes
    ----------
    numerator, denominator
        Coefficients in powers of z^-1 at the input rate; the denominator of an FIR filter is (1,).
    input_rate_hz, factor
        Rate of what goes in [Hz], and how many samples of it become one.
    delay_s, correction_s
        The filter's delay as estimated, and what was taken off the time stamps for it [s].
    """

    numerator: tuple[float, ...]
    denominator: tuple[float, ...]
    input_rate_hz: float
    factor: int
    delay_s: float
    correction_s: float


@dataclass(frozen=True)
class InstrumentResponse:
    """A response as plain numbers; see the module for what they mean.

    Attributes
    ----------
    sensitivity, frequency_hz
        Overall gain [numbers per `input_unit`] and the frequency it is stated for; 0 where none is.
    input_unit
        Unit of the ground motion, as the metadata write it.
    poles, zeros
        (real, imaginary) [rad/s], of all analogue stages.
    normalization
        Product of the analogue stages' normalization factors, for poles and zeros in rad/s.
    gains
        Gain of every stage, in their order; empty if one of them is not stated.
    digital
        The digital filters, in their order; stages that only pass samples on are left out.
    """

    sensitivity: float
    frequency_hz: float
    input_unit: str
    poles: tuple[tuple[float, float], ...]
    zeros: tuple[tuple[float, float], ...]
    normalization: float
    gains: tuple[float, ...]
    digital: tuple[DigitalStage, ...]

    @property
    def gain(self) -> float:
        """Product of the gains of all stages; the sensitivity if they are not all stated."""
        return math.prod(self.gains) if self.gains else self.sensitivity

    @property
    def shaped(self) -> bool:
        """Whether it is more than a factor."""
        return bool(self.poles or self.zeros or self.digital)


def describe_response(response: Any) -> InstrumentResponse | None:  # noqa: ANN401 - obspy's objects are untyped
    """Bring obspy's response into plain numbers; None if it holds neither stages nor a sensitivity.

    Raises
    ------
    StationError
        If a stage cannot be expressed by poles, zeros and coefficients, or its numbers are impossible.
    """
    stages = list(response.response_stages or ())
    total = response.instrument_sensitivity
    if not stages and total is None:
        return None
    numbers = [stage.stage_sequence_number for stage in stages]
    if sorted(numbers) != list(range(1, len(stages) + 1)):
        msg = f"its stages are numbered {', '.join(map(str, numbers))}: some are missing or stand twice"
        raise StationError(msg)
    zeros: list[complex] = []
    poles: list[complex] = []
    normalization = 1.0
    gains: list[float] = []
    digital: list[DigitalStage] = []
    for stage in stages:
        where = f"stage {stage.stage_sequence_number}"
        gains.append(_number(stage.stage_gain, 1.0, where))
        kind = type(stage).__name__
        if kind == "PolesZerosResponseStage" and not str(stage.pz_transfer_function_type).startswith("DIGITAL"):
            hertz = "HERTZ" in str(stage.pz_transfer_function_type)
            factor = _TWO_PI if hertz else 1.0
            zeros += [factor * complex(z) for z in stage.zeros]
            poles += [factor * complex(p) for p in stage.poles]
            normalization *= _number(stage.normalization_factor, 1.0, where)
            normalization *= factor ** (len(stage.poles) - len(stage.zeros))
        elif kind != "ResponseStage":
            made = _digital(stage, kind, where)
            digital += [made] if made is not None else []
    if not (np.isfinite(np.array(zeros + poles, complex)).all() and math.isfinite(normalization) and normalization):
        msg = "its poles, zeros or normalization factor are no numbers or zero"
        raise StationError(msg)
    sensitivity = math.prod(gains) if total is None or total.value is None else float(total.value)
    frequency = None if total is None else total.frequency
    unit = (total.input_units if total is not None else None) or (stages[0].input_units if stages else None)
    return InstrumentResponse(
        sensitivity=sensitivity,
        frequency_hz=_number(frequency, 0.0, "sensitivity"),
        input_unit=str(unit or ""),
        poles=tuple((p.real, p.imag) for p in poles),
        zeros=tuple((z.real, z.imag) for z in zeros),
        normalization=normalization,
        gains=tuple(gains) if all(stage.stage_gain for stage in stages) else (),
        digital=tuple(digital),
    )


def _digital(stage: Any, kind: str, where: str) -> DigitalStage | None:  # noqa: ANN401
    """Coefficients of a digital stage, None if it passes samples on as they are."""
    if kind == "CoefficientsTypeResponseStage":
        numerator = [float(c) for c in stage.numerator or ()]
        denominator = [float(c) for c in stage.denominator or ()]
        if not str(stage.cf_transfer_function_type).startswith("DIGITAL") and (len(numerator) > 1 or denominator):
            msg = f"{where} is an analogue filter of coefficients; only poles and zeros are understood"
            raise StationError(msg)
    elif kind == "FIRResponseStage":
        numerator, denominator = _unfolded([float(c) for c in stage.coefficients or ()], str(stage.symmetry)), []
    elif kind == "PolesZerosResponseStage":
        scale = _number(stage.normalization_factor, 1.0, where)
        numerator = [float(c) for c in np.real(scale * np.poly([complex(z) for z in stage.zeros]))]
        denominator = [float(c) for c in np.real(np.poly([complex(p) for p in stage.poles]))]
        # Powers of z, brought to powers of z^-1: fewer zeros than poles are a pure delay.
        numerator = [0.0] * max(len(denominator) - len(numerator), 0) + numerator
    else:
        msg = f"{where} is a {kind.removesuffix('ResponseStage')}; only poles, zeros and coefficients are understood"
        raise StationError(msg)
    factor = int(stage.decimation_factor or 1)
    delay = _number(stage.decimation_delay, 0.0, where)
    correction = _number(stage.decimation_correction, 0.0, where)
    if len(numerator) <= 1 and len(denominator) <= 1 and factor == 1 and delay == correction:
        if (numerator or [1.0]) != [1.0] or (denominator or [1.0]) != [1.0]:
            msg = f"{where} scales the samples by a single coefficient beside its gain"
            raise StationError(msg)
        return None
    rate = _number(stage.decimation_input_sample_rate, 0.0, where)
    if not 1e-9 < rate < 1e9:
        msg = f"{where} is a digital filter at an input rate of {rate:g} Hz"
        raise StationError(msg)
    return DigitalStage(tuple(numerator or [1.0]), tuple(denominator or [1.0]), rate, factor, delay, correction)


def _unfolded(half: Sequence[float], symmetry: str) -> list[float]:
    """All coefficients of a FIR filter of which a symmetric half is written."""
    if symmetry == "EVEN":
        return [*half, *half[::-1]]
    if symmetry == "ODD":
        return [*half, *half[-2::-1]]
    return list(half)


def _number(value: Any, usual: float, where: str) -> float:  # noqa: ANN401
    """A finite number, or the usual one where none is stated."""
    number = usual if value is None else float(value)
    if not math.isfinite(number):
        msg = f"{where} holds {value!r} where a number is expected"
        raise StationError(msg)
    return number


def disagreement(response: InstrumentResponse) -> str:
    """How the stated sensitivity contradicts the gains of the stages; '' if it does not."""
    product = response.gain
    if not response.gains or not response.sensitivity or abs(product / response.sensitivity - 1) <= AGREES:
        return ""
    return (
        f"its stated sensitivity {response.sensitivity:g} is not the product {product:g} of the gains of its "
        f"{len(response.gains)} stages; the product is used; ask for metadata that agree with themselves"
    )
