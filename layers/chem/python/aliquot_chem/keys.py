"""Difference keys: what the reactants have more than the product, atom by atom class.

Owns the linear hash of a molecule's histogram of (element, degree). Imports the standard library. Equal keys
are *necessary* for an exact match, so when a key is wrong, hits are lost.

Why it holds: a template rewrites its matched atoms only and carries all others over, so the difference in
(element, degree) is the template's own. Charges are left out, since sanitising moves them. It fails in two
ways, both of which leave the outcome with *more* atoms or with *lower* degrees than the template says:
a cut across a ring copies what links the two sides into both fragments, or loses a bond between matched
atoms; and a bond that a template forms may exist already. Templates that can do so `may_deviate`, and they
are found by dominance (`keytable`) where equality does not find them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from functools import cache
from typing import NamedTuple

MAX_DEGREE = 15
N_DEGREES = MAX_DEGREE + 1
N_ELEMENTS = 128
_MASK = (1 << 64) - 1
_FINE_AT = 96  # above the sum of the weights of 2**32 atoms

Histogram = Mapping[int, int]
"""Atom code -> number of atoms, or a difference of such."""


class Key(NamedTuple):
    """What a template adds to the product to give its reactants.

    Args:
        delta: sorted (atom code, difference) pairs without zeros; codes of degree 0 where `is_by_element`.
        n_reactants: molecules that the template gives.
        is_by_element: only elements could be derived, not degrees.
        may_deviate: an outcome may have more atoms, or lower degrees, than `delta` says.
        fine: hash of the difference by element, degree and hydrogens (`fine`); None where that is not told.
    """

    delta: tuple[tuple[int, int], ...]
    n_reactants: int
    is_by_element: bool
    may_deviate: bool
    fine: int | None = None


def encode_atom(atomic_number: int, degree: int) -> int:
    """The code of an atom class; degrees past 15 count as 15."""
    return atomic_number * N_DEGREES + min(degree, MAX_DEGREE)


def encode_fine(code: int, n_hydrogens: int) -> int:
    """The code of an atom class with its hydrogens; more than 15 count as 15."""
    return code << 4 | min(n_hydrogens, 15)


def strip_degree(code: int) -> int:
    """The code of the element alone."""
    return code - code % N_DEGREES


@cache  # bounded by the number of atom classes
def weigh(code: int) -> int:
    """A fixed 64-bit weight of an atom class. Sums of weights modulo 2**64 tell histograms apart."""
    return int.from_bytes(hashlib.blake2b(code.to_bytes(4, "big"), digest_size=8).digest(), "big")


def weigh_atom(code: int, n_hydrogens: int) -> int:
    """Both weights of an atom, by class and by class and hydrogens, in a number to sum and then split."""
    return weigh(encode_fine(code, n_hydrogens)) << _FINE_AT | weigh(code)


def split_weight(total: int) -> tuple[int, int]:
    """The hash of the atoms' histogram, and that of their histogram by class and hydrogens."""
    return total & _MASK, total >> _FINE_AT & _MASK


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
