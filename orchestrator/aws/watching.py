"""How far a run on a stack is: by listing its objects and asking what drives it, ever less often.

    published in this beginning? -> over;  else: does its execution run? -> look again later

Owns what is over, under way and broken. Imports the run's objects. When it is wrong, a watcher waits for
ever, or fetches the result of an earlier epoch.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from aliquot.coverage import measure_coverage
from aliquot.crossing import find_reached
from aliquot.errors import Interrupted, SettlingFailed, StoreError
from aliquot.keys import ChunkId
from aliquot.stages import Leg
from orchestrator.aws.executions import Execution
from orchestrator.aws.noticing import Noticing
from orchestrator.aws.run import CloudRun, Published
from orchestrator.aws.site import Pace
from orchestrator.progress import RUNNING, Progress, StageProgress
from orchestrator.stack.errors import AwsRefused

_REST = 4.0  # times what a look took
_MOST_REFUSED = 4  # looks in a row; each tries several times by itself, over a minute or so


class Watch:
    """Looks at one run; `progress` is of the last look.

    Args:
        folder: of the run, for messages.
        interrupt: set when the user wants to leave.
        check: raises where the stack itself has gone wrong.
        noticing: what it costs and which kinds failed, beside.
        looked: called after each look.
    """

    def __init__(
        self,
        run: CloudRun,
        legs: Sequence[Leg],
        folder: str,
        pace: Pace,
        interrupt: threading.Event,
        check: Callable[[], None],
        noticing: Noticing,
        looked: Callable[[], None] = lambda: None,
    ) -> None:
        self._run, self._legs, self._folder = run, legs, folder
        self._leg = legs[0]
        self._stages: list[StageProgress] = []
        self._noticing, self._looked = noticing, looked
        self._pace, self._interrupt, self._check = pace, interrupt, check
        self._started_s = time.monotonic()
        self._chunks: list[ChunkId] = []
        self._is_sealed = False
        self._n_before: int | None = None
        self._n_answered = self._n_failed = self._n_records = 0
        self._n_refused = 0

    def tell_progress(self, n_total: int | None) -> Progress:
        """How far the run was at the last look; `n_total` where the watcher knows better."""
        return Progress(
            phase=RUNNING,
            n_done=self._n_answered - self._n_failed,
            n_failed=self._n_failed,
            n_total=n_total or self._n_records or None,
            n_session=self._n_answered - (self._n_before or 0),
            running_s=time.monotonic() - self._started_s,
            stage=self._leg.last.name if self._leg.number else "",
            kinds=self._noticing.kinds,
            stages=self._stages,
            spent_usd=self._noticing.spent_usd,
            budget_usd=self._noticing.budget_usd,
        )

    def look(self, execution: Execution) -> tuple[Execution, Published | None]:
        """What drives the run now, and what it published since `execution` began.

        Raises:
            SettlingFailed: nothing drives it, and it published nothing.
            AwsRefused, StoreError: AWS could not be asked.
        """
        self._check()
        now = self._run.executions.follow(execution)  # first, since it publishes and ends in this order
        published = self._run.find_published()
        self._measure(now.epoch)
        if published is not None and published.epoch >= execution.epoch:
            return now, published
        if not now.is_running:
            raise SettlingFailed(self._folder, self._run.address.run, self._explain(now))
        return now, None

    def wait(self, execution: Execution, should_end: Callable[[], bool] = lambda: False) -> Published | None:
        """Look until something is published, or `should_end`; None then.

        Raises:
            Interrupted: the user wants to leave.
            SettlingFailed: as `look`.
        """
        pause_s = self._pace.shortest_s
        while not should_end():
            began_s = time.monotonic()
            execution, published = self._look_patiently(execution)
            if published is not None:
                return published
            self._looked()
            # a run of 100,000 outcomes takes seconds, and some cents, to list: most of the time is waited
            if self._interrupt.wait(max(pause_s, _REST * (time.monotonic() - began_s))):
                raise Interrupted(self._folder)
            pause_s = min(self._pace.longest_s, pause_s * self._pace.growth)
        return None

    def _explain(self, ended: Execution) -> str:
        """Why an execution failed; where a worker found that it cannot go on, also what that said."""
        ledger = self._run.ledger
        epochs = range(ended.epoch, ledger.epoch + 1)
        noted = [key for epoch in epochs for key in ledger.list_open_failures(epoch)]
        said = ledger.store.get(noted[0]).decode(errors="replace") if noted else ""
        return f"{ended.cause}; a worker said: {said}" if said else ended.cause

    def _look_patiently(self, execution: Execution) -> tuple[Execution, Published | None]:
        """As `look`, but a network that is gone for some minutes ends no watch of hours."""
        try:
            found = self.look(execution)
        except (StoreError, AwsRefused):
            self._n_refused += 1
            if self._n_refused == _MOST_REFUSED:
                raise
            return execution, None
        self._n_refused = 0
        return found

    def _measure(self, epoch: int) -> None:
        leg, ledger = find_reached(self._run.ledger, self._legs)
        if leg != self._leg:
            self._leg, self._is_sealed, self._n_before = leg, False, None
        if not self._is_sealed:  # in this order: what is there when it is sealed is all
            self._is_sealed = ledger.is_sealed
            self._chunks = ledger.list_chunks()
        outcomes, voids = ledger.list_outcomes(leg.last.name), ledger.list_voids()
        coverage = measure_coverage(self._chunks, outcomes, voids)
        n_records = coverage.n_records
        self._stages = [
            StageProgress(name, measure_coverage(self._chunks, found, voids).n_answered, n_records)
            for name in (stage.name for stage in leg.stages if len(leg.stages) > 1)
            for found in [outcomes if name == leg.last.name else ledger.list_outcomes(name)]
        ]
        self._n_answered, self._n_records = coverage.n_answered, coverage.n_records
        self._n_failed = min(coverage.n_failed, coverage.n_answered)
        if self._n_before is None:
            self._n_before = coverage.n_answered
        self._noticing.look(leg.number, ledger, outcomes, epoch)
