"""What a SMARTS atom or bond asks, as a small tree that can be evaluated without a molecule.

Owns the reading of RDKit's own description of a query (so that RDKit's parser decides what SMARTS means)
and its three-valued evaluation: True, False, or None where the description uses something that is not
modelled here (`$()`, ring primitives, ranges, ...). Imports the standard library to run. When it answers
False for a query that would match, hits are lost; None is always safe.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

Tree = tuple[object, ...]
"""("and"|"or", tree, tree, ...), ("is", name, value, is_negated), or ("unknown",)."""

BondAsk = tuple[str, str, str]
"""Descriptions of a two-atom query: the lower atom, the bond, the higher atom (in text order)."""

RayAsk = tuple[str, str]
"""Descriptions of a bond and of the atom that it leads to."""

_LEAF = re.compile(r"(\w+) (-?\d+) (=|!=) val")
_UNKNOWN: Tree = ("unknown",)
_ANYTHING = ("AtomNull", "BondNull")
_BRANCHES = {"AtomAnd": "and", "BondAnd": "and", "AtomOr": "or", "BondOr": "or"}
_AROMATIC_OFFSET = 1000
_SINGLE, _AROMATIC = 1, 12
_DESCRIPTIONS_KEPT = 4_096  # ten thousand templates have some hundreds


class AtomClass(NamedTuple):
    """All that a modelled atom query can depend on; `n_hydrogens` counts explicit neighbours too."""

    atomic_number: int
    is_aromatic: bool
    degree: int
    n_hydrogens: int
    charge: int
    isotope: int


@lru_cache(_DESCRIPTIONS_KEPT)
def parse_query(description: str) -> Tree:
    """The tree of a query from RDKit's description, in which depth is indentation by two."""
    rows = description.splitlines()
    lines = [((len(row) - len(row.lstrip())) // 2, row.strip()) for row in rows if row]
    tree, rest = _parse_lines(lines, 0)
    return tree if rest == len(lines) else _UNKNOWN


def _parse_lines(lines: list[tuple[int, str]], at: int) -> tuple[Tree, int]:
    if at >= len(lines):
        return _UNKNOWN, at
    depth, text = lines[at]
    after = at + 1
    children: list[Tree] = []
    while after < len(lines) and lines[after][0] > depth:
        child, after = _parse_lines(lines, after)
        children.append(child)
    if text in _BRANCHES and children:
        return (_BRANCHES[text], *children), after
    if text in _ANYTHING and not children:
        return ("and",), after
    leaf = _LEAF.fullmatch(text)
    if leaf is None or children:
        return _UNKNOWN, after
    return ("is", leaf[1], int(leaf[2]), leaf[3] == "!="), after


@lru_cache(_DESCRIPTIONS_KEPT)
def find_value(tree: Tree, name: str) -> int | None:
    """The value that the query fixes for primitive `name`, None where it leaves it open."""
    values = {leaf[2] for leaf in _iterate_conjuncts(tree) if leaf[1] == name and not leaf[3]}
    value = next(iter(values)) if len(values) == 1 else None
    return value if isinstance(value, int) else None


@lru_cache(_DESCRIPTIONS_KEPT)
def find_element(tree: Tree) -> int | None:
    """The atomic number that the query fixes, None where it leaves it open."""
    kind = find_value(tree, "AtomType")
    return find_value(tree, "AtomAtomicNum") if kind is None else kind % _AROMATIC_OFFSET


@lru_cache(_DESCRIPTIONS_KEPT)
def read_class(description: str) -> tuple[int | None, int | None]:
    """The element and the degree that an atom's query fixes, each None where it leaves it open."""
    tree = parse_query(description)
    return find_element(tree), find_value(tree, "AtomExplicitDegree")


def _iterate_conjuncts(tree: Tree) -> Iterator[Tree]:
    if tree[0] == "is":
        yield tree
    elif tree[0] == "and":
        for child in tree[1:]:
            if isinstance(child, tuple):
                yield from _iterate_conjuncts(child)


def evaluate_atom(tree: Tree, atom: AtomClass) -> bool | None:
    """Whether an atom of that class matches; None where the query asks more than a class tells."""
    return _evaluate(tree, _atom_values(atom))


def evaluate_bond(tree: Tree, bond_type: int) -> bool | None:
    """Whether a bond of that RDKit bond type matches; None where the query asks more than its type."""
    return _evaluate(tree, _bond_values(bond_type))


def _atom_values(atom: AtomClass) -> dict[str, int]:
    return {
        "AtomType": atom.atomic_number + _AROMATIC_OFFSET * atom.is_aromatic,
        "AtomAtomicNum": atom.atomic_number,
        "AtomIsAromatic": int(atom.is_aromatic),
        "AtomIsAliphatic": int(not atom.is_aromatic),
        "AtomExplicitDegree": atom.degree,
        "AtomHCount": atom.n_hydrogens,
        "AtomFormalCharge": atom.charge,
        "AtomIsotope": atom.isotope,
    }


def _bond_values(bond_type: int) -> dict[str, int]:
    return {"BondOrder": bond_type, "SingleOrAromaticBond": int(bond_type in (_SINGLE, _AROMATIC))}


def _evaluate(tree: Tree, values: dict[str, int]) -> bool | None:
    if tree[0] == "unknown":
        return None
    if tree[0] == "is":
        _, name, wanted, is_negated = tree
        return None if name not in values else (values[str(name)] == wanted) != is_negated
    answers = [_evaluate(child, values) for child in tree[1:] if isinstance(child, tuple)]
    decisive = tree[0] == "or"
    if decisive in answers:
        return decisive
    return None if None in answers else not decisive
