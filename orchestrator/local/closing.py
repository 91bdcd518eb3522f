"""The end of a run: the roster frozen, the files delivered, then `settled`; or a stop, and what finished.

Owns the order of these, and whether what lies in the folder is what was decided. Imports `deliver` (and with
it pyarrow) when something is delivered. When it is wrong, files of two epochs lie side by side, or a run
that was killed at its end is not delivered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from aliquot.crossing import settle_legs
from aliquot.errors import BudgetReached
from aliquot.failure_limit import FailureLimit
from aliquot.keys import name_roster
from aliquot.ledger import SETTLED, TIME_REACHED
from aliquot.loading import make_options
from aliquot.merge import UnreadableOutcome
from orchestrator.judging import judge, too_many
from orchestrator.local.folder import RunFolder
from orchestrator.local.settings import Settings
from orchestrator.placing import read_delivered
from orchestrator.request import Request
from orchestrator.results import read_object

INTERRUPTED = "interrupted"
TAKEN_UP = "taken up again"


class Closing:
    """Ends the epochs of a run.

    Args:
        prepared: what the job's `prepare` wrote.
        tell_facts: wall and processor seconds of this session so far.
        check: called between pieces of work; raises where the user has interrupted.
    """

    def __init__(
        self,
        folder: RunFolder,
        request: Request,
        settings: Settings,
        prepared: Path,
        tell_facts: Callable[[], dict[str, float]],
        check: Callable[[], None],
    ) -> None:
        self._folder, self._ledger, self._request = folder, folder.ledger, request
        self._settings, self._prepared = settings, prepared
        self._tell_facts, self._check = tell_facts, check
        self._limit = FailureLimit.parse(settings.max_failed)
        self._legs = request.legs
        stops = self._ledger.list_stops()
        self._earlier = [stop.facts for stop in stops if "elapsed_s" in stop.facts]
        self.is_settled = bool(stops) and stops[-1].reason == SETTLED

    def open_epoch(self, *, is_retrying: bool) -> int:
        """The epoch that this session works in: a new one where the last has decided something already."""
        epoch = self._ledger.epoch
        if not is_retrying and not self._ledger.leg.has(name_roster(self._legs[0].last.name, epoch)):
            return epoch
        self._ledger.stop(epoch, TAKEN_UP, {})
        return epoch + 1

    def settle(self, epoch: int) -> dict[str, Any]:
        """Freeze the rosters and deliver.

        Raises:
            TooManyFailed: beyond the limit; everything is delivered.
            UnreadableOutcome: it is to be voided, and its records done again.
        """
        summary = self._deliver(epoch, [*self._earlier, self._tell_facts()])
        self._ledger.stop(epoch, SETTLED, self._tell_facts())
        judge(self._folder.path, summary, self._limit)
        return summary

    @property
    def elapsed_s(self) -> float:
        """Wall time of earlier sessions."""
        return float(sum(facts["elapsed_s"] for facts in self._earlier))

    def give_up(self, epoch: int, reason: str) -> NoReturn:
        """Stop for a limit: deliver what finished, list what was not tried; raises the limit's error."""
        facts = self._tell_facts()
        self._ledger.stop(epoch, reason, facts)
        while True:
            try:
                summary = self._deliver(epoch, [*self._earlier, facts])
                break
            except UnreadableOutcome as err:
                epoch = self.void(err, epoch)
                self._ledger.stop(epoch, reason, {})
        if reason == TIME_REACHED:
            raise BudgetReached(str(self._folder.path), reason)
        raise too_many(self._folder.path, summary, self._limit, is_stopped=True)

    def interrupt(self, epoch: int) -> None:
        """End the epoch because the user said so."""
        self._ledger.stop(epoch, INTERRUPTED, self._tell_facts())

    def deliver_again(self) -> dict[str, Any]:
        """The summary of a run that is settled, its files written anew where they are not all there.

        Raises:
            TooManyFailed: as when it was settled.
            UnreadableOutcome: its files are not there, and what they were made of is damaged.
        """
        epoch = self._ledger.list_stops()[-1].epoch
        if self._is_delivered(epoch):
            summary = read_object(self._folder.path / "summary.json")
        else:
            summary = self._deliver(epoch, self._earlier)
        judge(self._folder.path, summary, self._limit)
        return summary

    def void(self, err: UnreadableOutcome, epoch: int) -> int:
        """Open the records of a damaged outcome again; gives the epoch in which they are to be done."""
        self._ledger.give_up_outcome(err, epoch)
        return self._ledger.epoch

    def _is_delivered(self, epoch: int) -> bool:
        folder = self._folder.path
        has_rows = any((folder / "result").glob("part-*"))
        return has_rows and read_delivered(folder).is_whole(folder, epoch, self._settings.ending)

    def _deliver(self, epoch: int, sessions: Sequence[Mapping[str, float]]) -> dict[str, Any]:
        from aliquot.delivery import Subject
        from orchestrator.local.deliver import Delivery, deliver

        job = self._request.known.job
        options = make_options(job, self._request.options)
        subject = Subject(job, options, self._prepared, self._request.source_names)
        delivery = Delivery(self._folder.path, subject, self._settings.ending, epoch, self._check)
        total = {name: round(sum(each[name] for each in sessions), 3) for name in sessions[-1]}
        settled = list(settle_legs(self._ledger, self._legs, epoch))
        return deliver(delivery, settled, len(self._legs), total)
