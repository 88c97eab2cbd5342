"""What work needs, by measured figures: memory of a worker, seconds of a unit, bytes of a sample in the store."""

from __future__ import annotations

import math

import psutil

from gravdask.config import STAGES_OF_UNITS, Config
from gravdask.execution.jobs import lifetime
from gravdask.execution.share import worker_count, worker_memory
from gravdask.grid import Rate, unit_days
from gravdask.preflight.findings import Finding, amount, fail, gibibytes, note, ok, time_limit
from gravdask.preflight.survey import Survey, fastest, units_of
from gravdask.preprocess.decimate import feature_rate
from gravdask.store.ledger import Ledger
from gravdask.store.place import in_words, place_of

SLOW_HZ = 0.1
PEAK_BYTES = {"slow": 580 * 2**20, "fast": 860 * 2**20}
"""Highest memory of one process over all stages, measured on whole units at one a minute, and at 1 and 100 Hz."""
STORED_BYTES = {"slow": 3.0, "fast": 2.2}
"""Bytes of the store for each sample of the archive, measured: the record, its coefficients, noise and classes."""
DAY_SECONDS, FEATURE_SECONDS, DECIMATED_SECONDS = 0.035, 0.055, 0.009
"""Seconds of a core for a day of record: noise; scattering, by the features' rate [Hz]; decimation, by the record's."""
SPILLS, KILLED = 0.7, 0.95
"""Shares of its memory limit at which a worker spills, and is ended."""


def speed_class(rate: Rate) -> str:
    """Which of the figures holds for a rate."""
    return "slow" if rate.hz < SLOW_HZ else "fast"


def bytes_to_write(survey: Survey) -> tuple[float, str]:
    """Bytes that a run will write, and how that was reckoned."""
    terms, total = [], 0.0
    for kind, each in STORED_BYTES.items():
        samples = sum(share.new for rate, share in survey.rates.items() if speed_class(rate) == kind)
        if samples:
            terms.append(f"{samples:.3g} new samples x {each:g} B")
            total += samples * each
    reckoned = f"{' + '.join(terms)} = {amount(total)} ({survey.from_what})" if terms else "no new samples"
    return total, reckoned


def memory_findings(config: Config, survey: Survey | None) -> list[Finding]:
    """Whether a worker may take the memory that a unit needs."""
    what = "memory of a worker"
    settings = config.cluster
    need = PEAK_BYTES["fast" if survey is None or not survey.rates else speed_class(fastest(survey))]
    if settings.kind == "serial":
        free = psutil.virtual_memory().available
        about = f"{gibibytes(free)} available, a unit needs up to {gibibytes(need)}"
        return [
            ok(what, about) if free > need else note(what, about, "close other programs, or work where there is more")
        ]
    if settings.kind in {"address", "mpi"} and settings.memory == "auto":
        return [ok(what, f"as its workers were started; a unit needs up to {gibibytes(need)}")]
    limit = worker_memory(settings) or math.inf
    about = f"limit {gibibytes(limit) if limit < 2**60 else 'none'}, a unit needs up to {gibibytes(need)}"
    cure = f"set cluster.memory = '{max(need / SPILLS / 2**30, 0.1):.1f}GiB' or more"
    if limit * KILLED < need:
        return [fail(what, f"{about}: it would be ended", cure)]
    found = [note(what, f"{about}: it would spill to disk", cure) if limit * SPILLS < need else ok(what, about)]
    if settings.kind == "local":
        count, total = worker_count(settings), psutil.virtual_memory().total
        if count * need > total:
            cure = f"at most {max(int(total // need), 1)} workers, or --serial"
            found.append(note("memory", f"{gibibytes(total)} here for {count} workers of {gibibytes(need)}", cure))
    return found


def longest_unit(config: Config, survey: Survey | None) -> tuple[float, str]:
    """Seconds of the longest unit, and where that is from: finished ones, or figures for the archive's highest rate.

    Raises
    ------
    GravdaskError, OSError
        If the store cannot be read.
    """
    place = place_of(config)
    known: list[tuple[float, str]] = []
    with in_words(place):
        ledger = Ledger(place / "ledger")
    for stage in STAGES_OF_UNITS:
        finished = (record.seconds for record in ledger.of_stage(stage) if record.finished and record.seconds)
        known += [(seconds, f"{stage}, the longest of the finished ones") for seconds in finished]
    if known:
        return max(known)
    if survey is None or not survey.rates:
        return 0.0, "not known yet"
    rate = fastest(survey)
    features = feature_rate(rate, config.preprocess.feature_rate)
    days = min(unit_days(features), survey.rates[rate].days)
    daily = max(DAY_SECONDS, FEATURE_SECONDS * features.hz + (DECIMATED_SECONDS * rate.hz if rate != features else 0.0))
    return days * daily, f"measured speed, {days:.0f} days at {rate}"


SHORT_LIFE_SECONDS = 120
"""A worker that lives less spends much of its life on its own start."""


def time_findings(config: Config, survey: Survey | None) -> list[Finding]:
    """Whether the longest unit fits into the life of a worker, which ends before its job does."""
    settings = config.cluster
    if not settings.batch:
        return []
    what = "time limit of a job"
    seconds, source = longest_unit(config, survey)
    whole, spread = lifetime(settings.walltime_seconds)
    life = whole - spread
    about = f"{settings.walltime}, a worker lives {life} s or more; longest unit {seconds:.0f} s ({source})"
    if seconds > life:
        cure = f"set cluster.walltime = '{time_limit((2 * seconds + 600) // 60 * 60)}' or more"
        return [fail(what, f"{about}: it would never be finished", cure)]
    if seconds > life / 4:
        return [note(what, f"{about}: much is begun in vain", "a longer cluster.walltime wastes less")]
    if life < SHORT_LIFE_SECONDS:
        text = f"{about}: a worker takes five seconds to start, and once half a minute to compile"
        return [note(what, text, "a longer cluster.walltime wastes less")]
    return [ok(what, about)]


def unit_findings(config: Config, survey: Survey | None) -> list[Finding]:
    """Whether there is something to do for all workers."""
    what = "workers"
    count = worker_count(config.cluster)
    if not count or survey is None or not survey.rates:
        return []
    units = units_of(survey, config)
    about = f"{count} for about {units} units of scatter"
    if count > units:
        return [note(what, f"{about}: some have nothing to do then", f"{units} would do")]
    return [ok(what, about)]
