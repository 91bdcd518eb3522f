"""Writes the index of a library's fingerprints, see `fingerprint_index`.

What is long waits on disk until all is known that decides the order. Owns that order: fingerprints by how
many bits they have, then by record. Imports NumPy. When it is wrong, the index holds other molecules.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from aliquot_chem.fingerprint_index import KIND, MAGIC, TYPES, Entry, Rejected
from aliquot_chem.nearest import BLOCK_WORDS, Ints
from aliquot_chem.slices import WORD, WORD_BITS, Words, pack_columns

_PAGE_BYTES = 4096
_COPIED_BYTES = 1 << 20
_BLOCK = BLOCK_WORDS * WORD_BITS
_BIT = np.dtype("<u2")


def write_index(
    path: Path,
    entries: Iterable[Entry],
    rejected: Sequence[Rejected],
    key: str,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Write the index of `entries`, in the order of their records; gives its header.

    Besides some 60 bytes a molecule it holds a block at a time in memory. It is there whole, or not at all.

    Raises:
        OSError: it cannot be written.
    """
    with ExitStack() as stack:
        room = [stack.enter_context(TemporaryFile(dir=path.parent)) for _ in _Gathered.TEXTS]
        gathered = _gather(entries, room)
        order = np.argsort(gathered.sizes, kind="stable")
        unfinished = path.with_name(f"{path.name}.unfinished")
        with unfinished.open("wb") as file:
            writer = _Writer(file)
            writer.add("columns", _make_columns(gathered, order, int(settings["bits"])))
            writer.add("sizes", [gathered.sizes[order].astype(TYPES["sizes"])])
            writer.add("records", [gathered.records[order].astype(TYPES["records"])])
            writer.add("rows", [order.astype(TYPES["rows"])])
            for name in ("id", "text"):
                writer.add(f"{name}_ends", [np.cumsum(gathered.lengths[name], dtype=TYPES["id_ends"])])
                writer.add(f"{name}s", _read_pieces(gathered.files[name]))
            writer.add("rejected", [json.dumps([list(each) for each in rejected]).encode()])
            counts = {
                "fingerprints": len(order),
                "parts": -(-len(order) // _BLOCK),
                "rejected": len(rejected),
            }
            header = writer.finish({"kind": KIND, "key": key, "settings": dict(settings), **counts})
        unfinished.replace(path)
    return header


class _Gathered:
    """What was gathered of the entries: what is long on disk, one after the other, the rest as arrays."""

    TEXTS = ("id", "text", "bits")

    def __init__(self, files: Sequence[IO[bytes]]) -> None:
        self.files = dict(zip(self.TEXTS, files, strict=True))
        self._lengths = {name: array("I") for name in self.TEXTS}
        self._records = array("I")

    def add(self, entry: Entry) -> None:
        """Put one more down."""
        self._records.append(entry.record)
        values = (entry.id.encode(), entry.text.encode(), entry.bits)
        for name, value in zip(self.TEXTS, values, strict=True):
            self.files[name].write(value)
            self._lengths[name].append(len(value))

    @property
    def records(self) -> NDArray[np.uint32]:
        """Of each entry."""
        return np.array(self._records, np.uint32)

    @property
    def lengths(self) -> dict[str, NDArray[np.uint32]]:
        """Bytes of each entry's texts."""
        return {name: np.array(lengths, np.uint32) for name, lengths in self._lengths.items()}

    @property
    def sizes(self) -> Ints:
        """How many bits of each fingerprint are set."""
        return self.lengths["bits"].astype(np.int64) // _BIT.itemsize


def _gather(entries: Iterable[Entry], files: Sequence[IO[bytes]]) -> _Gathered:
    gathered = _Gathered(files)
    for entry in entries:
        gathered.add(entry)
    for file in files:
        file.flush()
    return gathered


def _make_columns(gathered: _Gathered, order: Ints, n_bits: int) -> Iterator[Words]:
    """The blocks' columns, at last one of zeros."""
    sizes = gathered.sizes
    begins = np.cumsum(sizes) - sizes
    bits = np.memmap(gathered.files["bits"], _BIT, "r") if sizes.any() else np.zeros(0, _BIT)
    for first in range(0, len(order), _BLOCK):
        rows = order[first : first + _BLOCK]
        which = np.repeat(np.arange(len(rows)), sizes[rows])
        ends = np.cumsum(sizes[rows])
        at = (
            np.arange(len(which))
            - np.repeat(ends - sizes[rows], sizes[rows])
            + np.repeat(begins[rows], sizes[rows])
        )
        flags = np.zeros((n_bits, _BLOCK), np.bool_)
        flags[bits[at], which] = True
        yield pack_columns(flags)
    yield np.zeros(BLOCK_WORDS, WORD)


def _read_pieces(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    while piece := file.read(_COPIED_BYTES):
        yield piece


class _Writer:
    """Writes section after section, each from the beginning of a page, and the header at last."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sections: dict[str, tuple[int, int]] = {}
        file.write(bytes(_PAGE_BYTES))

    def add(self, name: str, pieces: Iterable[bytes | NDArray[Any]]) -> None:
        """Write a section."""
        begin = self._file.tell()
        for piece in pieces:
            self._file.write(piece if isinstance(piece, bytes) else piece.tobytes())
        end = self._file.tell()
        self._sections[name] = (begin, end)
        self._file.write(bytes(-end % _PAGE_BYTES))

    def finish(self, header: dict[str, Any]) -> dict[str, Any]:
        """Write the header, and where it stands; gives it with the sections."""
        header = {**header, "sections": self._sections}
        text, at = json.dumps(header).encode(), self._file.tell()
        self._file.write(text)
        self._file.seek(0)
        self._file.write(MAGIC + at.to_bytes(8, "little") + len(text).to_bytes(8, "little"))
        self._file.flush()
        os.fsync(self._file.fileno())
        return header
