"""What a host may say, checked before it is believed: a job can write to the pipe that its host answers on.

Owns the form of the frames that come from hosts (docs/host-protocol.md). Imports `envelope`'s checks. When it
is wrong, a job that scribbles on its pipe ends the run, or answers for records that it was not given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aliquot.envelope import is_count, is_texts, is_texts_by_name
from aliquot.errors import Undecodable
from aliquot.frames import Frame
from aliquot.outcome import is_failure
from aliquot.spans import Span
from aliquot.trace import is_spread

NO_SPREAD: list[Any] = [[], []]  # of a host that does not measure its records


def check_frames(frames: Iterable[Frame], sent: Mapping[int, Span]) -> None:
    """Raise Undecodable unless these are what a host may say that was sent these records, by thread."""
    asked = dict(sent)
    for frame in frames:
        said = frame.get("op")
        if said == "answer":
            thread = frame.get("thread")
            span = asked.pop(thread, None) if type(thread) is int else None
            if span is None or not _is_answer(frame, *span):
                raise Undecodable("frame", "answers what was not asked")
        elif said == "failed":
            _check(isinstance(frame.get("error"), str) and type(frame.get("args")) is list)
        elif said == "broken":
            _check(is_texts([frame.get("chunk"), frame.get("reason")]))
        else:
            _check(said == "opened")


def _check(is_sound: bool) -> None:
    if not is_sound:
        raise Undecodable("frame", "is none that a host may send")


def _is_answer(frame: Frame, first: int, end: int) -> bool:
    """Whether a frame answers for the records `first` up to some record, at most `end`."""
    block, until, kinds = frame.get("block"), frame.get("end"), frame.get("kinds")
    return (
        frame.get("first") == first
        and isinstance(until, int)
        and first < until <= end
        and type(block) is list
        and [type(each) for each in block] == [bytes, int, int]
        and type(kinds) is dict
        and is_texts_by_name(kinds)
        and all(is_count(frame.get(name)) for name in ("rows", "wall_ns", "cpu_ns"))
        and is_count(frame.get("retries", 0))
        and _are_failures(frame.get("failures"), first, until)
        and is_spread(frame.get("spread", NO_SPREAD))
    )


def _are_failures(rows: Any, first: int, end: int) -> bool:
    return type(rows) is list and all(is_failure(row) and first <= row[0] < end for row in rows)
