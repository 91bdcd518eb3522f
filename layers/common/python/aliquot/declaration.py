"""What a job's declaration may say: whether its stages can be a chain, and how a rate is spelt.

Owns these rules. Imports `errors` and `job`, which asks here when a job is declared. When it is wrong, a job
that cannot run is told so in the middle of its run.
"""

from __future__ import annotations

import re

from aliquot.errors import JobError
from aliquot.job import (
    LONGEST_STEP_S,
    MOST_RETRIES,
    MOST_STAGES,
    MOST_THREADS,
    RECORD,
    STEP_S,
    Stage,
    Stages,
)

MOST_PER_S = 1e6
_RATE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)/(s|min|h)")
_UNITS_S = {"s": 1, "min": 60, "h": 3600}


def parse_rate(text: str) -> float:
    """Records a second of "50/s", "600/min" or "2000/h"; 0 of an empty text, which is no limit.

    Raises:
        ValueError: it is of another form, or cannot be kept.
    """
    if not text:
        return 0.0
    found = _RATE.fullmatch(text)
    per_s = float(found[1]) / _UNITS_S[found[2]] if found else 0.0
    if not 0 < per_s <= MOST_PER_S:
        raise ValueError(f"{text!r} is not of the form 50/s, 600/min or 2000/h")
    return per_s


def check_stages(job: str, stages: Stages) -> None:
    """Raise JobError where these cannot be a job's chain."""
    if not 1 <= len(stages) <= MOST_STAGES:
        raise JobError(job, f"declares {len(stages)} stages; a job has 1 to {MOST_STAGES}")
    _check_origins(job, stages)
    names = [stage.name for stage in stages]
    if len(set(names)) < len(names):
        raise JobError(job, f"its stages are named {', '.join(names)}; each needs a name of its own")
    for place, stage in enumerate(stages):
        _check_stage(job, stage, is_first=place == 0)
        to = stages[place + 1].exchange if place + 1 < len(stages) else ""
        if stage.whole and len(stages) > 1 and not to:
            said = f"stage {stage.name!r} takes chunks whole, and its rows are of all records together"
            raise JobError(job, f"{said}: the stage behind it has to exchange by a column of theirs")
        if stage.best is not None and (stage.best.by != to or to == RECORD):
            said = f"stage {stage.name!r} keeps the best rows of each {stage.best.by!r}"
            raise JobError(job, f"{said}: the stage behind it has to exchange by that column of its rows")


def _check_origins(job: str, stages: Stages) -> None:
    """Raise JobError where a stage would lose which records its rows came from."""
    told = ""
    for stage in stages:
        told = "" if stage.exchange else told
        if told and not stage.origin:
            said = f"stage {stage.name!r} names no origin, and {told!r} before it does"
            raise JobError(job, f"{said}: its rows would all count to their group's first record")
        told = stage.name if stage.origin else told


def _check_stage(job: str, stage: Stage, *, is_first: bool) -> None:
    said = f"stage {stage.name!r}"
    if not re.fullmatch(r"[a-z0-9_-]+", stage.name):
        raise JobError(job, f"{said} must be named by a-z, 0-9, _ and - alone")
    _check_waiting(job, said, stage)
    for name, value in (("memory_mib", stage.memory_mib), ("concurrency", stage.concurrency)):
        if value is not None and not (type(value) is int and value >= 1):
            raise JobError(job, f"{said} has {name}={value!r}; it takes a whole number from 1, or None")
    if stage.writes is not None and not hasattr(stage.writes, "_fields"):
        raise JobError(job, f"what {said} writes must be a NamedTuple, found {stage.writes!r}")
    _check_whole(job, stage, said, is_first=is_first)
    if is_first and stage.exchange:
        raise JobError(job, f"{said} is the first and exchanges nothing: leave out {stage.exchange!r}")
    if stage.origin and stage.writes is not None and stage.origin not in stage.writes._fields:
        raise JobError(job, f"{said} names the origin {stage.origin!r}, which is no column that it writes")
    if stage.splits and not stage.exchange:
        raise JobError(job, f"{said} splits groups and has none: name the column to exchange by")
    if stage.best is not None and stage.best.n < 1:
        raise JobError(job, f"{said} keeps the best {stage.best.n}; at least 1 goes on")


def _check_waiting(job: str, said: str, stage: Stage) -> None:
    """Raise JobError where what a stage says of records that wait cannot be."""
    if not (type(stage.threads) is int and 1 <= stage.threads <= MOST_THREADS):
        asked = f"{said} asks for {stage.threads!r} threads"
        raise JobError(job, f"{asked}; a host has 1 to {MOST_THREADS}, more --workers have more")
    if type(stage.step_s) not in (int, float) or not STEP_S <= stage.step_s <= LONGEST_STEP_S:
        raise JobError(job, f"{said} has step_s={stage.step_s!r}; it takes {STEP_S} to {LONGEST_STEP_S} s")
    if not (type(stage.retries) is int and 0 <= stage.retries <= MOST_RETRIES):
        raise JobError(job, f"{said} has retries={stage.retries!r}; it takes 0 to {MOST_RETRIES}")
    try:
        parse_rate(stage.rate)
    except (TypeError, ValueError) as err:
        raise JobError(job, f"{said} has a rate that is none: {err}") from err


def _check_whole(job: str, stage: Stage, said: str, *, is_first: bool) -> None:
    if stage.whole and (not is_first or stage.threads > 1 or stage.rate or stage.best is not None):
        rule = "such a stage is the first, of one thread, without a rate, and keeps all of its rows"
        raise JobError(job, f"{said} takes chunks whole: {rule}")
