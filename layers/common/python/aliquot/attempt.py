"""One step inside a host: records into the job, rows out, each record's failure to itself.

A step goes through consecutive records until its span or its time is up. The job is called with an iterable
of records; a job that reads one record and answers it, and a job that reads ahead, are both served: before
each record is handed over and after each answer, the shared page says how far the host is.

When the job raises with one record unanswered, that record failed and the job is called again for the rest.
With several unanswered, each record of that call is given to the job alone: the exception finds its own. An
exception that may pass by itself (see `retries`) has its record tried again, after a pause.

Where a stage has a rate, each record waits for its turn, and each try takes one. A step does so for long
before its first record alone, so that nothing that was answered waits with it.

Owns the hot loop. Imports `chunk`, `rows`, `page`, `pace`. When it is wrong, a record's failure costs others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aliquot.codec import pack
from aliquot.errors import CodecError, Unencodable, Unopened
from aliquot.failing import describe_failure
from aliquot.job import Answer, Call
from aliquot.outcome import Failure
from aliquot.pace import Pace
from aliquot.page import ANSWERED, AT_NS, READ
from aliquot.retries import choose_pause_s, is_retryable
from aliquot.rows import Block, NotRows, as_rows, make_block
from aliquot.trace import FINE_NS, Spread

_REARM_NS = 250_000_000

Records = Callable[[int, int], Iterator[Any]]


class WrongCount(RuntimeError):
    """A job that gave fewer or more answers than it read records."""


class JobBroken(Exception):
    """A job that cannot be called at all: it raised, or ended, before it read a record. Its cause tells."""


@dataclass
class Step:
    """One pass over records first..end of a chunk, cut short when its time is up.

    Args:
        call: what the job's `open` returned.
        records: gives the records of a span, in order.
        bad: what failed already, by index: rows that did not parse, records of an earlier stage.
        columns: declared columns of a row, empty where rows are dicts.
        slot: the host's words on the shared page.
        stop_ns: monotonic time after which no further record is begun.
        arm: called before records, at least four times a second, so that a timer can be moved on; with the
            seconds for which the record waits before it begins.
        retry: exceptions that the job's stage names as passing.
        retries: how often a record is tried again.
        timeout_s: a record's deadline, which no pause passes.
        lead_ns: by which a record begins later for the supervisor than here.
        pace: gives records their turn; None where they need none.
        check: raises NotRows where rows may not go on to the next stage.
    """

    call: Call
    records: Records
    bad: Mapping[int, Failure]
    columns: tuple[str, ...]
    slot: memoryview
    stop_ns: int
    arm: Callable[[float], None]
    retry: tuple[type[BaseException], ...] = ()
    retries: int = 3
    timeout_s: float = 60.0
    lead_ns: int = 0
    pace: Pace | None = None
    check: Callable[[Block], None] = lambda _: None
    answers: list[Sequence[Any]] = field(default_factory=list)
    notes: list[str | None] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    spread: Spread = field(default_factory=Spread)
    first: int = 0
    at: int = 0  # the next record that has no answer
    n_retries: int = 0
    waited_ns: int = 0  # for turns
    held: tuple[int, int] = (0, 0)  # the first record whose time is not counted, and when it was begun
    unread: tuple[int, CodecError] | None = None  # a record that cannot be read, and why

    def run(self, first: int, end: int) -> Block:
        """The block of the records that were done; `at` says where the step ended."""
        self.first = self.at = first
        self.slot[READ] = self.slot[ANSWERED] = first
        while self.at < end and (self.at == first or time.monotonic_ns() < self.stop_ns):
            if self.at in self.bad:
                self._fail(self.bad[self.at])
            elif self.unread is not None and self.unread[0] == self.at:
                self._fail_unread(self.unread[1])
            else:
                self._run_stretch(self._end_of_stretch(end))
        return self._make_block()

    def _end_of_stretch(self, end: int) -> int:
        return min((index for index in self.bad if self.at <= index < end), default=end)

    def _run_stretch(self, end: int) -> None:
        """Call the job once on records at..end; returns after its answers, or after its exception."""
        begun = self.at
        self.held = begun, time.monotonic_ns()
        err = self._call(end)
        if self.unread is not None and self.slot[READ] == begun:
            return  # the first record of them: the job was given nothing
        err = err or self._find_miscount(begun)
        if err is not None:
            self._blame(err, begun)

    def _call(self, end: int) -> BaseException | None:
        """What the job raised; blamed outside this frame, so that tracebacks show no chain of ours."""
        try:
            for answer in self.call(self._feed(end)):
                self._take(answer)
        except BaseException as err:  # noqa: BLE001 - the job's code, which may raise SystemExit
            return err
        since, since_ns = self.held
        self.spread.note(since, self.at, time.monotonic_ns() - since_ns)
        return None

    def _find_miscount(self, begun: int) -> WrongCount | None:
        if self.at < self.slot[READ]:
            return WrongCount(
                f"the job ended after {self.at - begun} answers to {self.slot[READ] - begun} records"
            )
        if self.at == begun and (begun == self.first or time.monotonic_ns() < self.stop_ns):
            return WrongCount("the job ended before it read a record")
        return None

    def _feed(self, end: int) -> Iterator[Any]:
        """The records at..end, each at hand from when it begins to be read: that may be a user's code."""
        slot, stop_ns, arm, clock, pace = self.slot, self.stop_ns, self.arm, time.monotonic_ns, self.pace
        index = since = self.at
        rearm_ns, since_ns = 0, self.held[1]
        read_next = self.records(index, end).__next__
        while index < end:
            now = clock()
            if self.at == index:  # nothing is held: all since then are answered
                if now - since_ns > FINE_NS:
                    self.spread.note(since, index, now - since_ns)
                since_ns, since = now, index
            if now >= stop_ns and index > self.first:
                break
            if pace is not None and index > self.first and not pace.is_due(stop_ns):
                self.stop_ns = now
                break
            if now >= rearm_ns:
                arm(0.0)
                rearm_ns = now + _REARM_NS
            slot[AT_NS] = now + self.lead_ns
            slot[READ] = index + 1
            try:
                record = read_next()
            except (StopIteration, CodecError) as err:
                slot[READ] = index
                if isinstance(err, CodecError):
                    self.unread = (index, err)
                break
            if pace is not None:
                slot[READ] = index  # while it waits for its turn it is not begun
                self._take_turn(record)
                now = clock()
                since_ns = now if since == index else since_ns  # its turn is no time of the record's
                slot[AT_NS] = now + self.lead_ns
                slot[READ] = index + 1
            index += 1
            yield record
        self.held = since, since_ns

    def _take_turn(self, record: Any) -> int:
        """Wait until a record, or each row of a list, may begin; gives the nanoseconds that it took."""
        n_turns = len(record) if type(record) is list else 1
        if self.pace is None or not n_turns:
            return 0
        began_ns = time.monotonic_ns()
        self.pace.wait(n_turns, self._note_turn)
        waited_ns = time.monotonic_ns() - began_ns
        self.waited_ns += waited_ns
        return waited_ns

    def _note_turn(self, until_ns: int) -> None:
        self.slot[AT_NS] = until_ns + self.lead_ns
        self.arm(max(0, until_ns - time.monotonic_ns()) / 1e9)

    def _take(self, answer: Any) -> None:
        if self.at >= self.slot[READ]:
            raise WrongCount("the job gave more answers than it read records")
        if type(answer) is dict:  # a row, as a plain function gives it: two calls less in the hottest loop
            self._keep((answer,), None)
            return
        try:
            rows, note = self._read_answer(answer)
        except Exception as err:  # noqa: BLE001 - rows may be a generator, and then this is the job's code
            self._retry_or_fail(err)
        else:
            self._keep(rows, note)

    def _read_answer(self, answer: Any) -> tuple[Sequence[Any], str | None]:
        note = None
        if type(answer) is Answer:
            answer, note = answer
            _check_note(note)
        return as_rows(answer, self.columns), note

    def _keep(self, rows: Sequence[Any], note: str | None) -> None:
        self.answers.append(rows)
        self.notes.append(note)
        self.at += 1
        self.slot[ANSWERED] = self.at
        if self.at < self.slot[READ]:
            self.slot[AT_NS] = time.monotonic_ns() + self.lead_ns

    def _fail(self, failure: Failure) -> None:
        self.failures.append(failure)
        self.answers.append(())
        self.notes.append(None)
        self.at += 1
        self.slot[ANSWERED] = self.at
        self.slot[READ] = max(self.at, self.slot[READ])

    def _fail_unread(self, err: CodecError) -> None:
        if not isinstance(err, Unopened):  # what holds the records, not one of them
            raise JobBroken from err
        self._fail(describe_failure(self.at, err))

    def _blame(self, err: BaseException, begun: int) -> None:
        """File `err` on the one record that was unanswered, or find which record of this call it belongs to.

        Where none or several are unanswered, or answers were miscounted, what was answered since `begun` may
        stand at the wrong records: it is taken back, and each record is given to the job alone.
        """
        read = int(self.slot[READ])
        if read <= begun:
            raise err if isinstance(err, MemoryError) else JobBroken from err
        if read == self.at + 1 and not isinstance(err, WrongCount):
            began_ns = int(self.slot[AT_NS]) - self.lead_ns
            self._retry_or_fail(err)
            self._note_alone(began_ns)
            return
        self._take_back(begun)
        for index in range(begun, read):
            self.slot[READ] = index + 1
            self._run_alone(index)

    def _take_back(self, begun: int) -> None:
        del self.answers[begun - self.first :], self.notes[begun - self.first :]
        self.failures = [failure for failure in self.failures if failure.index < begun]
        self.at = self.slot[ANSWERED] = begun

    def _run_alone(self, index: int) -> None:
        began_ns = time.monotonic_ns()
        try:
            (record,) = self.records(index, index + 1)
            began_ns += self._take_turn(record)
            self.arm(0.0)
            self.slot[AT_NS] = time.monotonic_ns() + self.lead_ns
            rows, note = self._answer_alone(record)
        except BaseException as err:  # noqa: BLE001 - the boundary to the job's code
            self._retry_or_fail(err)
        else:
            self._keep(rows, note)
        self._note_alone(began_ns)

    def _note_alone(self, began_ns: int) -> None:
        self.spread.note(self.at - 1, self.at, time.monotonic_ns() - began_ns)

    def _answer_alone(self, record: Any) -> tuple[Sequence[Any], str | None]:
        """A record's rows and note, the job called for it alone; raises what the job raises, NotRows."""
        answers = list(self.call(iter((record,))))
        _check_single(answers)
        return self._read_answer(answers[0])

    def _retry_or_fail(self, err: BaseException) -> None:
        """The record at hand raised: try it again where that may help, else file it."""
        due_ns, n_tries = int(self.slot[AT_NS]) - self.lead_ns + round(self.timeout_s * 1e9), 1
        while not isinstance(cut := self._pause(err, n_tries, due_ns), str):
            n_tries += 1
            try:
                (record,) = self.records(self.at, self.at + 1)
                due_ns += self._take_turn(record)
                self.slot[AT_NS] = due_ns - round(self.timeout_s * 1e9) + self.lead_ns
                rows, note = self._answer_alone(record)
            except BaseException as again:  # noqa: BLE001 - the boundary to the job's code
                err = again
            else:
                self._keep(rows, note)
                return
        self._fail(describe_failure(self.at, err, n_tries, cut))

    def _pause(self, err: BaseException, n_tries: int, due_ns: int) -> str | None:
        """Wait until what raised is tried again; or say why it is not, empty where it would not help."""
        if n_tries > self.retries or not is_retryable(err, self.retry):
            return ""
        pause_s = choose_pause_s(err, n_tries - 1)
        if time.monotonic_ns() + pause_s * 1e9 >= due_ns:
            return f"; another {pause_s:,.1f} s later would be past its deadline of {self.timeout_s:g} s"
        time.sleep(pause_s)
        self.n_retries += 1
        return None

    def _make_block(self) -> Block:
        try:
            block = make_block(self.first, self.answers, self.notes, self.columns)
            self.check(block)
        except (NotRows, ValueError):
            self._fail_each(self._check_alone)
            return make_block(self.first, self.answers, self.notes, self.columns)
        return block

    def fail_unencodable(self) -> Block:
        """The block once more, after filing the records whose rows cannot be stored."""
        self._fail_each(self._pack_rows)
        return self._make_block()

    def _check_alone(self, index: int, rows: Sequence[Any]) -> None:
        self.check(make_block(index, [rows], [None], self.columns))

    def _pack_rows(self, _index: int, rows: Sequence[Any]) -> None:
        for row in rows:
            pack(dict(row) if isinstance(row, Mapping) else dict(zip(self.columns, row, strict=True)), "row")

    def _fail_each(self, check: Callable[[int, Sequence[Any]], object]) -> None:
        """Take back the answers that `check` refuses, and file their records."""
        for place, answer in enumerate(self.answers):
            try:
                check(self.first + place, answer)
            except (NotRows, ValueError, Unencodable) as err:
                self.failures.append(describe_failure(self.first + place, err))
                self.answers[place], self.notes[place] = (), None


def _check_note(note: Any) -> None:
    if note is not None and not isinstance(note, str):
        raise NotRows(f"a note must be text, not a {type(note).__name__}")


def _check_single(answers: list[Any]) -> None:
    if len(answers) != 1:
        raise WrongCount(f"the job gave {len(answers)} answers for one record")
