"""A stock on disk: which molecules can be had, as sorted hashes of their keys and the keys themselves.

    STOCK/stock.json     what it is: `Header`
    STOCK/shard-00000    magic | 3 numbers | keys, each with a line feed | hashes | where each 64th key begins

A key's hash is its BLAKE2b digest of 8 bytes (RFC 7693), read as a little-endian number: the same everywhere.
Hashes and keys stand in the order of (hash, key), each key once. A shard is a range of hashes: those with the
same first bits, of a number of shards that is a power of two. Shards are mapped, so that all hosts of a
machine share their pages, and of the keys only those are read whose hash was asked for. On a stack a worker
fetches the shards that it looks something up in, as of any folder that is a reference.

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
from aliquot.job import Reference

FORMAT = "aliquot/stock/2"
HEADER = "stock.json"
MAGIC = b"aliquot-stock-2\n"
KEYS_AT = len(MAGIC) + 24  # behind the numbers: how many keys, where the hashes begin, where the blocks do
BLOCK_KEYS = 64  # a key is found by reading its block: some 3 kB, and an eighth of a byte a key for the index
MOST_SHARDS = 1 << 16
_ONE_FILE = b"aliquot-stock-1"  # how those of releases before 2 begin

Hashes = NDArray[np.uint64]
HashKeys = Callable[[Sequence[bytes]], Hashes]


@dataclass(frozen=True)
class Header:
    """What a stock says of itself.

    Args:
        format: of its files.
        key: what its keys are; keys of another kind are not comparable.
        n_keys: how many there are.
        n_shards: into how many ranges of hashes it is divided, a power of two.
        keys_sha256: of all keys as they stand in the shards, one after the other.
    """

    format: str
    key: str
    n_keys: int
    n_shards: int
    keys_sha256: str

    def pack(self) -> bytes:
        """The file."""
        return json.dumps(asdict(self), indent=1).encode()


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


def name_shard(number: int) -> str:
    """A shard's file."""
    return f"shard-{number:05}"


def spell_start(n_keys: int, hashes_at: int, blocks_at: int) -> bytes:
    """What a shard begins with: how many keys it has, and where, in bytes, hashes and blocks begin."""
    return MAGIC + np.array([n_keys, hashes_at, blocks_at], "<u8").tobytes()


def count_blocks(n_keys: int) -> int:
    """Blocks of so many keys."""
    return -(-n_keys // BLOCK_KEYS)


def read_header(stock: Reference) -> Header:
    """What a stock says of itself; raises BadReference where the folder is none."""
    if stock.path.is_file():
        raise _refuse(stock.path, _name_file(stock.path))
    try:
        text = stock.file(HEADER).read_bytes()
    except BadReference as err:
        raise _refuse(stock.path, err.reason) from err
    except OSError as err:
        raise BadReference(str(stock.path), f"the stock cannot be read: {err.strerror}") from err
    return _parse_header(stock.path, text)


def _name_file(path: Path) -> str:
    """What a file is that was given as a stock."""
    with path.open("rb") as file:
        is_old = file.read(len(_ONE_FILE)) == _ONE_FILE
    if is_old:
        return f"its format is 'aliquot/stock/1', one file, and this release reads {FORMAT!r}, a folder"
    return "it is a file, and a stock is a folder"


def _parse_header(path: Path, text: bytes) -> Header:
    try:
        header = Header(**json.loads(text))
    except (ValueError, TypeError) as err:
        raise _refuse(path, f"its {HEADER} cannot be read") from err
    if header.format != FORMAT:
        raise _refuse(path, f"its format is {header.format!r}, and this release reads {FORMAT!r}")
    if any(type(number) is not int or number < 0 for number in (header.n_keys, header.n_shards)):
        raise _refuse(path, f"its {HEADER} cannot be read")
    if not are_shards(header.n_shards):
        raise _refuse(path, f"it has {header.n_shards} shards, which is no power of two up to {MOST_SHARDS}")
    return header


def _refuse(path: Path, reason: str) -> BadReference:
    return BadReference(str(path), f"{reason}: make it with `aliquot index stock FILES... --out STOCK`")


class Shard:
    """The keys of one range of hashes, mapped. Nothing is read before something is looked up."""

    def __init__(self, path: Path) -> None:
        """Map the shard at `path`; raises BadReference where the file is none."""
        try:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError as err:  # of an empty file
            raise _refuse(path, "it is no shard of a stock, or not all of one") from err
        if len(self._map) < KEYS_AT or self._map[: len(MAGIC)] != MAGIC:
            raise _refuse(path, "it is no shard of a stock, or not all of one")
        n_keys, hashes_at, blocks_at = np.frombuffer(self._map, "<u8", 3, len(MAGIC)).tolist()
        is_laid_out = hashes_at >= KEYS_AT and blocks_at == hashes_at + 8 * n_keys
        if not is_laid_out or len(self._map) != blocks_at + 8 * (count_blocks(n_keys) + 1):
            raise _refuse(path, "its parts are not as long as it says")
        whole = np.frombuffer(self._map, np.uint8)
        self._keys = whole[:hashes_at]
        self._hashes = whole[hashes_at:blocks_at].view("<u8")
        self._blocks = whole[blocks_at:].view("<u8")

    def find(self, wanted: Sequence[bytes], hashes: Hashes) -> NDArray[np.bool_]:
        """Whether it holds each of the keys, which have these hashes; shape (n_wanted,)."""
        order = np.argsort(hashes)  # neighbours in the file are then met one after the other
        is_held = np.zeros(len(wanted), np.bool_)
        asked = hashes[order]
        places = np.searchsorted(self._hashes, asked)
        within = np.flatnonzero(places < len(self._hashes))
        likely = within[self._hashes[places[within]] == asked[within]]
        for at, place, own in zip(likely.tolist(), places[likely].tolist(), asked[likely], strict=True):
            is_held[order[at]] = self._holds(place, own, wanted[order[at]])
        return is_held

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


class Stock:
    """A stock; its shards are mapped as they are asked for."""

    def __init__(self, stock: Reference, hash_all: HashKeys = hash_keys) -> None:
        """Read what a stock is; raises BadReference where the folder is none.

        `hash_all` is the hash that it was written with; tests have others.
        """
        self.header = read_header(stock)
        self._stock, self._hash_all = stock, hash_all
        self._shards: dict[int, Shard] = {}

    def find(self, keys: Sequence[str]) -> NDArray[np.bool_]:
        """Whether the stock holds each of the keys, shape (n_keys,).

        Raises:
            BadReference: a shard is damaged, or there is no room for it.
            ConnectionError: a shard could not be fetched now.
        """
        wanted = [key.encode() for key in keys]
        hashes = self._hash_all(wanted)
        numbers = number_shards(hashes, self.header.n_shards)
        is_held = np.zeros(len(wanted), np.bool_)
        for number in np.unique(numbers).tolist():
            (places,) = np.nonzero(numbers == number)
            own = [wanted[place] for place in places.tolist()]
            is_held[places] = self._map_shard(number).find(own, hashes[places])
        return is_held

    def release(self) -> None:
        """Let go of the shards that look-ups have mapped; the system keeps their pages while it has room."""
        self._shards.clear()

    def _map_shard(self, number: int) -> Shard:
        if number not in self._shards:
            self._shards[number] = Shard(self._stock.file(name_shard(number)))
        return self._shards[number]
