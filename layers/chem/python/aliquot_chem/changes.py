"""What a mapped reaction changes, and which templates are known to make just that change.

Owns the shortcut past RunReactants for reactions with atom maps. Imports RDKit. When it is wrong, templates
are taken to explain what they do not.

A reaction's maps tell for each atom of the product where it is on the left. Where all that differs between
both sides (atoms by their environments, bonds, atoms that the product lacks) lies at the atoms of a
template's edit (see `edits`), the difference is noted relative to these. If RDKit has shown once, on some
reaction, that the edit turns these atoms in these environments into those, an edit at the same places in any
other reaction with the same note gives its reactants too: all other atoms and bonds are the same on both
sides of both reactions, and RunReactants carries them over. What is noted is not that SMILES agreed but that
the outcome is the left side *under the maps* (canonical SMILES with maps), and that sanitising changed no
bond or aromatic atom of it: so the outcome of the other reaction has the left side's atoms and bonds before
it is sanitised, and these RDKit has sanitised already.

Tetrahedral centres come on top of that. RunReactants carries them over at atoms whose bonds stay, matched or
not, if the template does not mention chirality. So nothing but the centres decides where the centres of the
product are those of the left side, with the same neighbours in the same order of rotation, none of them
changed. The left side's canonical SMILES are then those of the outcome, if they do not depend on the maps
with which it was parsed.

Nothing is concluded for molecules with stereochemistry at bonds, radicals or hydrogens that are atoms.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

from rdkit import Chem

from aliquot_chem.configuration import is_seen_without_maps, read_centres
from aliquot_chem.graphs import Environment
from aliquot_chem.molecules import Molecule
from aliquot_chem.outcomes import Outcome

Place = tuple[int, ...]
"""An edit and the product's atoms where it is made, in the order of the edit's."""
Note = tuple[object, ...]

_MAPPED_ATOM = re.compile(r"\[[^\]:]+(?::0*(\d+))?\]|Br|Cl|[BCNOPSFIbcnops]")
_CHIRALITY = "@"
_BOND_STEREO = re.compile(r"[/\\]")
_KEPT = 32_768  # notes of some 500 bytes


class MappedSides(NamedTuple):
    """A reaction's product and reactants, and their text with maps.

    `again` is the product as the templates see it, `product` itself or its canonical SMILES parsed again.
    """

    again: Molecule
    product: Molecule
    product_text: str
    reactants: Sequence[Molecule]
    reactant_texts: Sequence[str]


class Change:
    """What one reaction changes, by its maps.

    Atoms of the left side are numbered over all reactants; the product's as the templates see it.

    Attributes:
        is_chiral: whether any of the molecules has centres.
    """

    def __init__(
        self, sides: MappedSides, before: list[Environment], counterparts: list[int], offsets: list[int]
    ) -> None:
        """Compare both sides.

        Args:
            before: the product's environments.
            counterparts: where on the left each atom of the product is.
            offsets: of each reactant the number of its first atom.
        """
        self._counterparts, self._sides, self._offsets = counterparts, sides, offsets
        after = [own for molecule in sides.reactants for own in molecule.graph.environments]
        self.is_chiral = any(_CHIRALITY in own.text for own in (sides.product, *sides.reactants))
        if self.is_chiral:  # of centres the texts say how they are turned, each in an order of its own
            before, after = _drop_chirality(before), _drop_chirality(after)
        self._before, self._after = before, after
        bonds = {
            (counterparts[begin], counterparts[end], kind)
            if counterparts[begin] < counterparts[end]
            else (counterparts[end], counterparts[begin], kind)
            for begin, kind, end in sides.again.graph.bonds
        }
        given = {
            (begin + offset, end + offset, kind)
            for offset, molecule in zip(offsets, sides.reactants, strict=True)
            for begin, kind, end in molecule.graph.bonds
        }
        self._broken, self._made = bonds - given, given - bonds
        kept = set(counterparts)
        self._added = [atom for atom in range(len(self._after)) if atom not in kept]
        involved = {atom for begin, end, _ in self._broken | self._made for atom in (begin, end)}
        involved.update(
            own
            for own, environment in zip(counterparts, self._before, strict=True)
            if environment != self._after[own]
        )
        self._involved = involved & kept
        self._centres = {counterparts[atom] for atom in sides.again.chiral_atoms}

    def find_nearer(self) -> list[int] | None:
        """Counterparts by which less changes, None where these are as good.

        Maps often take the carbonyl of an amide for the hydroxyl of its acid. Any pairing of the atoms does,
        so an atom that has changed is paired with one of its kind at the same place that the product lacks.
        """
        made, nearer = {(begin, end): kind for begin, end, kind in self._made}, None
        for begin, end, kind in self._broken:
            if (begin, end) not in made:
                continue
            for centre, moved in ((begin, end), (end, begin)):
                own = self._before[self._counterparts.index(moved)]
                for spare in self._added:
                    pair = (centre, spare) if centre < spare else (spare, centre)
                    if made.get(pair) == kind and self._after[spare] == own:
                        nearer = [spare if atom == moved else atom for atom in self._counterparts]
        return nearer

    @cached_property
    def keeps_centres(self) -> bool:
        """Whether the left side is what it is with the product's centres where they were."""
        if not self.is_chiral:
            return True
        sides = self._sides
        found = read_centres(sides.again, self._counterparts)
        for offset, molecule in zip(self._offsets, sides.reactants, strict=True):
            own = read_centres(molecule, range(offset, offset + molecule.n_atoms))
            if found is None or own is None or any(found.pop(atom, None) != own[atom] for atom in own):
                return False
        chiral = [molecule for molecule in sides.reactants if _CHIRALITY in molecule.text]
        return not found and all(map(is_seen_without_maps, chiral))

    def describe(self, place: Place) -> Note | None:
        """The change relative to a place; None where it is not all there."""
        edit, *atoms = place
        own = [self._counterparts[atom] for atom in atoms]
        if not self._involved.issubset(own) or not self._centres.isdisjoint(own):
            return None
        number = {atom: index for index, atom in enumerate((*own, *self._added))}
        before, after = self._before, self._after
        return (
            edit,
            tuple([before[atom] for atom in atoms]),
            tuple([after[atom] for atom in number]),
            *(
                frozenset([(number[begin], number[end], kind) for begin, end, kind in bonds])
                for bonds in (self._broken, self._made)
            ),
        )

    def is_made_by(self, outcome: Outcome) -> bool:
        """Whether the outcome, not yet sanitised, is the left side under the maps, and sanitised as it is.

        The outcome's molecules are changed by this.
        """
        found = []
        for mol in outcome:
            for index in range(mol.GetNumAtoms()):
                atom = mol.GetAtomWithIdx(index)
                if atom.HasProp("react_atom_idx"):
                    atom.SetAtomMapNum(atom.GetIntProp("react_atom_idx") + 1)
            before = _read_state(mol)
            is_sane = Chem.SanitizeMol(mol, catchErrors=True) == Chem.SanitizeFlags.SANITIZE_NONE
            if not is_sane or _read_state(mol) != before:
                return False
            if self.is_chiral:
                Chem.RemoveStereochemistry(mol)
            found.append(Chem.MolToSmiles(mol))
        return sorted(found) == self._left

    @cached_property
    def _left(self) -> list[str]:
        """Canonical SMILES of the left side without centres, its atoms mapped to the product's."""
        atom_of = {own: atom for atom, own in enumerate(self._counterparts)}
        written, offset = [], 0
        for molecule in self._sides.reactants:
            copy = Chem.Mol(molecule.mol)
            for index in range(molecule.n_atoms):
                copy.GetAtomWithIdx(index).SetAtomMapNum(atom_of.get(offset + index, -1) + 1)
            offset += molecule.n_atoms
            if self.is_chiral:
                Chem.RemoveStereochemistry(copy)
            written.append(Chem.MolToSmiles(copy))
        return sorted(written)


def read_change(sides: MappedSides) -> Change | None:
    """The change that a mapped reaction makes; None where nothing may be concluded from its maps."""
    molecules = (sides.product, *sides.reactants)
    if any(_BOND_STEREO.search(own.text) or not own.graph.environments for own in molecules):
        return None
    atom_of_map: dict[str, int] = {}
    offsets, n_atoms, n_mapped = [], 0, 0
    for text, molecule in zip(sides.reactant_texts, sides.reactants, strict=True):
        offsets.append(n_atoms)
        for number in _MAPPED_ATOM.findall(text):
            if number:
                atom_of_map[number] = n_atoms
                n_mapped += 1
            n_atoms += 1
        if n_atoms != offsets[-1] + molecule.n_atoms:
            return None
    maps = _MAPPED_ATOM.findall(sides.product_text)
    if len(maps) != sides.product.n_atoms or len(atom_of_map) != n_mapped:
        return None
    before = sides.product.graph.environments
    if sides.again is not sides.product:
        order = _find_order(sides)
        if order is None:
            return None
        maps, before = [maps[atom] for atom in order], [before[atom] for atom in order]
    counterparts = [atom_of_map.get(number, -1) for number in maps]
    if -1 in counterparts or len(set(counterparts)) != len(counterparts):
        return None
    change = Change(sides, before, counterparts, offsets)
    nearer = change.find_nearer()
    return Change(sides, before, nearer, offsets) if nearer else change


def _find_order(sides: MappedSides) -> list[int] | None:
    """Which atom of the product each of its atoms is once it is parsed again; None where that is not sure."""
    again, product = sides.again, sides.product
    order = product.read_written_order()
    if len(order) != again.n_atoms or again.n_atoms != product.n_atoms:
        return None
    return order if again.classes == [product.classes[atom] for atom in order] else None


def _drop_chirality(environments: list[Environment]) -> list[Environment]:
    return [(token.replace(_CHIRALITY, ""), orders) for token, orders in environments]


class KnownChanges:
    """The notes of changes that an edit is known to make."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._notes: dict[Note, None] = {}

    def __contains__(self, note: Note) -> bool:
        """Whether RDKit has shown that the edit of the note makes its change."""
        return note in self._notes

    def add(self, note: Note) -> None:
        """Keep a note; the oldest goes where there are too many."""
        if len(self._notes) >= _KEPT:
            self._notes.pop(next(iter(self._notes)))
        self._notes[note] = None


def _read_state(mol: Chem.Mol) -> tuple[bytes, list[int]]:
    """The orders of a molecule's bonds, and its aromatic atoms. Sanitising moves no charge without a bond."""
    orders = Chem.GetAdjacencyMatrix(mol, useBO=True, force=True)
    indices = range(mol.GetNumAtoms())
    return orders.tobytes(), [index for index in indices if mol.GetAtomWithIdx(index).GetIsAromatic()]
