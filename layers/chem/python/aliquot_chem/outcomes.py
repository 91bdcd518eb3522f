"""Runs a template on molecules and compares what it gives with what is expected.

Owns the exact definition of "explains": RunReactants, sanitise every molecule, clear the maps, compare
canonical SMILES. Imports RDKit. Nothing here may be skipped unless it provably cannot change the answer:
numbers of atoms are compared first, because equal SMILES have equal numbers of atoms.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from operator import itemgetter
from typing import TypeVar

from rdkit import Chem
from rdkit.Chem import rdChemReactions

from aliquot_chem.molecules import Molecule, count_fragment_atoms

T = TypeVar("T")
Outcome = Sequence[Chem.Mol]


class RunnableTemplate:
    """A template's reaction, and whether every molecule that it gives is in one piece."""

    def __init__(self, smarts: str) -> None:
        """Parse `smarts`, which `templates.parse_reaction` has accepted before."""
        self._reaction = rdChemReactions.ReactionFromSmarts(smarts)
        self._reaction.Initialize()
        given = [self._reaction.GetProductTemplate(i) for i in range(self._reaction.GetNumProductTemplates())]
        self.gives_one_piece_each = all(len(count_fragment_atoms(molecule)) == 1 for molecule in given)

    def run(self, molecules: Sequence[Chem.Mol]) -> Sequence[Outcome]:
        """The outcomes on `molecules`, unsanitised: RDKit's, up to its own limit of 1,000."""
        outcomes: Sequence[Outcome] = self._reaction.RunReactants(tuple(molecules))
        return outcomes


class Expected:
    """The molecules that an outcome is compared with.

    An outcome agrees if its fragments are those of all these molecules, or, if `is_subset`, those of some of
    them. A salt is one molecule of several fragments: it is there whole or not at all.
    """

    def __init__(self, molecules: Sequence[Molecule], is_subset: bool, is_isomeric: bool) -> None:
        """Expect `molecules`; their SMILES are written when an outcome first has the right sizes."""
        self._molecules, self._is_subset, self._is_isomeric = molecules, is_subset, is_isomeric
        self._has_salts = any(len(molecule.fragment_sizes) > 1 for molecule in molecules)
        self._sizes = sorted(molecule.n_atoms for molecule in molecules)
        self._smiles_by_size: dict[int, list[str]] = {}
        self._written: dict[bytes, str | None] = {}

    def find_agreeing(self, template: RunnableTemplate, product: Chem.Mol) -> Outcome | None:
        """The first outcome of the template on the product that agrees, None where none does."""
        outcomes = template.run((product,))
        if not template.gives_one_piece_each or self._has_salts:
            return next(filter(self._agrees_by_fragments, outcomes), None)
        write = self._write_once if len(outcomes) > 1 else self._write
        return next((outcome for outcome in outcomes if self._agrees(outcome, write)), None)

    def _agrees(self, outcome: Outcome, write: Callable[[Chem.Mol], str | None]) -> bool:
        """Whether the outcome's molecules are the expected ones, all of them being in one piece."""
        sizes = [mol.GetNumAtoms() for mol in outcome]
        if self._is_subset:
            if any(sizes.count(size) > self._sizes.count(size) for size in sizes):
                return False
        elif sorted(sizes) != self._sizes:
            return False
        found: list[str] = []
        # The smallest first: of a wrong outcome it is mostly wrong too, and the least work.
        for size, mol in sorted(zip(sizes, outcome, strict=True), key=itemgetter(0)):
            smiles = write(mol)
            if smiles is None or found.count(smiles) >= self._write_size(size).count(smiles):
                return False
            found.append(smiles)
        return True

    def _write(self, mol: Chem.Mol) -> str | None:
        return write_outcome_smiles(mol, self._is_isomeric)

    def _write_once(self, mol: Chem.Mol) -> str | None:
        """As `_write`; what was met before in the very same form is not worked out again.

        Symmetric matches often give, atom for atom, the same.
        """
        form = mol.ToBinary()
        if form not in self._written:
            self._written[form] = self._write(mol)
        return self._written[form]

    def _write_size(self, size: int) -> list[str]:
        """SMILES of the expected molecules that have so many atoms."""
        written = self._smiles_by_size.get(size)
        if written is None:
            alike = [molecule for molecule in self._molecules if molecule.n_atoms == size]
            written = [molecule.write_smiles(self._is_isomeric) for molecule in alike]
            self._smiles_by_size[size] = written
        return written

    def _agrees_by_fragments(self, outcome: Outcome) -> bool:
        """As `_agrees`, for salts on either side."""
        sizes = Counter(size for mol in outcome for size in count_fragment_atoms(mol))
        if not self._covers(sizes, [Counter(molecule.fragment_sizes) for molecule in self._molecules]):
            return False
        written = [write_outcome_smiles(mol, self._is_isomeric) for mol in outcome]
        found = _count_fragments(smiles for smiles in written if smiles is not None)
        expected = [
            _count_fragments([molecule.write_smiles(self._is_isomeric)]) for molecule in self._molecules
        ]
        return None not in written and self._covers(found, expected)

    def _covers(self, found: Counter[T], expected: Sequence[Counter[T]]) -> bool:
        """Whether `found` is the sum of `expected`, or of some of it."""
        if not self._is_subset:
            return found == sum(expected, Counter())
        return _is_sum_of_some(found, [own for own in expected if own <= found])


def _is_sum_of_some(found: Counter[T], expected: Sequence[Counter[T]]) -> bool:
    singles = sum((own for own in expected if own.total() == 1), Counter[T]())
    salts = [own for own in expected if own.total() > 1]
    return any(
        taken <= found and found - taken <= singles
        for n in range(len(salts) + 1)
        for some in combinations(salts, n)
        for taken in [sum(some, Counter[T]())]
    )


def includes(outcome: Outcome, product: Molecule, is_isomeric: bool) -> bool:
    """Whether the outcome sanitises and the product, with all of its fragments, is among its molecules."""
    sizes = Counter(size for mol in outcome for size in count_fragment_atoms(mol))
    if not Counter(product.fragment_sizes) <= sizes:
        return False
    written = [write_outcome_smiles(mol, is_isomeric) for mol in outcome]
    found = _count_fragments(smiles for smiles in written if smiles is not None)
    return None not in written and _count_fragments([product.write_smiles(is_isomeric)]) <= found


def _count_fragments(written: Iterable[str]) -> Counter[str]:
    return Counter(fragment for smiles in written for fragment in smiles.split("."))


def write_outcome_smiles(mol: Chem.Mol, is_isomeric: bool) -> str | None:
    """Canonical SMILES of one molecule of an outcome, None where it does not sanitise.

    There are no maps to clear: RunReactants leaves none where its molecules had none
    (test_outcomes_carry_no_maps).
    """
    if Chem.SanitizeMol(mol, catchErrors=True) != Chem.SanitizeFlags.SANITIZE_NONE:
        return None
    return Chem.MolToSmiles(mol, isomericSmiles=is_isomeric)
