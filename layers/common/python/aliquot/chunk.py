"""A chunk: consecutive records of a dataset as columns, with where each came from.

Columns are parts of their own in the envelope, so that a merge that wants one column unpacks one. Records
are made from columns where they are used (in the host), not before. Rows of the input that did not parse
stand among the records with None in every column and a reason under `bad`.

Owns the chunk's object. Imports `codec`, `envelope`, `keys` and `rows`. When it is wrong, records change.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, cast

from aliquot.codec import is_column, pack, unpack, unpack_late
from aliquot.columnar import is_arrow, pack_table, unpack_table
from aliquot.envelope import Buffer, Envelope, Part, is_count, is_texts, is_texts_by_name
from aliquot.errors import Undecodable
from aliquot.keys import ChunkId
from aliquot.rows import name_kinds

_TABLE = "table"
Provenance = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class BadRow:
    """A row of the input that did not parse: why, and its text (cut short where it is long)."""

    reason: str
    text: str


@dataclass(frozen=True)
class Chunk:
    """Consecutive records, ready to be written.

    Args:
        first: number of the first record in the whole dataset.
        columns: what the job reads, by field name, each of `n_records` values: lists, or Arrow arrays all of
            them.
        kept: input columns that are carried to the result.
        provenance: runs of (index in chunk, source, line): from there on, lines count up by one.
        bad: rows that did not parse, by index in chunk.
    """

    first: int
    n_records: int
    columns: Mapping[str, Sequence[Any]]
    kept: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    provenance: Provenance = ()
    bad: Mapping[int, BadRow] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The chunk's object; raises Unencodable."""
        header = {
            "type": "chunk",
            "first": self.first,
            "records": self.n_records,
            "columns": list(self.columns),
            "kept": {name: sorted(name_kinds(values)) for name, values in self.kept.items()},
            "provenance": [list(run) for run in self.provenance],
        }
        if self.columns and all(map(is_arrow, self.columns.values())):
            parts = {_TABLE: Part.of(pack_table(self.columns))}
        else:
            parts = {
                f"column:{name}": Part.of(pack(list(values), name)) for name, values in self.columns.items()
            }
        parts |= {f"kept:{name}": Part.of(pack(list(values), name)) for name, values in self.kept.items()}
        if self.bad:
            parts["bad"] = Part.of(pack([[index, row.reason, row.text] for index, row in self.bad.items()]))
        return Envelope(header, parts).to_bytes()


class ChunkReader:
    """A chunk's object, unpacked column by column as asked; raises Undecodable where it is damaged.

    Args:
        opens: values of registered types and tables are made, for a job, as each is asked for; else they
            stay `Stored`.
    """

    def __init__(self, body: Buffer, chunk: ChunkId, *, opens: bool = False) -> None:
        self._opens = opens
        self._envelope = Envelope.from_bytes(body, "chunk")
        read = self._envelope.read
        self.chunk = chunk
        self._cache: dict[str, Sequence[Any]] = {}
        self._table: Any = None
        self.first: int = read("first", int, is_count)
        self.column_names: list[str] = read("columns", list, is_texts)
        self.kept_kinds: dict[str, list[str]] = read("kept", dict, is_texts_by_name)
        self.provenance: Provenance = tuple(
            (at, source, line) for at, source, line in read("provenance", list, _is_provenance)
        )
        n_records = read("records", int, is_count)
        if n_records != chunk.n_records:
            raise Undecodable(chunk.key, f"holds {n_records} records where its key says {chunk.n_records}")

    def column(self, name: str) -> Sequence[Any]:
        """The values of one of the columns that the job reads."""
        if _TABLE not in self._envelope.parts:
            return self._values(f"column:{name}")
        if name not in self._cache:
            self._cache[name] = self.table().column(name).to_pylist()
        return self._cache[name]

    def table(self) -> Any:
        """All columns that the job reads as an Arrow batch, where the chunk holds them so."""
        if self._table is not None:
            return self._table
        table = unpack_table(self._envelope.open(_TABLE), self.chunk.key)
        if table.num_rows != self.chunk.n_records or table.schema.names != self.column_names:
            raise Undecodable(self.chunk.key, "its table has not the rows and columns that its header says")
        self._table = table
        return table

    def kept(self, name: str) -> Sequence[Any]:
        """The values of one of the kept columns."""
        return self._values(f"kept:{name}")

    def bad(self) -> dict[int, BadRow]:
        """The rows that did not parse, by index in chunk."""
        if "bad" not in self._envelope.parts:
            return {}
        listed = unpack(self._envelope.open("bad"), self.chunk.key)
        if not isinstance(listed, list) or not all(map(_is_bad_row, listed)):
            raise Undecodable(self.chunk.key, "its rows that did not parse are garbled")
        return {index: BadRow(why, text) for index, why, text in listed}

    def locate(self, index: int) -> tuple[int, int]:
        """The (source, line) that a record came from; raises Undecodable where the chunk does not say."""
        if not self.provenance:
            raise Undecodable(self.chunk.key, "does not say where its records came from")
        run = bisect_right(self.provenance, index, key=lambda at: at[0]) - 1
        at, source, line = self.provenance[run]
        return source, line + index - at

    def split_by_source(self, first: int, end: int) -> Iterator[tuple[int, int, int]]:
        """The (source, first, end) pieces of a span of the chunk, each of one source."""
        starts = [at for at, _, _ in self.provenance]
        pieces: list[tuple[int, int, int]] = []
        for place, (at, source, _) in enumerate(self.provenance):
            until = starts[place + 1] if place + 1 < len(starts) else self.chunk.n_records
            a, b = max(first, at), min(end, until)
            if a >= b:
                continue
            if pieces and pieces[-1][0] == source:
                pieces[-1] = (source, pieces[-1][1], b)
            else:
                pieces.append((source, a, b))
        return iter(pieces)

    def _values(self, part: str) -> Sequence[Any]:
        if part not in self._cache:
            self._cache[part] = self._read_values(part)
        return self._cache[part]

    def _read_values(self, part: str) -> Sequence[Any]:
        body = self._envelope.open(part)
        if self._opens:
            kind, name = part.split(":", 2)[-2:]
            values = unpack_late(
                body, f'{kind}["{name}"]'
            )  # of a group `rows["mol"]`, and then which of them
        else:
            values = unpack(body, self.chunk.key)
        if not is_column(values) or len(values) != self.chunk.n_records:
            raise Undecodable(self.chunk.key, f"part {part!r} does not hold {self.chunk.n_records} values")
        return cast("Sequence[Any]", values)


def _is_provenance(runs: Any) -> bool:
    """Whether these are runs of (index, source, line) that begin with the first record and go up."""
    is_formed = all(type(run) is list and len(run) == 3 and all(map(is_count, run)) for run in runs)
    starts = [run[0] for run in runs] if is_formed else []
    return is_formed and starts[:1] in ([], [0]) and all(a < b for a, b in pairwise(starts))


def _is_bad_row(row: Any) -> bool:
    return type(row) is list and len(row) == 3 and is_count(row[0]) and is_texts(row[1:])
