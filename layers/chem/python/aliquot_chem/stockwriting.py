"""Writes a stock of any length in bounded memory: keys are sorted in parts that fit, by their first bits.

Owns the sorting, the merging of equal keys and the order of writing. Imports NumPy. What is held at a time is
a million keys as they come, and one part of some thousandth of all keys. When it is wrong, `stockfile` finds
nothing or too much.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np

from aliquot_chem.stockfile import (
    BLOCK_KEYS,
    FORMAT,
    MAGIC,
    Footer,
    Hashes,
    HashKeys,
    hash_keys,
    number_shards,
)

WHOLE_KEYS = 1 << 27  # 1 GiB of hashes: what a worker of 1,769 MB maps whole and keeps at hand
SHARD_KEYS = 1 << 23  # of a longer one, on average
_N_PARTS = 1024
_HELD_KEYS = 1 << 20


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
            path: where it is to lie; room for twice its size is needed beside it.
            key: what its keys are, see `Footer`.
            hash_all: the hash; tests have others.
            held_keys: as many are held before they are put aside on disk.
        """
        self._path, self._key, self._hash_all, self._held_keys = path, key, hash_all, held_keys
        self._held: list[bytes] = []
        self._is_parted = False
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
        if len(self._held) >= self._held_keys:
            self._put_aside()

    def finish(self, n_shards: int | None = None) -> Footer:
        """Write the stock; as many shards as `choose_shards` says where None."""
        if self._is_parted:
            self._put_aside()
        draft = self._folder / "stock"
        with draft.open("wb") as out, self._open("hashes") as hashes, self._open("blocks") as blocks:
            n_keys, digest = self._write_keys(out, hashes, blocks)
            out.write(b"\0" * (-out.tell() % 8))
            hashes_at = out.tell()
            _append(out, hashes)
            blocks_at = out.tell()
            _append(out, blocks)
            n_shards = n_shards or choose_shards(n_keys)
            footer = Footer(FORMAT, self._key, n_keys, n_shards, hashes_at, blocks_at, digest)
            out.write(footer.pack())
            out.flush()
            os.fsync(out.fileno())
        draft.replace(self._path)
        return footer

    def _write_keys(self, out: BinaryIO, hashes: BinaryIO, blocks: BinaryIO) -> tuple[int, str]:
        """Write the keys, and their hashes and blocks beside; how many they are, and their SHA-256."""
        out.write(MAGIC)
        n_keys, digest = 0, sha256()
        for own, keys in self._iterate_parts():
            text = b"".join([key + b"\n" for key in keys])
            ends = out.tell() + np.cumsum([len(key) + 1 for key in keys])
            starts = np.concatenate([[out.tell()], ends[:-1]])
            blocks.write(starts[-n_keys % BLOCK_KEYS :: BLOCK_KEYS].astype("<u8").tobytes())
            hashes.write(own.astype("<u8").tobytes())
            digest.update(text)
            out.write(text)
            n_keys += len(keys)
        blocks.write(out.tell().to_bytes(8, "little"))
        return n_keys, digest.hexdigest()

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

    def _iterate_parts(self) -> Iterator[tuple[Hashes, list[bytes]]]:
        """All keys, each once, and their hashes, in the order of the file."""
        if not self._is_parted:
            if self._held:
                yield _sort(self._hash_all(self._held), self._held)
            return
        for number in range(_N_PARTS):
            hashes, keys = self._folder / f"{number}.hashes", self._folder / f"{number}.keys"
            if hashes.exists():
                yield _sort(np.fromfile(hashes, np.uint64), keys.read_bytes().split(b"\n")[:-1])
                hashes.unlink()
                keys.unlink()


def _sort(hashes: Hashes, keys: list[bytes]) -> tuple[Hashes, list[bytes]]:
    """Keys in the order of (hash, key), each once."""
    order = np.argsort(hashes)
    hashes = hashes[order]
    keys = [keys[index] for index in order.tolist()]
    if not (hashes[1:] == hashes[:-1]).any():
        return hashes, keys
    pairs = sorted(set(zip(hashes.tolist(), keys, strict=True)))
    return np.array([own for own, _ in pairs], np.uint64), [key for _, key in pairs]


def _append(out: BinaryIO, part: BinaryIO) -> None:
    part.seek(0)
    shutil.copyfileobj(part, out)
