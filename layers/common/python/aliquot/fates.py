"""What became of the dataset's records behind exchanges: which failed there, and which were not tried.

A group that failed takes all records with it whose rows are in it: a record is done when all its descendants
are. Of a leg that was not reached no record is done.

Owns this rule. Imports `merge` and `grouped`. When it is wrong, a record that failed passes for done.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from aliquot.codec import pack, unpack
from aliquot.envelope import Envelope, Part, is_count
from aliquot.errors import Undecodable
from aliquot.grouped import list_records
from aliquot.ledger import Ledger
from aliquot.merge import read_failures
from aliquot.outcome import Failure, is_failure
from aliquot.roster import Roster
from aliquot.spans import SpanSet

NOTHING = SpanSet()
Settled = tuple[Ledger, Roster]


@dataclass(frozen=True)
class Fates:
    """Records of the dataset by their number.

    Args:
        failed: those of a group that failed, in which stage and why; in the earliest of several.
        untried: those of a group that was not tried.
        is_cut: the last leg was not reached: nothing is done.
    """

    failed: Mapping[int, Failure] = field(default_factory=dict)
    untried: SpanSet = NOTHING
    is_cut: bool = False

    def to_bytes(self) -> bytes:
        """As an object."""
        listed = [[record, *failure.to_row()] for record, failure in self.failed.items()]
        header = {"type": "fates", "is_cut": self.is_cut}
        parts = {
            "failed": Part.of(pack(listed)),
            "untried": Part.of(pack(list(map(list, self.untried.spans)))),
        }
        return Envelope(header, parts).to_bytes()

    @classmethod
    def from_bytes(cls, body: bytes) -> Fates:
        """Read an object; raises Undecodable."""
        envelope = Envelope.from_bytes(body, "fates")
        listed, spans = (unpack(envelope.open(part), part) for part in ("failed", "untried"))
        try:
            rows = [(record, row) for record, *row in listed]
            if not all(is_count(record) and is_failure(row) for record, row in rows):
                raise ValueError("its failures are garbled")  # noqa: TRY301 - read as damage
            untried = SpanSet.of((first, end) for first, end in spans)
        except (TypeError, ValueError) as err:
            raise Undecodable("fates", str(err)) from err
        failed = {record: Failure(*row) for record, row in rows}
        return cls(failed, untried, envelope.read("is_cut", bool, lambda _: True))

    def find_failed(self, first: int, end: int) -> Iterator[Failure]:
        """The failures of records first..end of the dataset, by their place from `first` on."""
        if not self.failed:
            return
        for record in range(first, end):
            failure = self.failed.get(record)
            if failure is not None:
                yield Failure(record - first, failure.kind, failure.message, failure.traceback, failure.stage)

    def find_untried(self, first: int, end: int) -> SpanSet:
        """The records of first..end that were not tried, by their place from `first` on."""
        if self.is_cut:
            return SpanSet.range(0, end - first)
        held = self.untried & SpanSet.range(first, end)
        return SpanSet.of((a - first, b - first) for a, b in held.spans)

    def is_whole(self, record: int) -> bool:
        """Whether all of a record's groups are done."""
        return record not in self.failed and record not in self.untried


def gather_fates(legs: Iterable[Settled | None]) -> Fates:
    """What became of records in the legs behind the first; None for one that was not reached.

    Raises:
        UnreadableOutcome: an outcome is damaged.
    """
    failed: dict[int, Failure] = {}
    untried: list[int] = []
    for leg in legs:
        if leg is None:
            return Fates(failed, SpanSet.of_indices(untried), is_cut=True)
        ledger, roster = leg
        for chunk, shares in roster.shares.items():
            failures = read_failures(ledger, shares)
            gap = roster.not_tried.get(chunk, SpanSet())
            if failures or gap:
                reader = ledger.read_chunk(chunk)
                for failure in failures:
                    for record in list_records(reader, failure.index):
                        failed.setdefault(record, failure)
                untried.extend(record for index in gap for record in list_records(reader, index))
    return Fates(failed, SpanSet.of_indices(untried))


def gather_legs(settled: Sequence[tuple[object, Ledger, Roster]], n_legs: int) -> Fates:
    """As `gather_fates`, of the legs that were reached, of so many."""
    reached = [(ledger, roster) for _, ledger, roster in settled[1:]]
    return gather_fates([*reached, *[None] * (n_legs - len(settled))])


def digest_done(ledger: Ledger, roster: Roster) -> str:
    """A digest of which units of a leg are done, by which whoever settles it tells what is exchanged.

    Raises:
        UnreadableOutcome: an outcome is damaged.
    """
    digest = sha256(ledger.prefix.encode())
    for chunk, shares in roster.shares.items():
        failed = SpanSet.of_indices(failure.index for failure in read_failures(ledger, shares))
        digest.update(f"{chunk} {failed} {roster.not_tried.get(chunk, '')}\n".encode())
    return digest.hexdigest()
