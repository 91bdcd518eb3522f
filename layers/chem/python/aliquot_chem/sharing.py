"""Verdicts on one product that templates share: what the run of one has shown of an edit holds for others.

Owns when that is allowed. Templates with one edit (see `edits`) at the same atoms give the same outcome, so
if one explains the reaction, so does the other. Imports RDKit and NumPy. When a verdict is shared wrongly,
answers are wrong.
"""

from __future__ import annotations

from rdkit.Chem import rdqueries

from aliquot_chem.changes import Place
from aliquot_chem.molecules import Molecule
from aliquot_chem.outcomes import Outcome
from aliquot_chem.patterns import Matches
from aliquot_chem.prepared import Prepared

_IS_RADICAL = rdqueries.NumRadicalElectronsGreaterQueryAtom(0)


class EditTable:
    """The edits of the template rows."""

    def __init__(self, prepared: Prepared) -> None:
        """Index the edits of `prepared`."""
        self.asks_chirality = ["@" in smarts for smarts in prepared.smarts]  # or a ring bond, needlessly
        self.edit_of_row: list[int] = prepared.edit_of_row.tolist()
        self._places, self._ends = prepared.edit_places, prepared.edit_ends
        self._listed: dict[int, list[list[int]]] = {}

    def list_places(self, row: int) -> list[list[int]]:
        """See `edits.PlacedEdit.places`."""
        if row not in self._listed:
            self._listed[row] = self._places[self._ends[row] : self._ends[row + 1]].tolist()
        return self._listed[row]

    def locate_outcome(self, row: int, outcome: Outcome) -> Place:
        """Where the template has made its edit to give the outcome."""
        atoms = [outcome[r].GetAtomWithIdx(a) for _, r, a in self.list_places(row)]
        return (self.edit_of_row[row], *[atom.GetIntProp("react_atom_idx") for atom in atoms])


class Verdicts:
    """What is known of the edits of one product."""

    def __init__(self, table: EditTable, product: Molecule) -> None:
        """Know nothing yet. Nothing is shared where outcomes may depend on more than the edit."""
        self._table, self._known = table, dict[Place, bool]()
        text, mol = product.text, product.mol
        has_radicals = "[" in text and len(mol.GetAtomsMatchingQuery(_IS_RADICAL)) > 0
        self._is_idle = has_radicals or len(product.fragment_sizes) > 1 or "/" in text or "\\" in text
        self._chiral = set(product.chiral_atoms)

    def locate(self, row: int, matches: Matches | None) -> set[Place]:
        """Where the template may make its edit; nowhere if its verdict cannot be shared.

        Args:
            row: a template that no outcome deviates from (see `keys`).
            matches: all matches of its pattern that may explain the reaction.
        """
        edit = self._table.edit_of_row[row]
        if self._is_idle or edit < 0 or matches is None:
            return set()
        own = [place[0] for place in self._table.list_places(row)]
        places = {(edit, *[match[index] for index in own]) for match in matches}
        if self._chiral:
            touched = matches if self._table.asks_chirality[row] else [atoms for _, *atoms in places]
            if not all(map(self._chiral.isdisjoint, touched)):
                return set()
        return places

    def recall(self, places: set[Place]) -> bool | None:
        """Whether an edit at one of the places explains the reaction; None where that is not known."""
        verdicts = [self._known.get(place) for place in places]
        if True in verdicts:
            return True
        return False if verdicts and None not in verdicts else None

    def learn(self, row: int, places: set[Place], outcome: Outcome | None) -> None:
        """Note what running the template has given: the outcome that agrees, None where none does."""
        if places and outcome is not None:
            self.settle(self._table.locate_outcome(row, outcome))
        else:
            self._known.update(dict.fromkeys(places, False))

    def settle(self, place: Place) -> None:
        """Note that the edit at the place explains the reaction."""
        self._known[place] = True
