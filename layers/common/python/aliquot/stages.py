"""A job's chain of stages as a manifest holds it, and its legs: what runs between two exchanges.

    stages   expand -> stock -|by leaf|-> look up -|by record|-> rank
    legs     [expand, stock]             [look up]              [rank]

In a leg every stage answers for the same units, so that coverage of its last stage is coverage of the leg: in
the first leg the records of the dataset, behind an exchange its groups. Whoever drives a run needs no job for
this: it stands in the manifest in plain values.

Pure. Imports `job` for the declaration alone. When it is wrong, stages run in another order, or not at all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from aliquot.declaration import parse_rate
from aliquot.envelope import is_count
from aliquot.job import RECORD, Best, Stage
from aliquot.keys import is_name
from aliquot.prices import HELD_SHARE, RUNG_MB, SUPERVISOR_MB


@dataclass(frozen=True)
class StageNote:
    """What is to be known of a stage without its code; see `job.Stage`."""

    name: str
    exchange: str = ""
    origin: str = ""
    splits: bool = False
    memory_mib: int | None = None
    concurrency: int | None = None
    best: Best | None = None
    threads: int = 1
    rate: str = ""
    whole: bool = False

    def to_plain(self) -> dict[str, Any]:
        """Plain values, for a manifest."""
        return asdict(self)

    @classmethod
    def of(cls, stage: Stage) -> StageNote:
        """Of a declared stage."""
        return cls(
            stage.name,
            stage.exchange,
            stage.origin,
            stage.splits,
            stage.memory_mib,
            stage.concurrency,
            stage.best,
            stage.threads,
            stage.rate,
            stage.whole,
        )

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> StageNote:
        """Of plain values that `are_stages` found sound."""
        best = plain.get("best")
        return cls(**{**plain, "best": Best(**best) if best is not None else None})


@dataclass(frozen=True)
class Leg:
    """Consecutive stages without an exchange between them.

    Args:
        number: its place; the first leg, 0, reads the dataset.
    """

    number: int
    stages: tuple[StageNote, ...]

    @property
    def first(self) -> StageNote:
        """The stage that reads the leg's chunks."""
        return self.stages[0]

    @property
    def last(self) -> StageNote:
        """The stage whose coverage is the leg's."""
        return self.stages[-1]

    @property
    def tells_records(self) -> bool:
        """Whether each of its rows belongs to one record of the dataset, and not to all of a group."""
        return not self.number or bool(self.last.origin) or self.first.exchange == RECORD


def split_legs(stages: Sequence[StageNote]) -> tuple[Leg, ...]:
    """The legs of a chain, in order."""
    legs: list[list[StageNote]] = []
    for stage in stages:
        if stage.exchange or not legs:
            legs.append([])
        legs[-1].append(stage)
    return tuple(Leg(number, tuple(held)) for number, held in enumerate(legs))


def find_next(legs: Sequence[Leg], name: str) -> StageNote | None:
    """The stage that reads a stage's outcomes as they come; None behind the last of a leg."""
    for leg in legs:
        names = [stage.name for stage in leg.stages]
        if name in names[:-1]:
            return leg.stages[names.index(name) + 1]
    return None


def count_stages(legs: Sequence[Leg]) -> int:
    """Stages of the whole chain."""
    return sum(len(leg.stages) for leg in legs)


def find_stage_note(legs: Sequence[Leg], name: str) -> StageNote:
    """A stage of these legs; raises LookupError where none has that name."""
    return next(stage for leg in legs for stage in leg.stages if stage.name == name)


def find_rate(stages: Sequence[Stage | StageNote], stage: Stage | StageNote, asked: str | None) -> float:
    """Records that a stage begins a second, 0 for no limit.

    Args:
        stages: the whole chain.
        asked: the run's own rate, which is for the stages that declare one, or for the only one.
    """
    return parse_rate(asked if asked and (stage.rate or len(stages) == 1) else stage.rate)


def find_threads(n_stages: int, declared: int, asked: int | None) -> int:
    """In how many threads each host of a stage calls it.

    Args:
        n_stages: of the whole chain.
        declared: by the stage.
        asked: the run's own number, which is for the stages that declare more than one, or for the only one.
    """
    return asked if asked is not None and (declared > 1 or n_stages == 1) else declared


def find_late_rate(stages: Sequence[Stage]) -> str:
    """The stage whose rate a stack cannot keep, empty where there is none.

    It reads outcomes as they come: how many of its tasks there are at a time nobody decides.
    """
    return next((stage.name for stage in stages[1:] if stage.rate and not stage.exchange), "")


def find_leg_rate(legs: Sequence[Leg], leg: Leg, settings: Mapping[str, Any]) -> float:
    """Records that a leg's first stage begins a second, by a run's settings; 0 for no limit."""
    return find_rate([stage for each in legs for stage in each.stages], leg.first, settings.get("rate"))


def choose_leg_window(legs: Sequence[Leg], leg: Leg, settings: Mapping[str, Any]) -> int:
    """How many tasks of a leg a stack has at a time; where its first stage has a rate, its shares of that."""
    per_s = find_leg_rate(legs, leg, settings)
    threads = find_threads(count_stages(legs), leg.first.threads, settings.get("threads"))
    bounds = [stage.concurrency for stage in leg.stages if stage.concurrency is not None]
    most: int = min([settings["window"], *bounds])
    return count_shares(per_s, threads, most) if per_s else most


def share_rate(legs: Sequence[Leg], name: str, share: int, settings: Mapping[str, Any]) -> float:
    """Records that a task begins a second, 0 for no limit: of its stage's rate what it has of the window.

    Args:
        name: of the stage.
        share: of the window, that the task carries.
    """
    leg = next(leg for leg in legs if name in [stage.name for stage in leg.stages])
    per_s = find_leg_rate(legs, leg, settings)
    if not per_s or name != leg.first.name:
        return 0.0
    window = choose_leg_window(legs, leg, settings)
    return per_s * min(share, window) / window


def count_shares(per_s: float, threads: int, window: int) -> int:
    """Into how many tasks at a time a stack divides a rate: as few as keep up where a record takes a second.

    Args:
        threads: records that a task has in flight at least.
        window: tasks that it may have at a time.
    """
    return max(1, min(window, math.ceil(per_s / threads)))


def is_rate(value: Any) -> bool:
    """Whether this is a rate as text, or the empty one."""
    try:
        return type(value) is str and parse_rate(value) >= 0
    except ValueError:
        return False


def choose_rung(stage: StageNote, lowest: str, rungs: Sequence[str]) -> str:
    """The rung on which a stage's records begin: the lowest with the memory that one host of it needs.

    Args:
        lowest: that the run begins on.
        rungs: of the stack, the lowest first.
    """
    allowed = list(rungs[rungs.index(lowest) :])
    needed_mib = stage.memory_mib or 0
    enough = [rung for rung in allowed if HELD_SHARE * (RUNG_MB[rung] - SUPERVISOR_MB) >= needed_mib]
    return (enough or allowed[-1:])[0]


def read_legs(manifest: Mapping[str, Any]) -> tuple[Leg, ...]:
    """The legs of a manifest that was checked."""
    return split_legs([StageNote.from_plain(plain) for plain in manifest["stages"]])


def are_stages(value: Any) -> bool:
    """Whether this is a chain of stages as a manifest holds it."""
    return type(value) is list and bool(value) and all(map(_is_stage, value)) and not value[0]["exchange"]


def _is_stage(value: Any) -> bool:
    plain = StageNote("").to_plain()
    return (
        type(value) is dict
        and value.keys() == plain.keys()
        and is_name(value["name"])
        and all(type(value[name]) is str for name in ("exchange", "origin"))
        and type(value["splits"]) is bool
        and type(value["whole"]) is bool
        and all(value[name] is None or is_count(value[name]) for name in ("memory_mib", "concurrency"))
        and (value["best"] is None or _is_best(value["best"]))
        and is_count(value["threads"])
        and is_rate(value["rate"])
    )


def _is_best(value: Any) -> bool:
    return (
        type(value) is dict
        and value.keys() == {"n", "by", "score"}
        and is_count(value["n"])
        and all(type(value[name]) is str for name in ("by", "score"))
    )
