"""The lookup from a difference to the template rows whose keys can account for it.

Owns the search by equality and by dominance; `keys` says why keys hold and when outcomes deviate from them.
Imports NumPy, no RDKit. When a row is not found, hits are lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aliquot_chem.keys import N_DEGREES, N_ELEMENTS, Histogram, Key, hash_delta, strip_degree
from aliquot_chem.rowsets import RowSet, group_rows

_MEMO_SIZE = 8_192


class Candidates(NamedTuple):
    """Template rows that may explain a reaction.

    Args:
        regular: row sets whose key equals the difference: no outcome that counts deviates from its template.
        loose: all others: without a key by degree, or such that only a deviating outcome can count.
    """

    regular: Sequence[RowSet]
    loose: Sequence[RowSet]


class Difference(NamedTuple):
    """What some reactants have more than a product.

    Args:
        n_reactants: number of reactant molecules.
        hash: of the histograms' difference.
        fine: of their difference by class and hydrogens; None where it is not known.
    """

    n_reactants: int
    hash: int
    fine: int | None


class KeyTable:
    """Looks up the template rows that can account for a difference."""

    def __init__(self, keys: list[Key], key_of_row: NDArray[np.int32], cut_of_row: NDArray[np.int32]) -> None:
        """Index `keys`; `key_of_row` names the key of each template row, -1 for a template without one."""
        order = np.argsort(key_of_row, kind="stable")
        bounds = np.searchsorted(key_of_row[order], np.arange(len(keys) + 1))
        self._rows = [group_rows(order[bounds[i] : bounds[i + 1]], cut_of_row) for i in range(len(keys))]
        self._keys = keys
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
        self._hashes = {delta_hash for _, delta_hash in self._equal}
        self._least_elements = _list_least_elements([key for _, key in deviating])
        keyless = order[: bounds[0]] if len(keys) else order
        self.keyless = Candidates((), [group_rows(keyless, cut_of_row)] if len(keyless) else [])
        self.sizes = sorted(self._dominance)
        self._memo: dict[Difference, Candidates] = {}

    def find_rows(self, difference: Difference, count_delta: Callable[[], Histogram]) -> Candidates:
        """Template rows that can give this difference; those without a key are among them.

        `count_delta` gives the histograms' difference itself; it is called where it was not met lately.
        """
        found = self._memo.get(difference)
        if found is None:
            found = self._search(difference, count_delta())
            if len(self._memo) >= _MEMO_SIZE:
                self._memo.pop(next(iter(self._memo)))
            self._memo[difference] = found
        return found

    def may_hold(self, hashes: NDArray[np.uint64], elements: NDArray[np.int64]) -> NDArray[np.bool_]:
        """For which differences `find_rows` may find any; quick, and sure where it says no.

        Args:
            hashes: of the differences, shape (n,).
            elements: how many atoms the reactants have more, by atomic number; shape (n, N_ELEMENTS).
        """
        if self._equal_elements:
            return np.ones(len(hashes), np.bool_)
        is_covering = np.asarray((elements >= self._least_elements).all(axis=1))
        # A set, as np.isin sorts both sides at every call.
        return is_covering | np.array([own in self._hashes for own in hashes.tolist()], np.bool_)

    def _search(self, difference: Difference, delta: Histogram) -> Candidates:
        n_reactants, delta_hash, fine = difference
        equal = set(self._equal.get((n_reactants, delta_hash), ()))
        found: set[int] = set()
        if self._equal_elements:
            elements = sum_by_element(delta)
            found.update(self._equal_elements.get((n_reactants, hash_delta(elements.items())), ()))
        if n_reactants in self._dominance:
            found.update(self._dominance[n_reactants].find(delta))
        # A key that equals the difference but for its hydrogens is not loose: no such outcome deviates.
        loose = [*self.keyless.loose, *(self._rows[index] for index in found - equal)]
        regular = [self._rows[i] for i in equal if _agree(self._keys[i].fine, fine)]
        return Candidates(regular, loose)


def _list_least_elements(keys: Sequence[Key]) -> NDArray[np.int64]:
    """What of each element some of the keys adds at least; nothing is enough where there are no keys."""
    least = np.full(N_ELEMENTS, 0 if keys else 1 << 30, np.int64)
    for key in keys:
        for element, count in sum_by_element(dict(key.delta)).items():
            index = element // N_DEGREES
            least[index] = min(least[index], count)
    return least


def _agree(one: int | None, other: int | None) -> bool:
    return one is None or other is None or one == other


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
        self._least, self._totals = least, np.ascontiguousarray(least[:, :, -1])
        self._floor = min((sum(count for _, count in key.delta) for _, key in keys), default=1 << 30)

    def find(self, delta: Histogram) -> list[int]:
        """Indices of the keys that the difference is at least as large as."""
        if not self._indices or sum(delta.values()) < self._floor or not self._covers_others(delta):
            return []
        known = {code: n for code, n in delta.items() if n and code // N_DEGREES in self._column}
        counts = self._cumulate(known, False)
        # By element alone first: few are left to be compared degree by degree.
        likely = np.flatnonzero((self._totals <= counts[:, -1]).all(axis=1))
        is_met = (self._least[likely] <= counts).all(axis=(1, 2))
        return [self._indices[i] for i in likely[is_met].tolist()]

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
