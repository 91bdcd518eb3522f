"""A step of a stage that takes the records of a chunk whole: one table in, one answer for all of them.

What the call raises has failed all of these records, since none of them can be told apart; those that did not
parse fail by themselves, as ever. The rows stand with the first record that is done; of the time each record
took its share.

Owns this form of a step. Imports `attempt`. When it is wrong, rows of a chunk count twice or to no record.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from aliquot.attempt import Step
from aliquot.codec import pack
from aliquot.errors import Unencodable
from aliquot.failing import describe_failure
from aliquot.page import ANSWERED, AT_NS, READ
from aliquot.rows import Block, NotRows


class WholeStep(Step):
    """One call for the records first..end of a chunk together."""

    def run(self, first: int, end: int) -> Block:
        """The block of the records; `at` is `end`."""
        self.first = first
        self.failures = [self.bad[index] for index in range(first, end) if index in self.bad]
        self.slot[ANSWERED], self.slot[READ] = first, end
        good = [index for index in range(first, end) if index not in self.bad]
        self.answers, self.notes = [()] * (end - first), [None] * (end - first)
        if good:
            self._answer(good, first, end)
            self.spread.note(first, end, time.monotonic_ns() - int(self.slot[AT_NS]))
        self.at = self.slot[ANSWERED] = end
        return self._make_block()

    def _answer(self, good: Sequence[int], first: int, end: int) -> None:
        """Call, and again where that may help: all tries and pauses within one deadline."""
        self.arm(0.0)
        self.slot[AT_NS] = begun_ns = time.monotonic_ns()
        n_tries = 1
        while True:
            try:
                rows, note = self._read_answer(self._call_once(first, end))
            except BaseException as err:  # noqa: BLE001 - the boundary to the job's code
                cut = self._pause(err, n_tries, begun_ns + round(self.timeout_s * 1e9))
                if isinstance(cut, str):
                    self.failures += [describe_failure(index, err, n_tries, cut) for index in good]
                    return
                n_tries += 1
            else:
                self.answers[good[0] - first], self.notes[good[0] - first] = rows, note
                return

    def _call_once(self, first: int, end: int) -> Any:
        (table,) = self.records(first, end)
        return self.call(table)

    def _fail_each(self, check: Any) -> None:
        """Take back an answer that `check` refuses, and file the records that it was of."""
        for place, answer in enumerate(self.answers):
            try:
                check(self.first + place, answer)
            except (NotRows, ValueError, Unencodable) as err:
                failed = {failure.index for failure in self.failures}
                span = range(self.first, self.first + len(self.answers))
                self.failures += [describe_failure(index, err) for index in span if index not in failed]
                self.answers, self.notes = [()] * len(self.answers), [None] * len(self.answers)
                return

    def _pack_rows(self, _index: int, rows: Sequence[Any]) -> None:
        if not hasattr(rows, "__arrow_c_stream__"):
            pack([tuple(row) for row in rows], "row")
