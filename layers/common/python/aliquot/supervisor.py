"""The supervisor: drives hosts through tasks, one lane each, and turns what they answer into outcomes.

    tasks --> lanes --step--> hosts
              lanes <-answer- hosts           a lane that idles takes half of what another has left
              lanes --outcome--> ledger       at least once a slice

A host may crash, hang or eat memory at any moment. The supervisor reads from the shared page which records
were at hand, runs them again alone, and files a record that ends a fresh host by itself; everything else
goes on in a new host. A host of several threads has a step for each of them; the next goes out when one is
answered, so that no thread waits for the slowest. The supervisor is one thread around a selector: nothing it
does blocks but the launch of a host (milliseconds) and the put of an outcome.

The same code runs in the Lambda handler and on the user's machine. Imports `lane` and `launch`; the ledger
is behind the two functions that it is given. When it is wrong, a run hangs or loses records.
"""

from __future__ import annotations

import selectors
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from aliquot.bounds import Counts, Limits
from aliquot.causes import break_protocol, exceed_memory, explain_end, miss_deadline, say_memory
from aliquot.envelope import Buffer
from aliquot.errors import OpenFailed, Undecodable
from aliquot.frames import Frame
from aliquot.keys import ChunkId, OutcomeKey
from aliquot.lane import Hand, Lane, Slice, Task, pick_victim
from aliquot.launch import Ended, Launcher, raise_refusal
from aliquot.outcome import Failure, Outcome
from aliquot.page import ANSWERED, AT_NS, READ
from aliquot.processes import ProcessReader, name_end
from aliquot.protocol import check_frames
from aliquot.spans import SpanSet

_POLL_S = 0.02  # of memory and deadlines; a 3 GB fill overshoots by what it can write in this time
_WAIT_S, _WAIT_SHARE = 0.002, 0.1  # while a lane idles and tasks may still come: a tenth of how long none has
_LARGEST_SLICE_BYTES = 16 << 20
_LEAST_SHARE_S = 0.02  # work worth giving to another lane
_LOADED_BYTES_S = 2e8  # through two pipes' ends, unpacked: 64 arrays of 100 kB take 30 ms
_MOST_BARREN = 3

PutOutcome = Callable[[ChunkId, SpanSet, Outcome, int], object]


class TaskSource(Protocol):
    """Where tasks come from."""

    def next_task(self) -> Task | None:
        """The next task, None where there is none now."""

    @property
    def is_exhausted(self) -> bool:
        """Whether no further task will come."""


class Supervisor:
    """Runs tasks on `n_lanes` hosts.

    Args:
        launcher: starts hosts; the job is open.
        read_object: gives the object of a key: a chunk, or an outcome of the stage before.
        put_outcome: takes (chunk, spans, outcome, wall nanoseconds).
        counts: go on counting here.
        name: goes before the numbers of its lanes where outcomes name who made them.
    """

    def __init__(
        self,
        launcher: Launcher,
        n_lanes: int,
        limits: Limits,
        reader: ProcessReader,
        read_object: Callable[[str], Buffer],
        put_outcome: PutOutcome,
        counts: Counts | None = None,
        name: str = "",
    ) -> None:
        self._launcher, self._limits, self._reader = launcher, limits, reader
        self._read_object, self._put_outcome = read_object, put_outcome
        hands = range(limits.threads)
        self._lanes = [
            Lane(number, tuple(map(Hand, hands)), launcher.step_s, is_whole=limits.is_whole)
            for number in range(n_lanes)
        ]
        self._selector = selectors.DefaultSelector()
        self._polled_s = self._moved_s = 0.0
        self._deferred: dict[tuple[ChunkId, OutcomeKey | None], SpanSet] = {}
        self.counts = counts or Counts()
        self._name = name

    def run(
        self,
        tasks: TaskSource,
        should_stop: Callable[[Counts], bool],
        is_over: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Work until no task is left or `should_stop`; says whether all was done. What is answered is put.

        Once `is_over`, no further step is sent and those under way end, but those that have not begun for
        want of a turn: `leftover` is what remains.
        """
        is_done = False
        try:
            while not is_done and not should_stop(self.counts):
                if is_over():
                    now_ns = time.monotonic_ns()
                    if not any(lane.is_working(now_ns) for lane in self._lanes):
                        break
                else:
                    self._feed(tasks)
                is_done = tasks.is_exhausted and all(lane.is_idle for lane in self._lanes)
                if not is_done:
                    self._listen(tasks)
                    self._watch()
        finally:
            for lane in self._lanes:
                self._release(lane)
            self._selector.close()
        for lane in self._lanes:
            self._put(lane)
        return is_done

    def take_rest(self) -> list[Task]:
        """What was not sent to a host yet: from here on it is not this supervisor's."""
        rest = [lane.make_task(lane.todo) for lane in self._lanes if lane.chunk is not None and lane.todo]
        for lane in self._lanes:
            lane.todo = SpanSet()
        return rest

    @property
    def leftover(self) -> list[Task]:
        """After a run: what the tasks that were taken asked for and nobody answered."""
        return [
            lane.make_task(lane.todo | lane.suspects | SpanSet.of(lane.sent.values()))
            for lane in self._lanes
            if lane.chunk is not None and not lane.is_idle
        ]

    @property
    def deferred(self) -> list[Task]:
        """The records that ran out of memory, where they are left for a host with more."""
        return [Task(chunk, spans, source) for (chunk, source), spans in self._deferred.items()]

    @property
    def record_s(self) -> float:
        """Wall time of a record on a host, as far as was seen; 0 where none was answered."""
        known = [lane.record_s for lane in self._lanes if lane.record_s is not None]
        return sum(known) / len(known) / self._limits.threads if known else 0.0

    def _feed(self, tasks: TaskSource) -> None:
        for lane in self._lanes:
            while (hand := lane.free_hand) is not None:
                if lane.is_idle or self._is_slice_over(lane):
                    self._put(lane)
                if lane.is_idle and not self._give_task(lane, tasks):
                    break
                if not lane.has_more:
                    break  # what is with the other hands is the last of its task
                self._send(lane, hand)

    def _is_slice_over(self, lane: Lane) -> bool:
        is_due = time.monotonic() - lane.slice.started_s >= self._limits.slice_s
        return is_due or lane.slice.stored_bytes >= _LARGEST_SLICE_BYTES

    def _give_task(self, lane: Lane, tasks: TaskSource) -> bool:
        task = tasks.next_task()
        if task is None:
            victim = pick_victim(self._lanes, _LEAST_SHARE_S)
            if victim is None or victim.chunk is None:
                return False
            task = victim.make_task(victim.give_half())
            lane.record_s, lane.last_step = victim.record_s, victim.last_step
        self._moved_s = time.monotonic()
        lane.begin(task, self._moved_s)
        return True

    def _send(self, lane: Lane, hand: Hand) -> None:
        if lane.host is None:
            self._launch(lane)
        assert lane.host is not None  # noqa: S101 - it was launched
        assert lane.chunk is not None  # noqa: S101 - it has a task
        if lane.loaded != lane.key:
            body = self._read_object(lane.key)
            lane.host.channel.send({"op": "chunk", "chunk": str(lane.chunk), "body": body})
            lane.loaded, lane.load_s = lane.key, len(body) / _LOADED_BYTES_S
        (first, end), step_s = lane.next_span(), lane.choose_step_s()
        slot = lane.host.slots[hand.number]
        slot[READ] = slot[ANSWERED] = first
        slot[AT_NS] = 0
        lane.start_mib = self._reader.read_tree_mib(lane.host.pid) if lane.suspects else 0.0
        lane.mark_sent(hand, (first, end), time.monotonic())
        step = {"op": "step", "thread": hand.number, "first": first, "end": end}
        lane.host.channel.send({**step, "budget_ms": round(step_s * 1000)})

    def _launch(self, lane: Lane) -> None:
        lane.host = self._launcher.launch(lane.number)
        lane.loaded, lane.n_steps, lane.n_shared_steps, lane.peak_mib = "", 0, 0, 0.0
        lane.doom, lane.late = None, ()
        lane.is_open = lane.host.is_open
        lane.birth_mib = self._reader.read_tree_mib(lane.host.pid)
        lane.file_mib = self._reader.read_file_mib(lane.host.pid)
        self._selector.register(lane.host.channel, selectors.EVENT_READ, lane)

    def _choose_wait_s(self, tasks: TaskSource) -> float:
        if tasks.is_exhausted or all(lane.is_busy for lane in self._lanes):
            return _POLL_S
        return min(_POLL_S, max(_WAIT_S, _WAIT_SHARE * (time.monotonic() - self._moved_s)))

    def _listen(self, tasks: TaskSource) -> None:
        """Wait for answers, for room in a pipe, or until the next look at memory and deadlines is due."""
        for lane in self._lanes:
            if lane.host is not None and lane.host.channel.has_unsent:
                with suppress(KeyError):
                    self._selector.unregister(lane.host.channel.writer)
                self._selector.register(lane.host.channel.writer, selectors.EVENT_WRITE, lane)
        for key, events in self._selector.select(self._choose_wait_s(tasks)):
            lane, self._moved_s = key.data, time.monotonic()
            if lane.host is None:
                continue
            if events & selectors.EVENT_WRITE:
                self._selector.unregister(lane.host.channel.writer)
                lane.host.channel.flush()
            else:
                self._hear(lane)

    def _hear(self, lane: Lane) -> None:
        assert lane.host is not None  # noqa: S101 - it is registered
        channel = lane.host.channel
        try:
            frames = channel.receive()
            check_frames(frames, lane.sent)
        except Undecodable as err:  # the job, or a library that it uses, wrote to our pipe
            lane.doom = break_protocol(err)
            self._bury_host(lane)
            return
        for frame in frames:
            if lane.host is None:
                break  # an answer had it replaced: what other threads answered was taken back with it
            self._take(lane, frame)
        if channel.is_ended:
            self._bury_host(lane)

    def _take(self, lane: Lane, frame: Frame) -> None:
        if frame["op"] == "answer":
            self._take_answer(lane, frame)
        elif frame["op"] == "opened":
            lane.is_open = True
            for hand in lane.hands:
                hand.sent_s = time.monotonic()
        elif frame["op"] == "failed":
            raise_refusal(self._launcher.job, frame)
        elif frame["op"] == "broken":
            raise Undecodable(lane.loaded, frame["reason"])

    def _take_answer(self, lane: Lane, frame: Frame) -> None:
        """Note an answer. Memory that ran out in a host with a past may be a leak: such records run again."""
        is_certain = lane.n_steps == 1 and lane.was_alone_and_fresh(self._limits.memory_mib)
        short = SpanSet.of_indices(row[0] for row in frame["failures"] if row[1] == "memory")
        doubtful = SpanSet() if is_certain and not self._limits.defers_memory else short
        if short and lane.host is not None:  # what was refused at once came between two looks
            lane.peak_mib = max(lane.peak_mib, self._reader.read_tree_mib(lane.host.pid))
        for row in frame["failures"]:
            if row[1] == "memory":
                row[2] = f"{row[2]}; {say_memory(lane.peak_mib, self._limits.memory_mib)}"
        self.counts.add(lane.take_answer(frame, doubtful))
        self.counts.n_answered += frame["end"] - frame["first"] - len(doubtful)
        if is_certain and doubtful:
            self._defer(lane, doubtful)
        elif doubtful:
            self._release(lane)
            lane.todo |= lane.take_back()
            self.counts.n_host_ends += 1
            self._put(lane)

    def _watch(self) -> None:
        """Put what is due; kill hosts past their memory or their record's deadline."""
        now_s = time.monotonic()
        if now_s - self._polled_s < _POLL_S:
            return
        self._polled_s = now_s
        for lane in self._lanes:
            if lane.host is None or not lane.is_busy or lane.doom is not None:
                continue
            if now_s - lane.slice.started_s >= self._limits.slice_s:
                self._put(lane)
            private_mib = self._reader.read_tree_mib(lane.host.pid)
            lane.peak_mib = max(lane.peak_mib, private_mib)
            if private_mib > self._limits.memory_mib:
                lane.doom = exceed_memory(private_mib, self._limits.memory_mib)
            elif lane.stuck_s(now_ns := time.monotonic_ns()) > self._limits.record_timeout_s:
                lane.doom = miss_deadline(self._limits.record_timeout_s)
                lane.late = lane.find_late(now_ns, self._limits.record_timeout_s)
            if lane.doom is not None:
                lane.host.kill()

    def _bury_host(self, lane: Lane) -> None:
        """A host is gone: find whom to blame, file or isolate, and let the lane go on in a new one."""
        if lane.host is None:
            return  # its last answer had it replaced
        in_flight = SpanSet.of(lane.sent.values())
        late = tuple(filter(None, (group & in_flight for group in lane.late)))
        groups = late or lane.accuse()
        stuck_s, was_waiting = lane.stuck_s(time.monotonic_ns()), lane.was_waiting
        ended = self._release(lane)
        self.counts.n_host_ends += 1
        timeout_s = self._limits.record_timeout_s
        if ended.status == signal.SIGALRM and stuck_s > timeout_s:  # its own timer was quicker than we
            lane.doom = lane.doom or miss_deadline(timeout_s)
        was_alone_and_fresh = lane.was_alone_and_fresh(self._limits.memory_mib)
        lane.todo |= lane.take_back() - SpanSet.of(span for group in groups for span in group.spans)
        if in_flight and not groups and not was_waiting:
            self._count_barren(lane, ended)
        for group in groups:
            reached_mib = max(lane.peak_mib, ended.peak_mib - lane.file_mib)
            cause = lane.doom or explain_end(ended.status, reached_mib, self._limits.memory_mib)
            is_late = cause.kind == "deadline" and (bool(late) or len(groups) == 1)
            is_proven = lane.is_unit(group) and (is_late or was_alone_and_fresh)
            self._judge(lane, group, cause, stuck_s, is_proven=is_proven)
        if lane.slice.answers:
            self._put(lane)

    def _judge(
        self, lane: Lane, suspects: SpanSet, cause: Failure, took_s: float, *, is_proven: bool
    ) -> None:
        """File a record that ended its host, or leave it to one with more memory; else run suspects alone."""
        if is_proven and cause.kind == "memory" and self._limits.defers_memory:
            self._defer(lane, suspects)
        elif is_proven:
            self._file(lane, suspects, cause, took_s)
        else:
            lane.suspects |= suspects

    def _defer(self, lane: Lane, spans: SpanSet) -> None:
        """Leave records to a host with more memory; of this lane's slice they are no part."""
        assert lane.chunk is not None  # noqa: S101 - it has a task
        lane.suspects -= spans
        held = lane.chunk, lane.source
        self._deferred[held] = self._deferred.get(held, SpanSet()) | spans
        self._put(lane)

    def _file(self, lane: Lane, suspects: SpanSet, cause: Failure, took_s: float) -> None:
        self.counts.n_answered += len(suspects)
        self.counts.add(lane.file(suspects, cause, took_s))

    def _count_barren(self, lane: Lane, ended: Ended) -> None:
        lane.n_barren += 1
        if lane.n_barren >= _MOST_BARREN:
            why = lane.doom.message if lane.doom else f"the last {name_end(ended.status)}"
            more = "; give more with --memory" if lane.doom and lane.doom.kind == "memory" else ""
            said = f"{_MOST_BARREN} hosts in a row ended before they read a record: {why}{more}"
            raise OpenFailed(self._launcher.job, said)

    def _put(self, lane: Lane) -> None:
        worker = f"{self._name}{lane.number}"
        for done in lane.take_outcomes(worker, time.monotonic(), time.time()):
            assert lane.chunk is not None  # noqa: S101 - it has answered for some of its records
            self._put_outcome(lane.chunk, done.spans, done.outcome, done.wall_ns)
        lane.slice = Slice(time.monotonic())

    def _release(self, lane: Lane) -> Ended:
        if lane.host is None:
            return Ended(0, 0.0)
        self._selector.unregister(lane.host.channel)
        with suppress(KeyError, ValueError):
            self._selector.unregister(lane.host.channel.writer)
        lane.host.kill()
        ended = self._launcher.reap(lane.host)
        lane.host = None
        return ended
