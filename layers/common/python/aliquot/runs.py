"""Runs of an exchange: rows of many outcomes, sorted by key, in blocks that can be read one by one.

    rows --RunWriter--> one object, and its index: of each block the first and last key and where it lies
    index, key range --read_run--> the rows of the range, in order, a block at a time

Rows are sorted by (key, record, place), so that a group's rows come in the order of the dataset whatever run
they lie in. Owns this form. Imports `codec`, `envelope` and `store`. When it is wrong, rows are lost between
two stages.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aliquot.codec import pack, unpack
from aliquot.envelope import Envelope, Part, align, is_count, is_texts, read_header
from aliquot.errors import Undecodable
from aliquot.job import Key
from aliquot.outlet import rank_key
from aliquot.store import Store

BLOCK_BYTES = 256 << 10  # of a block before compression, by estimate: what a merge holds of each run
_SAMPLED = 64  # rows by which a block's bytes are estimated

Place = tuple[int, int, int, int]


@dataclass(frozen=True)
class Row:
    """A row on its way to its group.

    Args:
        place: the record of the dataset that it came from; and its chunk, its unit's place in that, its own
            in the unit's rows, by which rows of one record are in order.
    """

    key: Key
    place: Place
    values: Sequence[Any]

    @property
    def order(self) -> tuple[tuple[int, Any], Place]:
        """What rows are sorted by."""
        return rank_key(self.key), self.place


@dataclass(frozen=True)
class BlockNote:
    """Of a block of a run: its keys, how many rows, and where it lies."""

    first: Key
    last: Key
    n_rows: int
    offset: int
    stored_bytes: int
    crc: int
    plain_bytes: int

    def to_plain(self) -> list[Any]:
        """Plain values, for an index."""
        return list(vars(self).values())


@dataclass(frozen=True)
class RunNote:
    """The index of one run: its object, its rows' columns, its blocks in order."""

    key: str
    names: Sequence[str]
    blocks: Sequence[BlockNote]

    @property
    def n_rows(self) -> int:
        """Rows of the run."""
        return sum(block.n_rows for block in self.blocks)

    @property
    def plain_bytes(self) -> int:
        """Bytes of the run before compression."""
        return sum(block.plain_bytes for block in self.blocks)

    def to_plain(self) -> list[Any]:
        """Plain values, for an index."""
        return [self.key, list(self.names), [block.to_plain() for block in self.blocks]]

    @classmethod
    def from_plain(cls, plain: Any) -> RunNote:
        """Of an index's values; raises Undecodable."""
        try:
            key, names, blocks = plain
            notes = [BlockNote(*block) for block in blocks]
            numbers = [number for block in blocks for number in block[2:]]
            if not is_texts([key, *names]) or not all(map(is_count, numbers)):
                raise ValueError("it has fields of another kind")  # noqa: TRY301 - read as damage
            for note in notes:
                rank_key(note.first), rank_key(note.last)
        except (TypeError, ValueError, KeyError) as err:
            raise Undecodable("index of an exchange", str(err)) from err
        return cls(key, names, notes)


@dataclass
class RunWriter:
    """Rows that become a run.

    Attributes:
        n_bytes: of the rows so far, by estimate.
    """

    keys: list[Key] = field(default_factory=list)
    places: tuple[array[int], ...] = field(default_factory=lambda: tuple(array("q") for _ in range(4)))
    columns: dict[str, list[Any]] = field(default_factory=dict)
    n_bytes: int = 0

    def add(self, keys: Sequence[Key], places: Sequence[Place], columns: Mapping[str, Sequence[Any]]) -> None:
        """Add rows; a column that some lack holds None there."""
        before = len(self.keys)
        for name in columns:
            if name not in self.columns:
                self.columns[name] = [None] * before
        self.keys.extend(keys)
        for held, numbers in zip(self.places, zip(*places, strict=True), strict=True):
            held.extend(numbers)
        for name, values in self.columns.items():
            values.extend(columns.get(name, [None] * len(keys)))
        self.n_bytes += _estimate_bytes(keys, columns)

    def write(self, store: Store, key: str) -> RunNote:
        """Sort the rows and put them as one object; gives its index. Raises StoreError."""
        names = list(self.columns)
        ranks = list(zip(map(rank_key, self.keys), *self.places, strict=True))
        order = sorted(range(len(ranks)), key=ranks.__getitem__)
        del ranks
        n_blocks = max(1, -(-self.n_bytes // BLOCK_BYTES))
        size = max(1, -(-len(order) // n_blocks))
        cut = [order[first : first + size] for first in range(0, len(order), size)]
        parts = [self._pack(rows, names) for rows in cut]
        header = {"type": "run", "names": names, "rows": len(order)}
        body = Envelope(header, {f"block:{at}": part for at, part in enumerate(parts)}).to_bytes()
        store.put(key, body)
        offset, notes = read_header(body, "run")[1], []
        for rows, part in zip(cut, parts, strict=True):
            ends = self.keys[rows[0]], self.keys[rows[-1]]
            offset, size_bytes = align(offset), len(part.stored)
            notes.append(BlockNote(*ends, len(rows), offset, size_bytes, part.crc, part.plain_bytes))
            offset += size_bytes
        return RunNote(key, names, notes)

    def _pack(self, rows: Sequence[int], names: Sequence[str]) -> Part:
        keys, places = [self.keys[at] for at in rows], [[held[at] for held in self.places] for at in rows]
        columns = [[self.columns[name][at] for at in rows] for name in names]
        return Part.of(pack([keys, places, columns]), "rows of an exchange")


def read_run(
    store: Store, run: RunNote, names: Sequence[str], low: Key | None, high: Key | None
) -> Iterator[Row]:
    """The rows of a run whose keys are from `low` up to, not including, `high`, in order.

    Args:
        names: the columns wanted, which may be more than the run has: there None.
    Raises:
        Undecodable, StoreError: the run is damaged, or gone.
    """
    wanted = [run.names.index(name) if name in run.names else -1 for name in names]
    for block in run.blocks:
        if not overlaps(block, low, high):
            continue
        stored = store.get_range(run.key, block.offset, block.stored_bytes)
        keys, places, columns = _open(run.key, block, stored, len(run.names))
        held = [columns[at] if at >= 0 else [None] * len(keys) for at in wanted]
        for at, key in enumerate(keys):
            if is_within(key, low, high):
                yield Row(key, tuple(places[at]), [column[at] for column in held])


def overlaps(block: BlockNote, low: Key | None, high: Key | None) -> bool:
    """Whether a block may hold a key from `low` up to, not including, `high`."""
    is_past = high is not None and rank_key(block.first) >= rank_key(high)
    is_before = low is not None and rank_key(block.last) < rank_key(low)
    return not is_past and not is_before


def is_within(key: Key, low: Key | None, high: Key | None) -> bool:
    """Whether a key is from `low` up to, not including, `high`."""
    ranked = rank_key(key)
    return (low is None or ranked >= rank_key(low)) and (high is None or ranked < rank_key(high))


def _open(
    name: str, block: BlockNote, stored: bytes, n_columns: int
) -> tuple[list[Any], list[Any], list[Any]]:
    plain = Part(stored, block.crc, block.plain_bytes).open(name)
    opened = unpack(plain, name)
    is_sound = type(opened) is list and len(opened) == 3 and all(type(each) is list for each in opened)
    is_sound = is_sound and len(opened[2]) == n_columns
    lengths = {len(each) for each in (opened[0], opened[1], *opened[2])} if is_sound else set()
    if lengths != {block.n_rows}:
        raise Undecodable(name, f"a block of it does not hold the {block.n_rows} rows that its index says")
    keys, places, columns = opened
    return keys, places, columns


def _estimate_bytes(keys: Sequence[Key], columns: Mapping[str, Sequence[Any]]) -> int:
    """Of these rows when packed, by some of them, taken evenly."""
    step = max(1, len(keys) // _SAMPLED)
    taken = [values[::step] for values in (keys, *columns.values())]
    n_taken = len(taken[0])
    return len(pack(taken)) * len(keys) // n_taken + 20 * len(keys) if n_taken else 0
