"""A stock on disk: which molecules can be had, as sorted hashes of their keys and the keys themselves.

    magic | keys, a line feed after each | hashes | where every 64th key begins | footer, its length, magic

A key's hash is its BLAKE2b digest of 8 bytes (RFC 7693), read as a little-endian number: the same everywhere.
Hashes and keys stand in the order of (hash, key), each key once. A shard is a range of hashes: those with the
same first bits, of a number of shards that is a power of two. The file is mapped, so that all hosts of a
machine share its pages, and of the keys only those are read whose hash was asked for.

Owns the layout, the hash and the look-up. Imports NumPy. When it is wrong, molecules are found in a stock
that does not hold them, or the other way round.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aliquot.errors import BadReference

FORMAT = "aliquot/stock/1"
MAGIC = b"aliquot-stock-1\n"
BLOCK_KEYS = 64  # a key is found by reading its block: some 3 kB, and an eighth of a byte a key for the index
MOST_SHARDS = 1 << 16
_LENGTH_BYTES = 8

Hashes = NDArray[np.uint64]
HashKeys = Callable[[Sequence[bytes]], Hashes]


@dataclass(frozen=True)
class Footer:
    """What a stock says of itself.

    Args:
        format: of the file.
        key: what its keys are; keys of another kind are not comparable.
        n_keys: how many there are.
        n_shards: into how many ranges of hashes it is divided, a power of two.
        hashes_at, blocks_at: where these begin, bytes.
        keys_sha256: of all keys as they stand in the file.
    """

    format: str
    key: str
    n_keys: int
    n_shards: int
    hashes_at: int
    blocks_at: int
    keys_sha256: str

    def pack(self) -> bytes:
        """The end of the file."""
        text = json.dumps(asdict(self)).encode()
        return text + len(text).to_bytes(_LENGTH_BYTES, "little") + MAGIC


def hash_keys(keys: Sequence[bytes]) -> Hashes:
    """The hash of each key, shape (n_keys,)."""
    digests = b"".join([blake2b(key, digest_size=8).digest() for key in keys])
    return np.frombuffer(digests, "<u8").astype(np.uint64, copy=False)


def are_shards(n_shards: int) -> bool:
    """Whether a stock can be divided into so many shards."""
    return 0 < n_shards <= MOST_SHARDS and n_shards & (n_shards - 1) == 0


def number_shards(hashes: Hashes, n_shards: int) -> NDArray[np.int64]:
    """In which of so many shards each hash lies."""
    if n_shards == 1:  # NumPy has no shift by 64
        return np.zeros(len(hashes), np.int64)
    return (hashes >> np.uint64(65 - n_shards.bit_length())).astype(np.int64)


def read_footer(path: Path) -> Footer:
    """What the stock at `path` says of itself; raises BadReference where the file is none."""
    try:
        with path.open("rb") as file:
            head = file.read(len(MAGIC))
            size_bytes = file.seek(0, 2)
            tail_bytes = _LENGTH_BYTES + len(MAGIC)
            file.seek(max(0, size_bytes - tail_bytes))
            tail = file.read(tail_bytes)
            length = int.from_bytes(tail[:_LENGTH_BYTES], "little")
            if head != MAGIC or tail[_LENGTH_BYTES:] != MAGIC or length > size_bytes:
                raise _refuse(path, "it is no stock, or not all of one")
            file.seek(size_bytes - tail_bytes - length)
            footer = _parse_footer(path, file.read(length))
    except OSError as err:
        raise BadReference(str(path), f"the stock cannot be read: {err.strerror}") from err
    blocks_end = footer.blocks_at + 8 * (_count_blocks(footer.n_keys) + 1)
    is_laid_out = footer.blocks_at == footer.hashes_at + 8 * footer.n_keys
    if not is_laid_out or blocks_end != size_bytes - tail_bytes - length:
        raise _refuse(path, "its parts are not as long as its footer says")
    return footer


def _parse_footer(path: Path, text: bytes) -> Footer:
    try:
        footer = Footer(**json.loads(text))
    except (ValueError, TypeError) as err:
        raise _refuse(path, "its footer cannot be read") from err
    numbers = (footer.n_keys, footer.n_shards, footer.hashes_at, footer.blocks_at)
    if any(type(number) is not int or number < 0 for number in numbers):
        raise _refuse(path, "its footer cannot be read")
    if footer.format != FORMAT:
        raise _refuse(path, f"its format is {footer.format!r}, and this release reads {FORMAT!r}")
    if not are_shards(footer.n_shards):
        raise _refuse(path, f"it has {footer.n_shards} shards, which is no power of two up to {MOST_SHARDS}")
    return footer


def _refuse(path: Path, reason: str) -> BadReference:
    return BadReference(str(path), f"{reason}: make it with `aliquot index stock FILES... --out STOCK`")


def _count_blocks(n_keys: int) -> int:
    return -(-n_keys // BLOCK_KEYS)


class Stock:
    """A stock, mapped. Nothing of it is read before something is looked up."""

    def __init__(self, path: Path, hash_all: HashKeys = hash_keys) -> None:
        """Map the stock at `path`; raises BadReference where the file is none.

        `hash_all` is the hash that it was written with; tests have others.
        """
        self.footer = footer = read_footer(path)
        self._hash_all = hash_all
        blocks_end = footer.blocks_at + 8 * (_count_blocks(footer.n_keys) + 1)
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        whole = np.frombuffer(self._map, np.uint8)
        self._keys = whole[: footer.hashes_at]
        self._hashes = whole[footer.hashes_at : footer.blocks_at].view("<u8")
        self._blocks = whole[footer.blocks_at : blocks_end].view("<u8")

    def find(self, keys: Sequence[str]) -> NDArray[np.bool_]:
        """Whether the stock holds each of the keys, shape (n_keys,)."""
        wanted = [key.encode() for key in keys]
        hashes = self._hash_all(wanted)
        order = np.argsort(hashes)  # neighbours in the file are then met one after the other
        is_held = np.zeros(len(wanted), np.bool_)
        asked = hashes[order]
        places = np.searchsorted(self._hashes, asked)
        within = np.flatnonzero(places < len(self._hashes))
        likely = within[self._hashes[places[within]] == asked[within]]
        for at, place, own in zip(likely.tolist(), places[likely].tolist(), asked[likely], strict=True):
            is_held[order[at]] = self._holds(place, own, wanted[order[at]])
        return is_held

    def release(self) -> None:
        """Let go of the pages that look-ups have touched; the system keeps them while it has room."""
        self._map.madvise(mmap.MADV_DONTNEED)

    def number_shards(self, keys: Sequence[str]) -> NDArray[np.int64]:
        """In which shard each of the keys lies, or would, shape (n_keys,)."""
        return number_shards(self._hash_all([key.encode() for key in keys]), self.footer.n_shards)

    def _holds(self, place: int, own_hash: np.uint64, key: bytes) -> bool:
        """Whether one of the keys from `place` on with this hash is the key."""
        while place < len(self._hashes) and self._hashes[place] == own_hash:
            if self._read_key(place) == key:
                return True
            place += 1
        return False

    def _read_key(self, place: int) -> bytes:
        block, within = divmod(place, BLOCK_KEYS)
        begin, end = self._blocks[block : block + 2].tolist()
        keys: bytes = self._keys[begin:end].tobytes()
        return keys.split(b"\n", within + 1)[within]
