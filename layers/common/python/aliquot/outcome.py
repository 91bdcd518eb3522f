"""An outcome: what one attempt at a span of a chunk left behind.

Owns the outcome's object: blocks of rows and the failed records with their reasons. Which records it answers
for stands in its key. Imports `codec`, `envelope` and `rows`. When it is wrong, results cannot be merged.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aliquot.codec import pack, unpack
from aliquot.envelope import Buffer, Envelope, Part, is_count, is_texts, is_texts_by_name
from aliquot.errors import Undecodable
from aliquot.rows import Block
from aliquot.spans import SpanSet
from aliquot.trace import Trace

Place = tuple[int, int]
LONGEST_TEXT = 10_000  # characters of a message or traceback that are kept, the end where it is longer


@dataclass(frozen=True, slots=True)
class Failure:
    """A record that failed.

    Args:
        index: the record's place in its chunk.
        kind: parse, exception, crash, deadline, memory or environment.
        message: one line that says why.
        traceback: of an exception in the job's own code, else empty.
        stage: where it failed, if that was an earlier stage than the outcome's.
    """

    index: int
    kind: str
    message: str
    traceback: str = ""
    stage: str = ""

    def to_row(self) -> list[Any]:
        """Plain values, as outcomes and frames hold them."""
        row = [self.index, self.kind, self.message, self.traceback]
        return [*row, self.stage] if self.stage else row


@dataclass(frozen=True)
class Outcome:
    """Blocks and failures of one attempt, ready to be written.

    Args:
        blocks: packed blocks by the chunk's record that each begins at.
        kinds: kinds of value by column, over all blocks.
        failures: the failed records.
        cpu_ms: processor time of the host over these records.
        peak_mib: largest private memory of the host that was seen.
        n_retries: how often these records were tried again.
        places: by column, the block in which it appears first and its place there: sorting by it gives the
            columns in order of appearance, however records were shared out.
        trace: who made it and when, for the run's report; None of a tombstone.
    """

    blocks: Mapping[int, Part]
    kinds: Mapping[str, Sequence[str]]
    n_rows: int
    failures: Sequence[Failure] = ()
    cpu_ms: int = 0
    peak_mib: int = 0
    places: Mapping[str, Place] = field(default_factory=dict)
    n_retries: int = 0
    trace: Trace | None = None

    def to_bytes(self) -> bytes:
        """The outcome's object."""
        header = {
            "type": "outcome",
            "kinds": {name: sorted(kinds) for name, kinds in self.kinds.items()},
            "places": {name: list(place) for name, place in self.places.items()},
            "rows": self.n_rows,
            "failed": str(SpanSet.of_indices(failure.index for failure in self.failures)),
            "cpu_ms": self.cpu_ms,
            "peak_mib": self.peak_mib,
            "retries": self.n_retries,
        }
        if self.trace is not None:
            header["trace"] = self.trace.to_plain()
        parts = {f"block:{first}": part for first, part in sorted(self.blocks.items())}
        if self.failures:
            listed = [failure.to_row() for failure in self.failures]
            parts["failures"] = Part.of(pack(listed))
        return Envelope(header, parts).to_bytes()


class OutcomeReader:
    """An outcome's object, unpacked block by block as asked; raises Undecodable where it is damaged.

    Args:
        opens: values of registered types and tables are made, for a job, as each is asked for; else they
            stay `Stored`.
    """

    def __init__(self, body: Buffer, *, opens: bool = False) -> None:
        self._opens = opens
        self._envelope = Envelope.from_bytes(body, "outcome")
        read = self._envelope.read
        self.kinds: dict[str, list[str]] = read("kinds", dict, is_texts_by_name)
        placed = read("places", dict, _is_placed)
        self.places: dict[str, Place] = {name: (first, at) for name, (first, at) in placed.items()}
        self.n_rows: int = read("rows", int, is_count)
        self.cpu_ms: int = read("cpu_ms", int, is_count)
        self.peak_mib: int = read("peak_mib", int, is_count)
        self.n_retries: int = read("retries", int, is_count)
        self.trace = Trace.from_header(self._envelope.header)
        try:
            self.failed = SpanSet.parse(read("failed", str, lambda _: True))
        except ValueError as err:
            raise Undecodable("outcome", f"its failed records: {err}") from err

    def failures(self) -> list[Failure]:
        """The failed records, as they were filed."""
        if "failures" not in self._envelope.parts:
            return []
        listed = unpack(self._envelope.open("failures"), "failures")
        if not isinstance(listed, list) or not all(map(is_failure, listed)):
            raise Undecodable("outcome", "its failures are garbled")
        return [Failure(*row) for row in listed]

    def blocks(self, first: int, end: int) -> Iterator[Block]:
        """The blocks that hold records first..end of the chunk, cut to them, in record order."""
        names = sorted(
            (int(name.removeprefix("block:")), name)
            for name in self._envelope.parts
            if re.fullmatch(r"block:[0-9]+", name)
        )
        starts = [start for start, _ in names] + [1 << 62]
        for place, (start, name) in enumerate(names):
            if start < end and starts[place + 1] > first:
                block = Block.unpack(self._envelope.parts[name], opens=self._opens)
                if start < first or start + len(block.counts) > end:
                    block = block.slice(first, end)
                if len(block.counts):
                    yield block


def read_making(header: Mapping[str, Any]) -> tuple[Trace | None, int, int]:
    """What an outcome's header says of its making: its trace, CPU milliseconds and MiB at the most."""
    cpu_ms, peak_mib = header.get("cpu_ms"), header.get("peak_mib")
    return Trace.from_header(header), cpu_ms if is_count(cpu_ms) else 0, peak_mib if is_count(peak_mib) else 0


def _is_placed(places: dict[Any, Any]) -> bool:
    return all(
        type(name) is str and type(place) is list and len(place) == 2 and all(map(is_count, place))
        for name, place in places.items()
    )


def is_failure(row: Any) -> bool:
    """Whether these are a failure's plain values."""
    return type(row) is list and len(row) in (4, 5) and is_count(row[0]) and is_texts(row[1:])
