"""The index of a library's fingerprints: one file, written once, memory-mapped by everybody who searches it.

    start     magic, where the header stands
    columns   blocks of fingerprints on their side, see `nearest.Library`
    sizes, records, rows    of each fingerprint, in the order of the blocks: its bits, its record in the
                            library, its row in the two texts
    ids, texts              of each row the molecule's id and its SMILES, one after the other, and their ends
    rejected  records that are not in it, with the reasons, as JSON
    header    JSON: kind, key, settings, counts, and where each section stands

The key is a digest of the library's content and of the settings. Pages of the file are shared by all that map
it. Owns this layout, and the order of fingerprints. Imports NumPy and the core's `errors`. When it is wrong,
molecules carry each other's names.
"""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aliquot.errors import BadReference
from aliquot_chem.nearest import BLOCK_WORDS, Library
from aliquot_chem.slices import WORD

MAGIC = b"ALIQUOT INDEX 1\n"
KIND = "fingerprints"
_START_BYTES = len(MAGIC) + 16
TYPES = {"sizes": "<u2", "records": "<u4", "rows": "<u4", "id_ends": "<u8", "text_ends": "<u8"}


class Entry(NamedTuple):
    """A molecule of the library: its record there, id, SMILES, and the bits that are set as `<u2` bytes."""

    record: int
    id: str
    text: str
    bits: bytes


class Rejected(NamedTuple):
    """A record of the library that is not in the index: why, in a word and in a sentence."""

    record: int
    id: str
    kind: str
    reason: str


def derive_key(library: Sequence[str], settings: Mapping[str, Any]) -> str:
    """What an index is known by.

    Args:
        library: SHA-256 of its files, in order.
        settings: of the fingerprints, with the versions of what computes them.
    """
    return sha256(json.dumps([KIND, list(library), settings], sort_keys=True).encode()).hexdigest()


class FingerprintIndex:
    """An index that is there; raises BadReference where the file is none, or cut short."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.header = read_header(path)
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    @property
    def settings(self) -> dict[str, Any]:
        """How its fingerprints were computed."""
        settings: dict[str, Any] = self.header["settings"]
        return settings

    @cached_property
    def library(self) -> Library:
        """The fingerprints."""
        columns = self._read("columns", WORD).reshape(-1, BLOCK_WORDS)
        sizes, records = self._read("sizes", TYPES["sizes"]), self._read("records", TYPES["records"])
        return Library(columns, self.settings["bits"], sizes, records)

    @cached_property
    def _rows(self) -> NDArray[np.uint32]:
        return self._read("rows", TYPES["rows"])

    def read_id(self, place: int) -> str:
        """The id of the molecule at a place of the library."""
        return self._read_text("id", int(self._rows[place]))

    def read_smiles(self, place: int) -> str:
        """Its SMILES."""
        return self._read_text("text", int(self._rows[place]))

    def find_places(self, records: Collection[int]) -> dict[int, int]:
        """Where molecules stand, by their records in the library; those that it holds alone."""
        held = self.library.records
        places = np.flatnonzero(np.isin(held, list(records))).tolist()
        return {int(held[place]): place for place in places}

    def read_rejected(self) -> list[Rejected]:
        """The records that are not in it."""
        begin, end = self.header["sections"]["rejected"]
        return [Rejected(*row) for row in json.loads(self._map[begin:end])]

    def _read(self, name: str, kind: str | np.dtype[np.uint64]) -> NDArray[Any]:
        begin, end = self.header["sections"][name]
        count = (end - begin) // np.dtype(kind).itemsize
        return np.frombuffer(self._map, np.dtype(kind), count, begin)

    def _read_text(self, name: str, row: int) -> str:
        ends = self._ends[name]
        begin = self.header["sections"][f"{name}s"][0]
        first = int(ends[row - 1]) if row else 0
        return self._map[begin + first : begin + int(ends[row])].decode()

    @cached_property
    def _ends(self) -> dict[str, NDArray[np.uint64]]:
        return {name: self._read(f"{name}_ends", TYPES[f"{name}_ends"]) for name in ("id", "text")}


def read_header(path: Path) -> dict[str, Any]:
    """The header of the index at `path`; raises BadReference."""
    try:
        with path.open("rb") as file:
            start = file.read(_START_BYTES)
            if not start.startswith(MAGIC):
                raise BadReference(str(path), "is no index: make one with `aliquot index fingerprints`")
            at, n_bytes = (int.from_bytes(start[place : place + 8], "little") for place in (16, 24))
            if file.seek(0, os.SEEK_END) != at + n_bytes:
                raise BadReference(str(path), "the index is cut short: make it again")
            file.seek(at)
            header: dict[str, Any] = json.loads(file.read())
    except OSError as err:
        raise BadReference(str(path), f"the index cannot be read: {err.strerror}") from err
    except ValueError as err:
        raise BadReference(str(path), "the index's header cannot be read: make it again") from err
    if header.get("kind") != KIND:
        raise BadReference(str(path), f"is an index of {header.get('kind')!r}, not of {KIND}")
    return header
