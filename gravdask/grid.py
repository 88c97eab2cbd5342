"""The absolute time grid: the one place that turns times into indices and back.

Sample ``k`` of a channel stands at ``ORIGIN + phase + k / rate`` in exact integers. The origin is 1950-01-01 UTC for
every channel; the phase (the first sample's time modulo the interval) belongs to the channel and is kept. Frame ``m``
covers the samples ``[m T, (m + 1) T)``, day ``d`` the samples whose time lies in that UTC day. Because nothing here
depends on where a record, a chunk or a run starts, the same sample has the same index in every run, worker and year.

Times are ``int`` nanoseconds since 1970-01-01 UTC, as in NumPy's ``datetime64[ns]``.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np

from gravdask.errors import GridError

SECOND_NS = 1_000_000_000
DAY_SECONDS = 86_400
DAY_NS = DAY_SECONDS * SECOND_NS
ORIGIN_NS = -631_152_000 * SECOND_NS
"""1950-01-01T00:00:00 UTC in nanoseconds since 1970: sample, frame and day 0 of every channel begin here."""
SPAN_DAYS = 73_728
"""Days that every array covers, 1950-01-01 to 2151-11-11: two centuries rounded up to whole shards of 384 days."""
RATE_TOLERANCE = 1e-4
"""Largest relative deviation of a stated sampling rate from the nominal one it is snapped to."""
PHASE_TOLERANCE = 0.01
"""Largest deviation of a trace from its channel's grid that is snapped away, as a share of an interval."""
REACH_S = 9_200_000_000
"""Seconds from 1970 up to which a time is held: int64 nanoseconds end 0.27 years later, in April 2262."""
_ISO = re.compile(r"[0-9]{4}(-[0-9]{2}(-[0-9]{2}(T[0-9]{2}(:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?)?)?)?)?")


def utc_text(time_ns: int) -> str:
    """Time [ns since 1970] as ISO 8601 text in UTC, to the second."""
    return str(np.array(int(time_ns), "datetime64[ns]").astype("datetime64[s]"))


def utc_ns(text: str) -> int | None:
    """Read ISO 8601 text as a time in UTC [ns since 1970].

    Parameters
    ----------
    text
        A year, month or day, or a day and a time of up to nine decimals of a second, with ``T`` or a blank between
        them; a final ``Z`` is allowed, an offset such as ``+08:00`` is not.

    Returns
    -------
    time_ns
        None where int64 nanoseconds do not reach: before 1678 or after 2261.

    Raises
    ------
    ValueError
        If it is no such text, or no day of the calendar.
    """
    plain = text.removesuffix("Z").replace(" ", "T", 1)
    try:
        # NumPy would take an offset, with a warning, and words such as 'now'.
        seconds = np.datetime64(plain.partition(".")[0] if _ISO.fullmatch(plain) else "no time", "s").astype(np.int64)
    except ValueError:
        msg = "expected an ISO 8601 UTC time, without an offset, such as '2021-05-01' or '2021-05-01T12:00:00'"
        raise ValueError(msg) from None
    return int(np.datetime64(plain, "ns").astype(np.int64)) if abs(int(seconds)) <= REACH_S else None


@dataclass(frozen=True, order=True)
class Rate:
    """A sampling rate as a rational number: ``samples`` in ``seconds``, in lowest terms.

    Raises
    ------
    GridError
        If either number is not positive.
    """

    samples: int
    seconds: int

    def __post_init__(self) -> None:
        """Bring the rate into lowest terms, so that equal rates compare equal."""
        if self.samples < 1 or self.seconds < 1:
            msg = f"a sampling rate needs positive samples and seconds, got {self.samples} in {self.seconds} s"
            raise GridError(msg)
        divisor = math.gcd(self.samples, self.seconds)
        object.__setattr__(self, "samples", self.samples // divisor)
        object.__setattr__(self, "seconds", self.seconds // divisor)

    @classmethod
    def from_hz(cls, hz: float) -> Rate:
        """Snap a stated rate [Hz] to its nominal value, a whole number of Hz or of seconds, within 1e-4.

        Rates that are near neither become the simplest fraction within 1e-6 of the stated value.

        Raises
        ------
        GridError
            If the rate is not a positive finite number.
        """
        if not math.isfinite(hz) or hz <= 0 or not math.isfinite(1 / hz):
            msg = f"a sampling rate must be positive and finite, got {hz!r} Hz"
            raise GridError(msg)
        nominal = Fraction(round(hz)) if hz >= 1 else Fraction(1, round(1 / hz))
        if abs(float(nominal) / hz - 1) > RATE_TOLERANCE:
            nominal = next(
                f for n in (10, 100, 1000, 10**6) if abs(float(f := Fraction(hz).limit_denominator(n)) / hz - 1) < 1e-6
            )
        return cls(nominal.numerator, nominal.denominator)

    @property
    def hz(self) -> float:
        """The rate in Hz."""
        return self.samples / self.seconds

    @property
    def interval_ns(self) -> Fraction:
        """Time between two samples, in nanoseconds, exact."""
        return Fraction(self.seconds * SECOND_NS, self.samples)

    @property
    def samples_per_day(self) -> int:
        """Samples in one day.

        Raises
        ------
        GridError
            If a day does not hold a whole number of samples.
        """
        count, rest = divmod(DAY_SECONDS * self.samples, self.seconds)
        if rest:
            msg = f"a rate of {self} puts no whole number of samples into a day; resample the record first"
            raise GridError(msg)
        return count

    def __str__(self) -> str:
        """Give the rate as ``100Hz`` or, below one sample a second, as its interval: ``60s``."""
        if self.seconds == 1:
            return f"{self.samples}Hz"
        return f"{self.seconds}s" if self.samples == 1 else f"{self.samples}per{self.seconds}s"

    @classmethod
    def parse(cls, text: str) -> Rate:
        """Read back what ``str`` of a rate gives.

        Raises
        ------
        GridError
            If the text is not of that form.
        """
        try:
            if text.endswith("Hz"):
                return cls(int(text[:-2]), 1)
            if "per" in text:
                samples, seconds = text.removesuffix("s").split("per")
                return cls(int(samples), int(seconds))
            return cls(1, int(text.removesuffix("s")))
        except ValueError as error:
            msg = f"not a sampling rate: {text!r}; expected '100Hz', '60s' or '2per3s'"
            raise GridError(msg) from error


@dataclass(frozen=True)
class Grid:
    """The sample grid of one channel.

    Attributes
    ----------
    rate
        Samples per second, rational.
    phase_ns
        Offset of the samples from whole intervals since the origin [ns], in [-1 %, 99 %) of an interval, so that a
        clock a hair early does not put a sample into the interval before.
    """

    rate: Rate
    phase_ns: int = 0

    @classmethod
    def through(cls, rate: Rate, time_ns: int) -> Grid:
        """Return the grid of this rate that has a sample exactly at ``time_ns``."""
        interval = rate.interval_ns
        phase = (time_ns - ORIGIN_NS) % interval
        if phase >= (1 - PHASE_TOLERANCE) * interval:
            phase -= interval
        # Rounded once: two roundings and that of the sample's time would add up to 2 ns at 300 Hz.
        return cls(rate, math.floor(phase))

    def locate(self, time_ns: int) -> tuple[int, int]:
        """Return the index of the sample nearest to a time, and the time's deviation from it [ns]."""
        interval = self.rate.seconds * SECOND_NS
        index, rest = divmod((int(time_ns) - ORIGIN_NS - self.phase_ns) * self.rate.samples, interval)
        if 2 * rest > interval or (2 * rest == interval and index % 2):  # halves to the even one
            index += 1
        return index, time_ns - self.time_ns(index)

    def time_ns(self, index: int) -> int:
        """Time of a sample [ns since 1970], exact for intervals of whole nanoseconds, else rounded down."""
        return ORIGIN_NS + self.phase_ns + int(index) * self.rate.seconds * SECOND_NS // self.rate.samples

    def times_ns(self, start: int, stop: int) -> np.ndarray:
        """Times of the samples ``[start, stop)``, int64 nanoseconds since 1970, equal to `time_ns` of each."""
        index = np.arange(start, stop, dtype=np.int64)
        step, rest = divmod(self.rate.seconds * SECOND_NS, self.rate.samples)
        return ORIGIN_NS + self.phase_ns + index * step + index * rest // self.rate.samples

    def snap_tolerance_ns(self) -> int:
        """Largest deviation of a trace from the grid that is snapped away [ns]: 1 % of an interval."""
        return math.floor(PHASE_TOLERANCE * self.rate.interval_ns)


def sample_at(rate: Rate, time_ns: int) -> int:
    """Index of the first sample interval that begins at or after a time, for a channel of phase zero."""
    return math.ceil((time_ns - ORIGIN_NS) / rate.interval_ns)


def day_at(time_ns: int) -> int:
    """Index of the UTC day that holds a time, counted from 1950-01-01."""
    return (time_ns - ORIGIN_NS) // DAY_NS


def day_start_ns(day: int) -> int:
    """Start of a UTC day [ns since 1970]."""
    return ORIGIN_NS + day * DAY_NS


def day_span(rate: Rate, first_day: int, last_day: int) -> tuple[int, int]:
    """Sample range ``[start, stop)`` of the days ``[first_day, last_day)``."""
    return first_day * rate.samples_per_day, last_day * rate.samples_per_day


def frames_covering(frame_samples: int, start: int, stop: int) -> tuple[int, int]:
    """Range of frames ``[first, last)`` that together cover the samples ``[start, stop)``."""
    return start // frame_samples, -(-stop // frame_samples)


def frame_centre_ns(
    rate: Rate, phase_ns: int, frame_samples: int, frame: int, centre: Fraction | float | None = None
) -> int:
    """Time of the middle of a frame [ns since 1970], half an interval before its middle sample if T is even.

    Parameters
    ----------
    rate, phase_ns
        Of the channel.
    frame_samples
        Samples from one frame to the next.
    frame
        Absolute number of the frame.
    centre
        Samples from the frame's first one to its middle; (T - 1) / 2 unless given (0 for a low-pass).
    """
    offset = Fraction(frame_samples - 1, 2) if centre is None else Fraction(centre)
    return ORIGIN_NS + phase_ns + math.floor((frame * frame_samples + offset) * rate.interval_ns)


def _largest_divisor(number: int, limit: int) -> int:
    """Largest divisor of ``number`` that is at most ``limit`` (at least 1)."""
    return max(d for d in range(1, min(number, max(limit, 1)) + 1) if number % d == 0)


@dataclass(frozen=True)
class Blocks:
    """How one array axis is cut: a unit of work writes exactly one shard, a shard holds whole chunks.

    Attributes
    ----------
    length
        Items in the whole array (samples, frames or days), a whole number of shards.
    shard
        Items in one shard, the share of one unit of work.
    chunk
        Items in one chunk, the least that is read.
    """

    length: int
    shard: int
    chunk: int

    def unit_span(self, unit: int) -> tuple[int, int]:
        """Items ``[start, stop)`` of a unit."""
        return unit * self.shard, (unit + 1) * self.shard

    def units_covering(self, start: int, stop: int) -> range:
        """Units whose shards together hold the items ``[start, stop)``; none for an empty span."""
        first, last = max(start, 0), min(stop, self.length)
        return range(first // self.shard, -(-last // self.shard)) if last > first else range(0)


SHARD_DAYS = 384
SHARD_SAMPLES = 35_000_000
CHUNK_SAMPLES = (65_536, 1_000_000)


@cache
def record_blocks(rate: Rate) -> Blocks:
    """Cut the samples of a channel: shards of 384 days (fewer above 1 Hz), chunks of about a day at 1 Hz."""
    daily = rate.samples_per_day
    days = _largest_divisor(SHARD_DAYS, SHARD_SAMPLES // daily)
    if daily > CHUNK_SAMPLES[1]:
        chunk = daily // next(n for n in range(1, daily + 1) if daily % n == 0 and daily // n <= CHUNK_SAMPLES[1])
    else:
        fitting = (n for n in range(1, days + 1) if days % n == 0 and n * daily >= CHUNK_SAMPLES[0])
        chunk = daily * next(fitting, days)
    return Blocks(SPAN_DAYS * daily, days * daily, chunk)


def unit_days(rate: Rate, frame_samples: int = 1) -> int:
    """Days of one unit of the later stages: about four record shards, and whole frames of ``frame_samples``."""
    daily = rate.samples_per_day
    target = 4 * record_blocks(rate).shard // daily
    step = frame_samples // math.gcd(daily, frame_samples)
    return -(-target // step) * step


@cache
def frame_blocks(rate: Rate, frame_samples: int, items: int) -> Blocks:
    """Cut the frames of a channel whose every frame holds ``items`` values; chunks hold about 2e5 values."""
    days = unit_days(rate, frame_samples)
    shard = days * rate.samples_per_day // frame_samples
    units = -(-SPAN_DAYS // days)
    return Blocks(units * shard, shard, _largest_divisor(shard, max(200_000 // items, 1)))


@cache
def day_blocks(rate: Rate) -> Blocks:
    """Cut the days of a channel for the noise stage."""
    days = unit_days(rate)
    units = -(-SPAN_DAYS // days)
    return Blocks(units * days, days, _largest_divisor(days, 192))
