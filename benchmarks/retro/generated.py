"""Generated stocks, written as they lie on disk: sorted by construction, so that 400 million take minutes.

The hash is a mixing of 64 bits that can be turned round (that of SplitMix64). Hashes are spread evenly with
some noise, and a key is the number that mixes to its hash, in 16 hexadecimal digits. Owns these files and
which keys they hold. Imports the stock's layout; a stock of real keys is written by `stockwriting`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aliquot_chem.stock import describe_key
from aliquot_chem.stockfile import (
    BLOCK_KEYS,
    FORMAT,
    HEADER,
    KEYS_AT,
    Hashes,
    Header,
    count_blocks,
    name_shard,
    number_shards,
    spell_start,
)
from aliquot_chem.stockwriting import choose_shards

_KEY_BYTES = 17  # a line feed after it
_AT_A_TIME = BLOCK_KEYS << 12
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def mix_keys(keys: Sequence[bytes]) -> Hashes:
    """The hash of each key."""
    z = np.array([int(key, 16) for key in keys], np.uint64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def unmix(hashes: Hashes) -> Hashes:
    """The numbers that mix to these hashes."""
    z = hashes ^ (hashes >> np.uint64(31)) ^ (hashes >> np.uint64(62))
    z = z * np.uint64(0x319642B2D24D8EC3)
    z = z ^ (z >> np.uint64(27)) ^ (z >> np.uint64(54))
    z = z * np.uint64(0x96DE1B173F119089)
    return z ^ (z >> np.uint64(30)) ^ (z >> np.uint64(60))


def spread_hashes(places: NDArray[np.uint64], n_keys: int) -> Hashes:
    """The hash at each place of a stock of so many keys, ascending with it."""
    step = np.uint64((1 << 64) // n_keys)
    return places * step + (places * _GOLDEN) % step


def write_keys(hashes: Hashes) -> NDArray[np.uint8]:
    """The keys of these hashes, each with its line feed, shape (n_keys, 17)."""
    nibbles = unmix(hashes)[:, None] >> np.arange(60, -1, -4, dtype=np.uint64)
    digits = np.frombuffer(b"0123456789abcdef", np.uint8)[(nibbles & np.uint64(15)).astype(np.intp)]
    return np.concatenate([digits, np.full((len(hashes), 1), ord("\n"), np.uint8)], axis=1)


def write_generated(folder: Path, n_keys: int) -> Header:
    """Write a stock of so many keys, divided as a real one."""
    n_shards = choose_shards(n_keys)
    folder.mkdir()
    edges = [_find_edge(number, n_shards, n_keys) for number in range(n_shards + 1)]
    for number in range(n_shards):
        _write_shard(folder / name_shard(number), edges[number], edges[number + 1], n_keys)
    header = Header(FORMAT, describe_key(), n_keys, n_shards, "")
    (folder / HEADER).write_bytes(header.pack())
    return header


def _find_edge(shard: int, n_shards: int, n_keys: int) -> int:
    """The place of the first hash in this shard or a later one."""
    low, high = 0, n_keys
    while low < high:
        middle = (low + high) // 2
        own = number_shards(spread_hashes(np.array([middle], np.uint64), n_keys), n_shards)
        low, high = (middle + 1, high) if own[0] < shard else (low, middle)
    return low


def _write_shard(path: Path, begin: int, end: int, n_keys: int) -> None:
    """The keys of these places."""
    own_keys = end - begin
    hashes_at = -(-(KEYS_AT + _KEY_BYTES * own_keys) // 8) * 8
    blocks_at = hashes_at + 8 * own_keys
    with path.open("wb") as out:
        out.write(spell_start(own_keys, hashes_at, blocks_at))
        for first in range(0, own_keys, _AT_A_TIME):
            places = np.arange(begin + first, min(end, begin + first + _AT_A_TIME), dtype=np.uint64)
            own = spread_hashes(places, n_keys)
            out.seek(KEYS_AT + _KEY_BYTES * first)
            out.write(write_keys(own).tobytes())
            out.seek(hashes_at + 8 * first)
            out.write(own.tobytes())
        starts = KEYS_AT + _KEY_BYTES * BLOCK_KEYS * np.arange(count_blocks(own_keys), dtype=np.uint64)
        out.seek(blocks_at)
        out.write(starts.tobytes() + (KEYS_AT + _KEY_BYTES * own_keys).to_bytes(8, "little"))
