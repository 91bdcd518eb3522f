"""The record protocol: frames of records to a program, frames of answers from it (docs/record-protocol.md).

    host                                       program
      {"op": "open", "protocol": 1}       -->
                                          <--  {"op": "opened"}
      {"op": "records", "batch": 1, "records": [..]}
                                          -->
                                          <--  {"op": "answers", "batch": 1, "answers": [..]}

Owns the program's side as the job sees it. Imports the core's `frames`, the same as hosts speak. When it is
wrong, answers stand at other records than their own.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from aliquot.errors import BadOption, ParseFailure, Undecodable
from aliquot.frames import Channel, Frame
from aliquot_exec.fields import pick_fields
from aliquot_exec.process import ProgramFault, end_as, say_end, start

PROTOCOL = 1
OPEN_S = 60.0
LARGEST_FRAME_BYTES = 1 << 27  # any text that a program prints by mistake claims more
_BATCH_S = 0.02  # of work in one frame
_LARGEST_BATCH = 4096
_HINT = "; a program that reads lines takes --lines json, or tsv"
_GROWTH = 4  # a frame has at most so many times the records of the one before


class RecordProgram:
    """Records in, rows out, through one program that is started when it is first needed.

    Args:
        fields: columns that it gets, all where none are named.
    """

    def __init__(self, words: Sequence[str], fields: Sequence[str]) -> None:
        self._words, self._fields = words, fields
        self._program: _Running | None = None
        self._batch = 1

    def try_out(self) -> None:
        """Start the program once and end it; raises BadOption where it does not answer as it has to.

        Its input ends behind `open`: a filter of lines writes then, or ends, and is told at once.
        """
        _Running(self._words, is_trial=True).end()

    def __call__(self, records: Iterable[Any]) -> Iterator[Any]:
        """Answers of the program, in order."""
        if self._program is None:
            self._program = _Running(self._words)
        waiting: list[Any] = []
        for record in records:
            waiting.append(pick_fields(record, self._fields))
            if len(waiting) >= self._batch:
                yield from self._answer(waiting)
                waiting = []
        if waiting:
            yield from self._answer(waiting)

    def _answer(self, records: list[Any]) -> Iterator[Any]:
        assert self._program is not None  # noqa: S101 - it was started
        began_s = time.monotonic()
        try:
            for answer in self._program.ask(records):
                yield refuse(answer) if isinstance(answer, str) else answer
        except BaseException:  # what it still answers would be taken for answers to what comes next
            self._program.end()
            self._program = None
            raise
        wanted = int(_BATCH_S / max(1e-9, (time.monotonic() - began_s) / len(records)))
        self._batch = max(1, min(wanted, _GROWTH * len(records), _LARGEST_BATCH))


def refuse(reason: str) -> Iterator[Any]:
    """An answer that fails its record, and no other: the engine reads rows one record at a time."""
    raise ParseFailure(reason)
    yield  # which makes it a generator


class _Running:
    """A program that has said that it is ready.

    Args:
        is_trial: its input ends before it has answered.
    """

    def __init__(self, words: Sequence[str], *, is_trial: bool = False) -> None:
        self._process = start(words)
        assert self._process.stdin is not None  # noqa: S101 - for the type checker
        assert self._process.stdout is not None  # noqa: S101 - as above
        to, out = os.dup(self._process.stdin.fileno()), os.dup(self._process.stdout.fileno())
        self._process.stdin.close()
        self._process.stdout.close()
        self._channel = Channel(to, out, LARGEST_FRAME_BYTES)
        self._n_batches = 0
        self._channel.send({"op": "open", "protocol": PROTOCOL})
        if is_trial:
            self._channel.end_writing()
        try:
            self._hear_opened()
        except BaseException:
            self.end()
            raise

    def ask(self, records: list[Any]) -> Iterator[Any]:
        """An answer for each record, as they come; raises ProgramFault. Where the program ends, so do we."""
        self._n_batches += 1
        self._channel.send({"op": "records", "batch": self._n_batches, "records": records})
        n_open = len(records)
        while n_open:
            for frame in self._receive(None):
                answers = self._check_answers(frame)
                if not 0 < len(answers) <= n_open:
                    raise ProgramFault(f"the program sent {len(answers)} answers where {n_open} were due")
                n_open -= len(answers)
                yield from answers
            if n_open and self._channel.is_ended:
                end_as(self._process.wait())

    def _check_answers(self, frame: Frame) -> list[Any]:
        answers, batch = frame.get("answers"), frame.get("batch")
        if frame.get("op") != "answers" or not isinstance(answers, list):
            raise ProgramFault(f"the program sent a frame {_show(frame)}, and answers are due")
        if batch != self._n_batches:
            raise ProgramFault(f"the program answers batch {batch!r}, and {self._n_batches} is due")
        return answers

    def end(self) -> None:
        """End the program."""
        self._process.kill()
        self._process.wait()
        self._channel.close()

    def _hear_opened(self) -> None:
        until_s = time.monotonic() + OPEN_S
        frames: list[Frame] = []
        while not frames and not self._channel.is_ended:
            if time.monotonic() > until_s:
                raise BadOption(
                    "--command", f"the program has not answered `open` within {OPEN_S:g} s{_HINT}"
                )
            try:
                frames = self._receive(1.0)
            except ProgramFault as err:
                raise BadOption("--command", f"{err}{_HINT}") from err
        if not frames:
            said = say_end(self._process.wait())
            raise BadOption("--command", f"the program {said} before it answered `open`{_HINT}")
        if frames[0].get("op") == "failed":
            raise BadOption("--command", f"the program refuses: {frames[0].get('reason')}")
        if len(frames) > 1 or frames[0].get("op") != "opened":
            raise BadOption("--command", f"the program answers `open` with a frame {_show(frames[0])}{_HINT}")

    def _receive(self, timeout_s: float | None) -> list[Frame]:
        """What the program has sent, once it has; nothing at its end, or when the time is up."""
        poll = select.poll()
        poll.register(self._channel.fileno(), select.POLLIN)
        if self._channel.has_unsent:
            poll.register(self._channel.writer, select.POLLOUT)
        poll.poll(None if timeout_s is None else timeout_s * 1000)
        self._channel.flush()
        try:
            return self._channel.receive()
        except Undecodable as err:
            raise ProgramFault(f"the program wrote what is no frame: {err}") from err


def _show(frame: Frame) -> str:
    return f"{frame.get('op')!r}"[:80]
