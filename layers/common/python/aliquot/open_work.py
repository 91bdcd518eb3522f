"""What is open of a leg: each stage's gaps, and the outcomes of the stage before that fill them.

    gap of the last stage:  answered by the stage before? -> a task of the last, with that outcome
                            not? -> its gap there, and so on to the first stage, which reads chunks

Owns that rule: which stage a record waits for. Imports `coverage`, `roster` and the ledger. When it is wrong,
records wait for a stage that is done with them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from aliquot.coverage import measure_coverage
from aliquot.keys import ChunkId, OutcomeKey
from aliquot.lane import Task
from aliquot.ledger import Ledger
from aliquot.roster import decide_roster
from aliquot.spans import SpanSet

NOTHING: Mapping[ChunkId, SpanSet] = {}


@dataclass(frozen=True)
class OpenWork:
    """What is left to do of each stage of a leg when a session begins: its gaps, and where their rows lie.

    Args:
        todo: by stage, what it has not answered and is not to get anew from the stage before.
    """

    todo: Sequence[Sequence[Task]]

    @property
    def n_records(self) -> int:
        """Units that are not answered by the last stage."""
        return sum(len(task.spans) for tasks in self.todo for task in tasks)


def find_open_work(
    ledger: Ledger,
    stages: Sequence[str],
    known: Collection[ChunkId],
    again: Mapping[ChunkId, SpanSet] = NOTHING,
) -> OpenWork:
    """What is open of the chunks that are there; raises UnreadableOutcome.

    Args:
        stages: of the leg, by name.
        again: what failed and is tried once more, from the first stage on.
    """
    voids = ledger.list_voids()
    todo: list[list[Task]] = []
    before: list[OutcomeKey] = []
    for place, stage in enumerate(stages):
        outcomes = ledger.list_outcomes(stage)
        gaps = {chunk: gap - again.get(chunk, SpanSet()) for chunk, gap in _find_gaps(known, outcomes, voids)}
        if place:
            todo.append(_find_sources(ledger, gaps, before, voids))
        else:
            first = {chunk: gaps.get(chunk, SpanSet()) | again.get(chunk, SpanSet()) for chunk in known}
            todo.append([Task(chunk, spans) for chunk, spans in first.items() if spans])
        before = outcomes
    return OpenWork(todo)


def _find_gaps(
    known: Iterable[ChunkId], outcomes: Iterable[OutcomeKey], voids: Iterable[OutcomeKey]
) -> Iterable[tuple[ChunkId, SpanSet]]:
    return measure_coverage(known, outcomes, voids).gaps.items()


def _find_sources(
    ledger: Ledger, gaps: dict[ChunkId, SpanSet], before: Sequence[OutcomeKey], voids: Sequence[OutcomeKey]
) -> list[Task]:
    """The outcomes of the stage before from which gaps can be filled."""
    answered = [outcome for outcome in before if outcome.chunk in gaps]
    roster = decide_roster(gaps, answered, ledger.read_failed, voids)
    shares = ((chunk, share) for chunk, held in roster.shares.items() for share in held)
    tasks = (Task(chunk, share.spans & gaps[chunk], share.outcome) for chunk, share in shares)
    return [task for task in tasks if task.spans]
