"""The lookup from a difference to the template rows whose keys can account for it.

Owns the search by equality and by dominance; `keys` says why keys hold and when outcomes deviate from them.
Imports NumPy, no RDKit. When a row is not found, hits are lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aliquot_chem.keys import N_DEGREES, Histogram, Key, hash_delta, strip_degree

_MEMO_SIZE = 20_000

Rows = NDArray[np.intp]


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
        elements = sorted({code // N_DEGREES for _, key in keys for code, _ in key.delta})
        self._column = {element: i for i, element in enumerate(elements)}
        least = np.zeros((len(keys), len(elements), N_DEGREES), np.int32)
        for i, (_, key) in enumerate(keys):
            least[i] = self._cumulate(dict(key.delta), key.is_by_element)
        self._least = least.reshape(len(keys), len(elements) * N_DEGREES)
        totals = [sum(count for _, count in key.delta) for _, key in keys]
        self.floor = min(totals, default=1 << 30)

    def find(self, delta: Histogram) -> list[int]:
        """Indices of the keys that the difference is at least as large as."""
        if not self._indices or sum(delta.values()) < self.floor or not self._covers_others(delta):
            return []
        known = {code: n for code, n in delta.items() if code // N_DEGREES in self._column}
        is_met = (self._least <= self._cumulate(known, False).reshape(-1)).all(axis=1)
        return [self._indices[i] for i in np.flatnonzero(is_met)]

    def _cumulate(self, delta: Histogram, is_by_element: bool) -> NDArray[np.int32]:
        counts = np.zeros((len(self._column), N_DEGREES), np.int32)
        for code, count in delta.items():
            counts[self._column[code // N_DEGREES], code % N_DEGREES] += count
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
            element = code // N_DEGREES
            cumulated[element] += count
            if cumulated[element] < 0 and element not in self._column:
                return False
        return True
