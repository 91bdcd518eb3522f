"""Difference keys: what the reactants have more than the product, atom by atom class.

Owns the linear hash of a molecule's histogram of (element, degree) and the lookup from a difference to the
templates that can account for it. Imports NumPy, no RDKit. Equal keys are *necessary* for an exact match,
so when a key is wrong, hits are lost.

Why it holds: a template rewrites its matched atoms only and carries all others over, so the difference in
(element, degree) is the template's own. Charges are left out, since sanitising moves them. It fails in two
ways, both of which leave the outcome with *more* atoms or with *lower* degrees than the template says:
a cut across a ring copies what links the two sides into both fragments, or loses a bond between matched
atoms; and a bond that a template forms may exist already. Templates that can do so `may_deviate`, and they
are found by dominance (`_Dominance`) where equality does not find them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MAX_DEGREE = 15
_DEGREES = MAX_DEGREE + 1
_MASK = (1 << 64) - 1
_MEMO_SIZE = 20_000

Rows = NDArray[np.intp]
Histogram = Mapping[int, int]
"""Atom code -> number of atoms, or a difference of such."""


class Key(NamedTuple):
    """What a template adds to the product to give its reactants.

    Args:
        delta: sorted (atom code, difference) pairs without zeros; codes of degree 0 where `is_by_element`.
        n_reactants: molecules that the template gives.
        is_by_element: only elements could be derived, not degrees.
        may_deviate: an outcome may have more atoms, or lower degrees, than `delta` says.
    """

    delta: tuple[tuple[int, int], ...]
    n_reactants: int
    is_by_element: bool
    may_deviate: bool


def encode_atom(atomic_number: int, degree: int) -> int:
    """The code of an atom class; degrees past 15 count as 15."""
    return atomic_number * _DEGREES + min(degree, MAX_DEGREE)


def strip_degree(code: int) -> int:
    """The code of the element alone."""
    return code - code % _DEGREES


@cache  # bounded by the number of atom classes
def weigh(code: int) -> int:
    """A fixed 64-bit weight of an atom class. Sums of weights modulo 2**64 tell histograms apart."""
    return int.from_bytes(hashlib.blake2b(code.to_bytes(4, "big"), digest_size=8).digest(), "big")


def hash_codes(codes: Iterable[int]) -> int:
    """The hash of a histogram given atom by atom. Linear: hash(a + b) = hash(a) + hash(b) modulo 2**64.

    Two histograms with one hash cost a needless check and never an answer.
    """
    return sum(map(weigh, codes)) & _MASK


def hash_delta(delta: Iterable[tuple[int, int]]) -> int:
    """The hash of a difference of histograms."""
    return sum(weigh(code) * count for code, count in delta) & _MASK


def subtract_hashes(left: int, right: int) -> int:
    """The hash of the difference of two histograms from their hashes."""
    return (left - right) & _MASK


def add_hashes(left: int, right: int) -> int:
    """The hash of the sum of two histograms from their hashes."""
    return (left + right) & _MASK


class Candidates(NamedTuple):
    """Template rows that may explain a reaction, each in one of two arrays, both ascending.

    Args:
        regular: their key equals the difference, so no outcome that counts deviates from its template.
        loose: all others: without a key by degree, or such that only a deviating outcome can count.
    """

    regular: Rows
    loose: Rows


class KeyTable:
    """Looks up the template rows that can account for a difference."""

    def __init__(self, keys: list[Key], key_of_row: NDArray[np.int32]) -> None:
        """Index `keys`; `key_of_row` names the key of each template row, -1 for a template without one."""
        order = np.argsort(key_of_row, kind="stable")
        bounds = np.searchsorted(key_of_row[order], np.arange(len(keys) + 1))
        self._rows = [order[bounds[i] : bounds[i + 1]] for i in range(len(keys))]
        self._equal: dict[tuple[int, int], list[int]] = {}
        self._equal_elements: dict[tuple[int, int], list[int]] = {}
        for index, key in enumerate(keys):
            table = self._equal_elements if key.is_by_element else self._equal
            table.setdefault((key.n_reactants, hash_delta(key.delta)), []).append(index)
        deviating = [(index, key) for index, key in enumerate(keys) if key.may_deviate]
        self._dominance = {
            n: _Dominance([(index, key) for index, key in deviating if key.n_reactants == n])
            for n in {key.n_reactants for key in keys}
        }
        self.keyless = order[: bounds[0]] if len(keys) else order
        self.sizes = sorted(self._dominance)
        self._memo: dict[tuple[int, int], Candidates] = {}

    def find_rows(
        self, n_reactants: int, delta_hash: int, count_delta: Callable[[], Histogram]
    ) -> Candidates:
        """Template rows that can give this difference; those without a key are among them.

        Args:
            n_reactants: number of reactant molecules.
            delta_hash: hash of the difference, reactants minus product.
            count_delta: gives the difference itself; called where it was not met lately.
        """
        memo_key = (n_reactants, delta_hash)
        rows = self._memo.get(memo_key)
        if rows is None:
            rows = self._search(n_reactants, delta_hash, count_delta())
            if len(self._memo) >= _MEMO_SIZE:
                self._memo.pop(next(iter(self._memo)))
            self._memo[memo_key] = rows
        return rows

    def may_hold(self, n_reactants: int, delta_hash: int, growth: int) -> bool:
        """Whether `find_rows` may find any; quick, and sure where it says no.

        Args:
            n_reactants, delta_hash: as for `find_rows`.
            growth: number of atoms that the reactants have more than the product.
        """
        if (n_reactants, delta_hash) in self._equal:
            return True
        dominance = self._dominance.get(n_reactants)
        return dominance is not None and (bool(self._equal_elements) or growth >= dominance.floor)

    def _search(self, n_reactants: int, delta_hash: int, delta: Histogram) -> Candidates:
        equal = set(self._equal.get((n_reactants, delta_hash), ()))
        found: set[int] = set()
        if self._equal_elements:
            elements = sum_by_element(delta)
            found.update(self._equal_elements.get((n_reactants, hash_delta(elements.items())), ()))
        if n_reactants in self._dominance:
            found.update(self._dominance[n_reactants].find(delta))
        loose = np.concatenate([self.keyless, *(self._rows[index] for index in found - equal)])
        return Candidates(self._join(equal), np.sort(loose))

    def _join(self, indices: Iterable[int]) -> Rows:
        rows = [self._rows[index] for index in indices]
        return np.sort(np.concatenate(rows)) if rows else np.empty(0, np.intp)


def sum_by_element(delta: Histogram) -> Counter[int]:
    """A histogram by element code, zeros included."""
    elements: Counter[int] = Counter()
    for code, count in delta.items():
        elements[strip_degree(code)] += count
    return elements


class _Dominance:
    """Finds the keys that a difference exceeds, for outcomes that deviate from their template.

    Deviation adds atoms and lowers degrees, so for every element and degree d the number of atoms of degree
    <= d can only grow: the difference must be >= the key in each of these cumulated counts. For a key by
    element all of its counts stand at the highest degree.
    """

    def __init__(self, keys: list[tuple[int, Key]]) -> None:
        self._indices = [index for index, _ in keys]
        elements = sorted({code // _DEGREES for _, key in keys for code, _ in key.delta})
        self._column = {element: i for i, element in enumerate(elements)}
        least = np.zeros((len(keys), len(elements), _DEGREES), np.int32)
        for i, (_, key) in enumerate(keys):
            least[i] = self._cumulate(dict(key.delta), key.is_by_element)
        self._least = least.reshape(len(keys), len(elements) * _DEGREES)
        totals = [sum(count for _, count in key.delta) for _, key in keys]
        self.floor = min(totals, default=1 << 30)

    def find(self, delta: Histogram) -> list[int]:
        """Indices of the keys that the difference is at least as large as."""
        if not self._indices or sum(delta.values()) < self.floor or not self._covers_others(delta):
            return []
        known = {code: n for code, n in delta.items() if code // _DEGREES in self._column}
        is_met = (self._least <= self._cumulate(known, False).reshape(-1)).all(axis=1)
        return [self._indices[i] for i in np.flatnonzero(is_met)]

    def _cumulate(self, delta: Histogram, is_by_element: bool) -> NDArray[np.int32]:
        counts = np.zeros((len(self._column), _DEGREES), np.int32)
        for code, count in delta.items():
            counts[self._column[code // _DEGREES], code % _DEGREES] += count
        if is_by_element:
            totals = counts[:, 0].copy()
            counts[:] = np.iinfo(np.int32).min
            counts[:, -1] = totals
            return counts
        return np.cumsum(counts, axis=1, dtype=np.int32)

    def _covers_others(self, delta: Histogram) -> bool:
        """Whether of the elements that no key mentions the counts up to each degree have not become fewer."""
        cumulated: Counter[int] = Counter()
        for code, count in sorted(delta.items()):
            element = code // _DEGREES
            cumulated[element] += count
            if cumulated[element] < 0 and element not in self._column:
                return False
        return True
