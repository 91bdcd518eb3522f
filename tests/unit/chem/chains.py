"""A job's chain, run in memory as the engine runs it: rows go on one by one, or in groups of one key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from aliquot.errors import ParseFailure
from aliquot.job import RECORD, Group, Job, Stage

Placed = list[tuple[int, Any]]
"""Rows, each with its record."""


def run_chain(job: Job, options: Any, prepared: Path, records: Sequence[Any]) -> dict[int, list[Any]]:
    """The rows of each record that does not fail, whichever way its stages are cut."""
    assert job.prepare is not None
    job.prepare(options, prepared)
    first, *later = job.list_stages(options)
    answers = first.open(options, prepared)(iter(records))
    placed: Placed = []
    done = []
    for record in range(len(records)):
        try:
            placed += [(record, row) for row in next(answers)]
            done.append(record)
        except ParseFailure:
            continue
    is_grouped = False
    for stage in later:
        is_grouped = is_grouped or bool(stage.exchange)
        assert bool(stage.origin) or not is_grouped or stage is later[-1], f"{stage.name} mixes records"
        placed = _run_stage(stage, stage.open(options, prepared), placed)
    given: dict[int, list[Any]] = {record: [] for record in done}
    for record, row in placed:
        given[record].append(row)
    return given


def _run_stage(stage: Stage, call: Any, placed: Placed) -> Placed:
    if not stage.exchange:
        answers = list(call(row for _, row in placed))
        assert len(answers) == len(placed)
        given = [(record, row) for (record, _), rows in zip(placed, answers, strict=True) for row in rows]
        assert all(getattr(row, stage.origin) == record for record, row in given if stage.origin)
        return given
    groups = list(_make_groups(stage.exchange, placed))
    answers = list(call(iter(groups)))
    assert len(answers) == len(groups)
    given = []
    for group, rows in zip(groups, answers, strict=True):
        for row in rows:
            record = getattr(row, stage.origin) if stage.origin else group.records[0]
            assert record in group.records
            given.append((record, row))
    return given


def _make_groups(exchange: str, placed: Placed) -> Iterable[Group]:
    keyed: dict[Any, Placed] = {}
    for record, row in sorted(placed, key=lambda own: own[0]):
        keyed.setdefault(record if exchange == RECORD else getattr(row, exchange), []).append((record, row))
    for key in sorted(keyed):
        yield Group(key, [row for _, row in keyed[key]], [record for record, _ in keyed[key]])
