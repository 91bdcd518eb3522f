"""Tasks as messages of a queue: who asks for which records, in which epoch, with what share of the window.

Text, because queues carry text: msgpack in base64, about 200 bytes. What is read is checked field by field,
so that a message that is not ours is refused by name and executes nothing.

Owns this form and how a slice's rest is split into further tasks. Imports `codec`, `keys`, `spans`.
"""

from __future__ import annotations

import base64
import binascii
import math
from dataclasses import dataclass, replace

from aliquot.codec import pack, unpack
from aliquot.errors import Undecodable
from aliquot.keys import ChunkId, OutcomeKey, is_leg, is_name
from aliquot.lane import Task
from aliquot.spans import SpanSet

VERSION = 1
MOST_CHILDREN = 32  # a hundred workers have work after the first slice; 4 calls of the queue
ENDLESS = 1 << 30  # a share that no window gives: the stack itself bounds what runs, and tasks may wait
MOST_HOPS = 1 << 16  # three weeks of slices
_LONGEST_TEXT = 256 << 10


@dataclass(frozen=True)
class TaskMessage:
    """A request for some records of a chunk.

    Args:
        run: the run's id.
        stage: the stage's name.
        chunk, spans: which records.
        epoch: the epoch in which it was sent; in a later one it does nothing.
        hops: how many hand-backs led here.
        share: how many tasks of the run's window it may become, or ENDLESS.
        rung: the memory rung of the queue that it lies in.
        is_alone: its records ran out of memory on a lower rung: one host works, with the memory of all.
        leg: the prefix of the leg that the chunk is of; empty for the dataset's.
        source: the outcome of the stage before that holds their rows; None in a leg's first stage.
    """

    run: str
    stage: str
    chunk: ChunkId
    spans: SpanSet
    epoch: int = 0
    hops: int = 0
    share: int = 1
    rung: str = "small"
    is_alone: bool = False
    leg: str = ""
    source: OutcomeKey | None = None

    @property
    def task(self) -> Task:
        """What a supervisor is given."""
        return Task(self.chunk, self.spans, self.source)

    def to_text(self) -> str:
        """The message's body."""
        fields: list[object] = [VERSION, self.run, self.stage, str(self.chunk), str(self.spans)]
        fields += [self.epoch, self.hops, self.share, self.rung, self.is_alone, self.leg]
        fields.append("" if self.source is None else str(self.source))
        return base64.b64encode(pack(fields)).decode()

    @classmethod
    def from_text(cls, text: str) -> TaskMessage:
        """Read a message's body; raises Undecodable."""
        if len(text) > _LONGEST_TEXT:
            raise Undecodable("message", f"{len(text)} characters are too many")
        try:
            fields = unpack(base64.b64decode(text, validate=True), "message")
            return _check_fields(fields)
        except (binascii.Error, ValueError, TypeError, OverflowError) as err:
            raise Undecodable("message", str(err)) from err


def hand_back(
    message: TaskMessage, rest: list[Task], record_s: float, slice_s: float, *, is_whole: bool = False
) -> list[TaskMessage]:
    """The tasks that a slice's rest becomes, so that parallelism grows by itself.

    As many as the rest has slices of work, at most MOST_CHILDREN and the share that the message carries;
    shares (but ENDLESS) are divided among them and hops counted on. None past MOST_HOPS: what is open is then
    a tally's to send again, should anything come of that. One where they are `is_whole`: tried together.
    """
    n_records = sum(len(task.spans) for task in rest)
    if not n_records or message.hops >= MOST_HOPS:
        return []
    # of a run whose time is up a slice has none, and may have answered a step all the same
    n_wanted = n_records * record_s / slice_s if slice_s and not is_whole else 1
    n_children = max(1, min(math.ceil(min(MOST_CHILDREN, n_wanted)), message.share, n_records))
    spans = SpanSet.of(span for task in rest for span in task.spans.spans)
    children: list[TaskMessage] = []
    for place in range(n_children):
        part, spans = spans.take(math.ceil(len(spans) / (n_children - place)))
        share = max(1, (message.share * (place + 1)) // n_children - (message.share * place) // n_children)
        share = ENDLESS if message.share == ENDLESS else share
        children.append(replace(message, spans=part, hops=message.hops + 1, share=share))
    return children


def _check_fields(fields: object) -> TaskMessage:
    if not isinstance(fields, list) or len(fields) != 12 or fields[0] != VERSION:
        raise Undecodable("message", f"is not a task of version {VERSION}")
    _, run, stage, chunk, spans, epoch, hops, share, rung, is_alone, leg, source = fields
    if not all(map(is_name, (run, stage, rung))):
        raise Undecodable("message", "names a run, a stage or a rung that cannot be")
    if not (isinstance(chunk, str) and isinstance(spans, str)):
        raise Undecodable("message", "names no chunk or no records")
    if not all(isinstance(number, int) and 0 <= number < 1 << 31 for number in (epoch, hops, share)):
        raise Undecodable("message", "has numbers that cannot be")
    if not isinstance(is_alone, bool):
        raise Undecodable("message", "has a flag that cannot be")
    if not is_leg(leg) or not isinstance(source, str):
        raise Undecodable("message", "names a leg or an outcome that cannot be")
    records = ChunkId.parse(chunk), SpanSet.parse(spans)
    before = OutcomeKey.parse(source) if source else None
    message = TaskMessage(run, stage, *records, epoch, hops, share, rung, is_alone, leg, before)
    if before is not None and (before.chunk != message.chunk or message.spans - before.spans):
        raise Undecodable("message", "asks for records that the outcome it names does not answer for")
    if not message.spans or message.spans - message.chunk.all_records:
        raise Undecodable("message", f"asks for records {spans} of chunk {chunk}")
    return message
