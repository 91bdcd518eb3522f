"""Writes a stock of any length in bounded memory: keys are sorted in parts that fit, by their first bits.

Owns the sorting, the merging of equal keys, the shards and what may be replaced by them. Imports NumPy. What
is held at a time is a million keys as they come, and one part of some thousandth of all keys. When it is
wrong, `stockfile` finds nothing or too much.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self

import numpy as np

from aliquot.errors import BadOption
from aliquot_chem.stockfile import (
    BLOCK_KEYS,
    FORMAT,
    HEADER,
    KEYS_AT,
    Hashes,
    HashKeys,
    Header,
    hash_keys,
    name_shard,
    number_shards,
    spell_start,
)

if TYPE_CHECKING:
    from hashlib import _Hash as Digest

WHOLE_KEYS = 1 << 27  # 1 GiB of hashes: what a worker of 1,769 MB maps whole and keeps at hand
SHARD_KEYS = 1 << 23  # of a longer one, on average
_N_PARTS = 1024
_HELD_KEYS = 1 << 20
_OWN_NAME = re.compile(rf"{re.escape(HEADER)}|shard-\d{{5}}")

Part = tuple[Hashes, list[bytes]]
"""Keys and their hashes, in the order of (hash, key), each key once."""


def choose_shards(n_keys: int) -> int:
    """Into how many shards a stock is divided where nobody says: 1 where a worker can map it whole."""
    return 1 if n_keys <= WHOLE_KEYS else 1 << (-(-n_keys // SHARD_KEYS) - 1).bit_length()


class StockWriter:
    """A stock that is being written; it lies at its path once `finish` has returned, whole or not at all.

    with StockWriter(path, "canonical SMILES") as writer:
        writer.add([b"CCO"])
        writer.finish()
    """

    def __init__(
        self, path: Path, key: str, hash_all: HashKeys = hash_keys, held_keys: int = _HELD_KEYS
    ) -> None:
        """Begin a stock.

        Args:
            path: the folder that it is to be; a stock that lies there is replaced. Room for twice its size is
                needed beside it.
            key: what its keys are, see `Header`.
            hash_all: the hash; tests have others.
            held_keys: as many are held before they are put aside on disk.

        Raises:
            BadOption: something else lies there.
        """
        _check_replaceable(path)
        self._path, self._key, self._hash_all, self._held_keys = path, key, hash_all, held_keys
        self._held: list[bytes] = []
        self._is_parted, self._n_added = False, 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove what was put aside."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, keys: Sequence[bytes]) -> None:
        """Add keys, of which none holds a line break; those that are there already change nothing."""
        self._held.extend(keys)
        self._n_added += len(keys)
        if len(self._held) >= self._held_keys:
            self._put_aside()

    def finish(self, n_shards: int | None = None) -> Header:
        """Write the stock; as many shards as `choose_shards` says where None."""
        if self._is_parted:
            self._put_aside()
        n_shards = n_shards or self._choose_shards()
        draft = self._folder / "stock"
        draft.mkdir()
        digest = sha256()
        lengths = [0] * n_shards
        pieces = (piece for part in self._iterate_parts() for piece in _split(part, n_shards))
        for number, own in groupby(pieces, key=itemgetter(0)):
            lengths[number] = self._write_shard(draft / name_shard(number), (part for _, part in own), digest)
        for number in [number for number, length in enumerate(lengths) if not length]:
            self._write_shard(draft / name_shard(number), (), digest)
        header = Header(FORMAT, self._key, sum(lengths), n_shards, digest.hexdigest())
        with (draft / HEADER).open("wb") as out:
            out.write(header.pack())
            _settle(out)
        if self._path.exists():
            self._path.replace(self._folder / "before")
        draft.replace(self._path)
        return header

    def _choose_shards(self) -> int:
        """By how many keys there are, which are sorted once more to be counted where they may be many."""
        if self._n_added <= WHOLE_KEYS:
            return 1
        return choose_shards(sum(len(keys) for _, keys in self._iterate_parts()))

    def _write_shard(self, path: Path, parts: Iterable[Part], digest: Digest) -> int:
        """Write a shard of keys that come in their order; how many they are."""
        n_keys = 0
        with path.open("wb") as out, self._open("hashes") as hashes, self._open("blocks") as blocks:
            out.write(bytes(KEYS_AT))
            for own, keys in parts:
                text = b"".join([key + b"\n" for key in keys])
                ends = out.tell() + np.cumsum([len(key) + 1 for key in keys])
                starts = np.concatenate([[out.tell()], ends[:-1]])
                blocks.write(starts[-n_keys % BLOCK_KEYS :: BLOCK_KEYS].astype("<u8").tobytes())
                hashes.write(own.astype("<u8").tobytes())
                digest.update(text)
                out.write(text)
                n_keys += len(keys)
            blocks.write(out.tell().to_bytes(8, "little"))
            out.write(b"\0" * (-out.tell() % 8))
            hashes_at = out.tell()
            _append(out, hashes)
            blocks_at = out.tell()
            _append(out, blocks)
            out.seek(0)
            out.write(spell_start(n_keys, hashes_at, blocks_at))
            _settle(out)
        return n_keys

    def _open(self, name: str) -> BinaryIO:
        return (self._folder / name).open("w+b")

    def _put_aside(self) -> None:
        """Append what is held to the files of the parts."""
        if not self._held:
            return
        self._is_parted = True
        held, self._held = self._held, []
        hashes = self._hash_all(held)
        parts = number_shards(hashes, _N_PARTS)
        order = np.argsort(parts, kind="stable")
        numbers, starts = np.unique(parts[order], return_index=True)
        for number, own in zip(numbers.tolist(), np.split(order, starts[1:]), strict=True):
            with (self._folder / f"{number}.hashes").open("ab") as file:
                file.write(hashes[own].tobytes())
            with (self._folder / f"{number}.keys").open("ab") as file:
                file.write(b"".join([held[index] + b"\n" for index in own.tolist()]))

    def _iterate_parts(self) -> Iterator[Part]:
        """All keys, each once, and their hashes, in the order of the shards."""
        if not self._is_parted:
            if self._held:
                yield _sort(self._hash_all(self._held), self._held)
            return
        for number in range(_N_PARTS):
            hashes, keys = self._folder / f"{number}.hashes", self._folder / f"{number}.keys"
            if hashes.exists():
                yield _sort(np.fromfile(hashes, np.uint64), keys.read_bytes().split(b"\n")[:-1])


def _sort(hashes: Hashes, keys: list[bytes]) -> Part:
    """Keys in the order of (hash, key), each once."""
    order = np.argsort(hashes)
    hashes = hashes[order]
    keys = [keys[index] for index in order.tolist()]
    if not (hashes[1:] == hashes[:-1]).any():
        return hashes, keys
    pairs = sorted(set(zip(hashes.tolist(), keys, strict=True)))
    return np.array([own for own, _ in pairs], np.uint64), [key for _, key in pairs]


def _split(part: Part, n_shards: int) -> Iterator[tuple[int, Part]]:
    """What of a part lies in which shard, ascending."""
    hashes, keys = part
    numbers, starts = np.unique(number_shards(hashes, n_shards), return_index=True)
    ends = [*starts[1:].tolist(), len(keys)]
    for number, start, end in zip(numbers.tolist(), starts.tolist(), ends, strict=True):
        yield number, (hashes[start:end], keys[start:end])


def _check_replaceable(path: Path) -> None:
    """Raise BadOption where something else than a stock would be lost."""
    if path.exists() and not path.is_dir():
        raise BadOption("--out", f"{path} is a file: name the folder that is to be the stock")
    if path.is_dir() and any(not _OWN_NAME.fullmatch(each.name) for each in path.iterdir()):
        raise BadOption("--out", f"{path} holds other files: name the folder that is to be the stock")


def _settle(out: BinaryIO) -> None:
    out.flush()
    os.fsync(out.fileno())


def _append(out: BinaryIO, part: BinaryIO) -> None:
    part.seek(0)
    shutil.copyfileobj(part, out)
