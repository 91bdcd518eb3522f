"""From a molecule to the sets of precursors that retro templates give of it, ranked.

A set is what one outcome of one template leaves: every molecule of it sanitised and written, parts of salts
apart, each as its key (see `stock`), each once. An outcome of which a molecule does not sanitise or is not
read back is none, nor is one that holds the molecule itself. Sets come by the rank of their template (score,
then id), those of one template by their text; a set that several templates give is the first's.

Owns this definition and the order of the work: templates are tried by rank, those that cannot match left out
by `patterns`, until there are as many sets as were asked for. Imports RDKit and NumPy. When it is wrong,
precursors are lost that running every template (`benchmarks/naive_retro.py`) would give.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, rdBase

from aliquot_chem.molecules import Molecule, read_smiles
from aliquot_chem.outcomes import Outcome, RunnableTemplate, write_outcome_smiles
from aliquot_chem.patterns import PatternTable
from aliquot_chem.prepared import Prepared
from aliquot_chem.rowsets import Rows
from aliquot_chem.stock import write_key
from aliquot_chem.verifying import TEMPLATES_KEPT

_LEAVES_KEPT = 8_192

Leaves = tuple[str, ...]
"""Keys of molecules, ascending, each once."""
Known = dict[bytes, list[str] | None]
"""The keys of an outcome's molecule by its binary form: matches and templates often give the very same."""


class PrecursorSet(NamedTuple):
    """Molecules from which a template makes another, the template, and its score for this."""

    template_id: str
    score: float
    leaves: Leaves


class Ranking(Protocol):
    """In which order the template rows are tried on a molecule."""

    def order(self, molecule: Molecule) -> Rows:
        """All rows that may be tried, the first first."""

    def score(self, molecule: Molecule) -> NDArray[np.float64]:
        """The score of each template row."""


class FixedRanking:
    """One order for all molecules: by score, then by id."""

    def __init__(self, ids: list[str], scores: NDArray[np.float64]) -> None:
        """Rank templates of these ids and scores."""
        self._scores = scores
        by_rank = sorted(range(len(ids)), key=lambda row: (-scores[row], ids[row]))
        self._order = np.array(by_rank, np.intp)

    def order(self, molecule: Molecule) -> Rows:  # noqa: ARG002  # it is the same for all
        """See `Ranking`."""
        return self._order

    def score(self, molecule: Molecule) -> NDArray[np.float64]:  # noqa: ARG002  # as above
        """See `Ranking`."""
        return self._scores


class Expander:
    """The retro templates, ready to be run on one molecule after the other."""

    def __init__(self, prepared: Prepared, ranking: Ranking, most_sets: int) -> None:
        """Index the templates of `prepared`; an expansion has at most so many sets."""
        self._ids, self._ranking, self._most_sets = prepared.ids, ranking, most_sets
        self._patterns = PatternTable(prepared)
        self._pattern_of_row = prepared.pattern_of_row[:, 1].astype(np.intp)  # a retro template has one
        smarts = prepared.smarts

        def parse(row: int) -> RunnableTemplate:
            return RunnableTemplate(smarts[row])

        self._template = lru_cache(TEMPLATES_KEPT)(parse)
        self._read_leaf = lru_cache(_LEAVES_KEPT)(write_key)

    def expand(self, key: str) -> list[PrecursorSet]:
        """The sets of the molecule of this key, ranked."""
        mol = read_smiles(key)
        if mol is None:  # of a few molecules RDKit does not read what it has written
            return []
        molecule, found = Molecule(mol, key), dict[Leaves, PrecursorSet]()
        known: Known = {}
        scores = self._ranking.score(molecule)
        with rdBase.BlockLogs():
            for row in self._iterate_matching(molecule):
                own = {leaves for leaves in self._iterate_leaves(row, mol, known) if key not in leaves}
                for leaves in sorted(own - found.keys()):
                    found[leaves] = PrecursorSet(self._ids[row], float(scores[row]), leaves)
                if len(found) >= self._most_sets:
                    break
        return list(found.values())[: self._most_sets]

    def _iterate_matching(self, molecule: Molecule) -> Iterator[int]:
        """The template rows of which the molecule holds the pattern, by rank; matched when asked for."""
        is_passing = np.zeros(len(self._patterns), np.bool_)
        is_passing[self._patterns.screen(molecule)] = True
        order = self._ranking.order(molecule)
        rows = order[is_passing[self._pattern_of_row[order]]]
        is_held: dict[int, bool] = {}
        for row, pattern in zip(rows.tolist(), self._pattern_of_row[rows].tolist(), strict=True):
            if pattern not in is_held:
                is_held[pattern] = self._patterns.holds(molecule, pattern)
            if is_held[pattern]:
                yield row

    def _iterate_leaves(self, row: int, mol: Chem.Mol, known: Known) -> Iterator[Leaves]:
        """What each outcome of a template leaves."""
        for outcome in self._template(row).run((mol,)):
            leaves = self._read_outcome(outcome, known)
            if leaves is not None:
                yield tuple(sorted(leaves))

    def _read_outcome(self, outcome: Outcome, known: Known) -> set[str] | None:
        leaves: set[str] = set()
        for mol in outcome:
            form = mol.ToBinary()
            if form not in known:
                known[form] = self._list_parts(mol)
            parts = known[form]
            if parts is None:
                return None
            leaves.update(parts)
        return leaves

    def _list_parts(self, mol: Chem.Mol) -> list[str] | None:
        """The keys of a molecule's parts, None where it does not sanitise or is not read back."""
        smiles = write_outcome_smiles(mol, is_isomeric=True)
        if smiles is None:
            return None
        keys = [self._read_leaf(part) for part in smiles.split(".")]
        found = [key for key in keys if key is not None]
        return found if len(found) == len(keys) else None
