"""The library's molecules that are most similar to each query: exactly, by Tanimoto's coefficient.

Fingerprints stand on their side (see `slices`) in blocks, ordered by how many bits they have, so that of
most blocks it is known that nothing in them can be similar enough: min(a, b) / max(a, b) is the most that
fingerprints of a and b bits can have in common. Of a block that may hold some, only those that share enough
bits for the score asked are looked at one by one. Ties go to the earlier record.

Owns the search and its order. Imports NumPy. When it is wrong, a neighbour is missed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aliquot_chem.slices import (
    WORD_BITS,
    Adder,
    Words,
    list_marked,
    mark_at_least,
    read_all_counts,
    read_counts,
)

BLOCK_WORDS = 64  # a block of 4,096 fingerprints, 1 MiB of 2,048 bits: 30 s of filters at 7 ms a molecule
LANES = 64  # counted at a time: so that what is added up stays in the processor's cache
_BLOCKS_A_ROUND = 64  # of each query, nearest first; then what has been found prunes the rest
_ROUNDING = 1e-9

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Library:
    """Fingerprints in blocks.

    Args:
        columns: shape (n_blocks * n_bits + 1, BLOCK_WORDS): block after block its columns, at last one of
            zeros. A last block that is not full is filled up with zeros.
        n_bits: of a fingerprint.
        sizes: how many bits each has, ascending, shape (n_fingerprints,).
        records: which record of the library each is, ascending where sizes are equal.
    """

    columns: Words
    n_bits: int
    sizes: NDArray[np.uint16]
    records: NDArray[np.uint32] | NDArray[np.int64]

    @property
    def n_blocks(self) -> int:
        """How many blocks there are."""
        return len(self.columns) // self.n_bits

    @property
    def block_size(self) -> int:
        """How many fingerprints a full block has."""
        return int(self.columns.shape[1]) * WORD_BITS

    def find_bounds(self) -> tuple[Ints, Ints]:
        """The least and the greatest size in each block."""
        first = np.arange(self.n_blocks) * self.block_size
        last = np.minimum(first + self.block_size, len(self.sizes)) - 1
        return self.sizes[first].astype(np.int64), self.sizes[last].astype(np.int64)


@dataclass(frozen=True)
class Queries:
    """Fingerprints to look for.

    Args:
        bits: the bits of each that are set, filled up with the number of all bits; shape (n, most bits).
        sizes: how many they are, shape (n,).
    """

    bits: Ints
    sizes: Ints

    @classmethod
    def of(cls, bits: list[NDArray[np.uint16]], n_bits: int) -> Queries:
        """Of the bits of each."""
        sizes = np.array(list(map(len, bits)), np.int64)
        padded = np.full((len(bits), int(sizes.max(initial=0))), n_bits, np.int64)
        for row, own in zip(padded, bits, strict=True):
            row[: len(own)] = own
        return cls(padded, sizes)


@dataclass(frozen=True)
class Hits:
    """Molecules that were found, one a row: the query, the molecule's place in the library, the score."""

    query: Ints
    place: Ints
    score: Floats

    @classmethod
    def join(cls, some: list[Hits]) -> Hits:
        """One after the other."""
        if not some:
            return cls(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
        return cls(*(np.concatenate([getattr(hits, name) for hits in some]) for name in cls.__annotations__))

    def take(self, rows: Ints | NDArray[np.bool_]) -> Hits:
        """Some of them."""
        return Hits(self.query[rows], self.place[rows], self.score[rows])

    def keep_best(self, n: int, records: NDArray[np.uint32] | NDArray[np.int64]) -> Hits:
        """The `n` best of each query: by query, then score from the highest, then record."""
        order = np.lexsort((records[self.place], -self.score, self.query))
        query = self.query[order]
        begins = np.searchsorted(query, query, "left")
        return self.take(order[np.arange(len(order)) - begins < n])


def score_shared(shared: Ints, sizes: Ints | NDArray[np.uint16], others: Ints | NDArray[np.uint16]) -> Floats:
    """Tanimoto's coefficients, as RDKit gives them: 1 for two fingerprints without any bit."""
    union = sizes.astype(np.int64) + others.astype(np.int64) - shared
    return np.where(union, shared / np.maximum(union, 1), 1.0)


def bound_scores(sizes: Ints, least: Ints, most: Ints) -> Floats:
    """The highest score that each query can have in each block, shape (n_queries, n_blocks)."""
    nearest = np.clip(sizes[:, None], least[None], most[None])
    return score_shared(np.minimum(nearest, sizes[:, None]), nearest, sizes[:, None])


class Searcher:
    """Searches blocks of a library."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self._least, self._most = library.find_bounds()
        self._adders: dict[int, tuple[Adder, Words]] = {}

    def search(self, queries: Queries, n: int, most_rounds: int | None = None) -> Hits:
        """The `n` most similar molecules of each query, best first.

        Args:
            most_rounds: look at so many of the nearest blocks of each query only, times 64.
        """
        bounds = bound_scores(queries.sizes, self._least, self._most)
        order = np.argsort(-bounds, axis=1, kind="stable")
        best = self._search_first(queries, order[:, 0], n) if bounds.size else Hits.join([])
        for first in range(1, self.library.n_blocks, _BLOCKS_A_ROUND)[:most_rounds]:
            least = _find_least(best, len(queries.sizes), n)
            nearest = order[:, first : first + _BLOCKS_A_ROUND]
            query, at = np.nonzero(np.take_along_axis(bounds, nearest, axis=1) >= least[:, None])
            if not len(query):
                break
            found = self.find(queries, query, nearest[query, at], least)
            best = Hits.join([best, found]).keep_best(n, self.library.records)
        return best

    def find_least(self, queries: Queries, n: int) -> Floats:
        """A score for each query that its `n`-th best reaches at least; -1 where nothing is known."""
        return _find_least(self.search(queries, n, most_rounds=1), len(queries.sizes), n)

    def search_block(self, queries: Queries, block: int, n: int, least: Floats) -> Hits:
        """The `n` best of each query in one block, those of them that reach the query's `least`.

        They do not depend on what other blocks hold.
        """
        bounds = bound_scores(queries.sizes, self._least[block : block + 1], self._most[block : block + 1])
        query = np.flatnonzero(bounds[:, 0] >= least)
        found = self.find(queries, query, np.full(len(query), block), least)
        return found.keep_best(n, self.library.records)

    def score_block(self, queries: Queries, query: int, block: int) -> tuple[Ints, Floats]:
        """All of a block: the molecules' places in the library, and their scores."""
        planes = self._count(queries, np.array([query]), np.array([block]))
        first = block * self.library.block_size
        places = np.arange(first, min(first + self.library.block_size, len(self.library.sizes)))
        shared = read_all_counts(planes[:, 0])[: len(places)]
        return places, score_shared(shared, self.library.sizes[places], queries.sizes[query : query + 1])

    def find(self, queries: Queries, query: Ints, block: Ints, least: Floats) -> Hits:
        """What reaches the query's `least` in pairs of a query and a block."""
        order = np.lexsort((block, query, queries.sizes[query]))  # lanes are filled up to the largest size
        return Hits.join(list(self._find_pairs(queries, query[order], block[order], least)))

    def _find_pairs(self, queries: Queries, query: Ints, block: Ints, least: Floats) -> Iterator[Hits]:
        for first in range(0, len(query), LANES):
            lanes = slice(first, first + LANES)
            yield self._find_lanes(queries, query[lanes], block[lanes], least[query[lanes]])

    def _find_lanes(self, queries: Queries, query: Ints, block: Ints, least: Floats) -> Hits:
        planes = self._count(queries, query, block)
        # c / (a + b - c) >= t is c >= t (a + b) / (1 + t), and b is at least the block's least
        floor = np.maximum(least, 0.0)
        shared = floor * (queries.sizes[query] + self._least[block]) / (1 + floor)
        marked = mark_at_least(planes, np.ceil(shared - _ROUNDING).astype(np.int64))
        lane, at = list_marked(marked)
        place = block[lane] * self.library.block_size + at
        is_there = place < len(self.library.sizes)
        lane, at, place = lane[is_there], at[is_there], place[is_there]
        size = queries.sizes[query[lane]]
        score = score_shared(read_counts(planes, lane, at), self.library.sizes[place], size)
        return Hits(query[lane], place, score).take(score >= least[lane])

    def _search_first(self, queries: Queries, block: Ints, n: int) -> Hits:
        """The best of one block for each query, of which nothing is known yet."""
        found: list[Hits] = []
        for query, its_block in enumerate(block):
            place, score = self.score_block(queries, query, int(its_block))
            if len(score) > n:
                near = score >= np.partition(score, len(score) - n)[len(score) - n]
                place, score = place[near], score[near]
            found.append(Hits(np.full(len(place), query), place, score))
        return Hits.join(found).keep_best(n, self.library.records)

    def _count(self, queries: Queries, query: Ints, block: Ints) -> Words:
        """Planes of the bits shared, of so many lanes."""
        width = int(queries.sizes[query].max())
        bits = queries.bits[query, :width].T
        zeros = len(self.library.columns) - 1
        rows = np.where(bits < self.library.n_bits, bits + block * self.library.n_bits, zeros)
        adder, room = self._find_adder(width, len(query))
        columns = room[:width]
        np.take(self.library.columns, rows, axis=0, out=columns, mode="clip")
        return adder.count(columns)

    def _find_adder(self, width: int, n_lanes: int) -> tuple[Adder, Words]:
        """An adder for so many lanes, and room for its columns."""
        adder, room = self._adders.get(n_lanes, (None, None))
        if adder is None or room is None or len(room) < width:
            shape = (n_lanes, self.library.columns.shape[1])
            adder, room = Adder(width, shape), np.empty((width, *shape), np.uint64)
            kept = {LANES: self._adders[LANES]} if LANES in self._adders else {}
            self._adders = {**kept, n_lanes: (adder, room)}
        return adder, room


def _find_least(best: Hits, n_queries: int, n: int) -> Floats:
    """The score of each query's `n`-th best; -1 where there are fewer."""
    least = np.full(n_queries, -1.0)
    counts = np.bincount(best.query, minlength=n_queries)
    last = np.cumsum(counts) - 1
    full = counts >= n
    least[full] = best.score[last[full]]
    return least
