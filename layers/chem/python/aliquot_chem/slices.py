"""Counts bits of 64 fingerprints at a time: of those that stand in columns, a bit of all of them to a word.

A *column* is one bit of many fingerprints: bit i of its word w is that of fingerprint 64 w + i. How many bits
of some columns each fingerprint has is added up by words: three columns of one weight make one of that weight
and one of twice it, until of each weight one is left, a *plane*. Plane i holds bit i of every count. That
takes some five operations a column for 64 fingerprints; a popcount of each takes 32 or more a fingerprint.

Owns this arithmetic. Imports NumPy. When it is wrong, similarities are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

WORD_BITS = 64
WORD = np.dtype("<u8")  # bytes, too, have their lowest bits first

Words = NDArray[np.uint64]


class Adder:
    """Adds columns up; what it works in is kept from one time to the next.

    Args:
        most_columns: that are added up at a time.
        shape: of one column, however many axes it has.
    """

    def __init__(self, most_columns: int, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self._sums = np.empty((most_columns // 3 + 1, *shape), WORD)
        self._carries = [np.empty((most_columns // 2 + 2, *shape), WORD) for _ in range(2)]
        self._planes = np.empty((max(1, most_columns.bit_length()), *shape), WORD)

    def count(self, columns: Words) -> Words:
        """The planes of the counts, lowest first, shape (n_planes, *shape); overwritten by the next call.

        Args:
            columns: shape (n_columns, *shape); they are overwritten.
        """
        n_planes = len(columns).bit_length()
        weight = columns
        for place in range(n_planes):
            carries = self._carries[place % 2]
            n_carries = self._add_weight(weight, carries)
            self._planes[place] = weight[0]
            weight = carries[:n_carries]
        return self._planes[:n_planes]

    def _add_weight(self, weight: Words, carries: Words) -> int:
        """Add the columns of one weight up to the first of them; gives how many carries there are."""
        n_columns, n_carries = len(weight), 0
        while n_columns > 2:
            n = n_columns // 3
            self._add_three(weight, n, carries[n_carries : n_carries + n])
            rest = n_columns - 3 * n
            weight[n : n + rest] = weight[3 * n : n_columns]
            n_columns, n_carries = n + rest, n_carries + n
        if n_columns == 2:
            np.bitwise_and(weight[0], weight[1], out=carries[n_carries])
            np.bitwise_xor(weight[0], weight[1], out=weight[0])
            n_carries += 1
        return n_carries

    def _add_three(self, weight: Words, n: int, carries: Words) -> None:
        """The sums of `n` times three columns in the first `n`, what they carry in `carries`."""
        first, second, third = weight[:n], weight[n : 2 * n], weight[2 * n : 3 * n]
        odd = self._sums[:n]
        np.bitwise_xor(first, second, out=odd)
        np.bitwise_and(first, second, out=carries)
        np.bitwise_xor(odd, third, out=first)
        np.bitwise_and(odd, third, out=odd)
        np.bitwise_or(carries, odd, out=carries)


def mark_at_least(planes: Words, least: NDArray[np.int64]) -> Words:
    """A column of the fingerprints with a count of at least so many.

    Args:
        planes: shape (n_planes, n_lanes, n_words).
        least: for each lane, shape (n_lanes,).
    """
    marked = np.full(planes.shape[1:], ~np.uint64(0), WORD)
    more, same = np.empty_like(marked), np.empty_like(marked)
    for place, plane in enumerate(planes):
        is_free = np.where(least >> place & 1, np.uint64(0), ~np.uint64(0))[:, None]
        np.bitwise_or(plane, is_free, out=same)
        np.bitwise_and(same, marked, out=same)
        np.bitwise_and(plane, is_free, out=more)
        np.bitwise_or(same, more, out=marked)
    marked[least >> len(planes) > 0] = 0
    return marked


def list_marked(marked: Words) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which fingerprints of which lanes a column marks: lanes, places in them; by lane, then place."""
    words = marked.reshape(-1)
    at = np.flatnonzero(words)
    bits = np.unpackbits(words[at].view(np.uint8).reshape(-1, 8), axis=1, bitorder="little")
    which, bit = np.nonzero(bits)
    lanes, word = np.divmod(at[which], marked.shape[-1])
    return lanes, word * WORD_BITS + bit


def read_counts(planes: Words, lanes: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """The counts of some fingerprints, as `list_marked` names them."""
    words, bit = np.divmod(places, WORD_BITS)
    counts = np.zeros(len(places), np.int64)
    for weight, plane in enumerate(planes):
        counts |= (plane[lanes, words] >> bit.astype(WORD) & np.uint64(1)).astype(np.int64) << weight
    return counts


def read_all_counts(planes: Words) -> NDArray[np.int64]:
    """The counts of all fingerprints of one lane; `planes` of shape (n_planes, n_words)."""
    counts = np.zeros(planes.shape[-1] * WORD_BITS, np.int64)
    for weight, plane in enumerate(planes):
        bits = np.unpackbits(np.ascontiguousarray(plane).view(np.uint8), bitorder="little")
        counts += bits.astype(np.int64) << weight
    return counts


def pack_columns(flags: NDArray[np.bool_]) -> Words:
    """The columns of fingerprints.

    Args:
        flags: which bit each has, shape (n_bits, n_fingerprints); the latter a multiple of 64.
    """
    return np.packbits(flags, axis=1, bitorder="little").view(WORD)
