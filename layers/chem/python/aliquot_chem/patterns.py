"""Which of the templates' distinct patterns a molecule holds.

Owns the order of the two tests, bits before a match, and the bounded store of parsed patterns. Imports RDKit
and NumPy. When it is wrong, hits are lost or verified in vain.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from rdkit import Chem

from aliquot_chem.bitset import Flags, OfferTable, Words
from aliquot_chem.centres import CentreTable
from aliquot_chem.molecules import Molecule
from aliquot_chem.prepared import Prepared, load_centres
from aliquot_chem.rowsets import Rows
from aliquot_chem.templates import read_pattern

Matches = Sequence[Sequence[int]]
"""Per match the molecule's atoms, in the order of the pattern's."""

_MOST_MATCHES = 1_000
_PATTERNS_KEPT = 8_192  # about 10 kB each


class Screen(NamedTuple):
    """The bits that each pattern requires, and those that one molecule refuses."""

    required: Words
    refused: Words

    def pass_all(self, patterns: Rows) -> Flags:
        """Which of the patterns the bits do not rule out."""
        return np.asarray(~(self.required[patterns] & self.refused).any(axis=1))

    def list_passing(self, required_by_word: Words) -> Rows:
        """All patterns that the bits do not rule out, ascending; `required`, transposed, is given."""
        passing = np.flatnonzero((required_by_word[0] & self.refused[0]) == 0)
        for required, refused in zip(required_by_word[1:], self.refused[1:], strict=True):
            passing = passing[(required[passing] & refused) == 0]  # few are left after a word or two
        return passing


class PatternTable:
    """The distinct patterns; each is parsed on first use."""

    def __init__(self, prepared: Prepared) -> None:
        """Index the patterns of `prepared`."""
        self._required = np.asarray(prepared.required)
        self._folder = prepared.folder
        self._by_word = np.ascontiguousarray(self._required.T)
        self.offers = OfferTable(prepared.bits)
        binaries, ends = prepared.pattern_binaries, prepared.pattern_ends.tolist()

        def read(pattern: int) -> Chem.Mol:
            return read_pattern(binaries[ends[pattern] : ends[pattern + 1]].tobytes())

        self._read = lru_cache(_PATTERNS_KEPT)(read)

    def __len__(self) -> int:
        """How many patterns there are."""
        return len(self._required)

    def open_screen(self, molecule: Molecule) -> Screen:
        """What tells by bits alone which patterns the molecule cannot hold."""
        return Screen(self._required, ~self.offers.pack_offer(molecule))

    def screen(self, molecule: Molecule, patterns: Rows | None = None) -> Rows:
        """Those of `patterns` (of all where None) that bits and centres do not rule out, ascending."""
        screen = self.open_screen(molecule)
        if patterns is None:
            passing = screen.list_passing(self._by_word)
        else:
            distinct = np.unique(patterns)
            passing = distinct[screen.pass_all(distinct)]
        return self._centres.keep(passing, molecule)

    @cached_property
    def _centres(self) -> CentreTable:
        return CentreTable(*load_centres(self._folder))

    def find_held(self, molecule: Molecule, patterns: Rows | None = None) -> Flags:
        """Per pattern, whether it is one of `patterns` (of all where None) and the molecule holds it.

        Chirality is not regarded.
        """
        is_held = np.zeros(len(self._required), np.bool_)
        if patterns is None or len(patterns):
            holds = molecule.mol.HasSubstructMatch
            is_held[[p for p in self.screen(molecule, patterns).tolist() if holds(self._read(p))]] = True
        return is_held

    def holds(self, molecule: Molecule, pattern: int) -> bool:
        """Whether the molecule holds the pattern, chirality not regarded."""
        return molecule.mol.HasSubstructMatch(self._read(pattern))

    def list_matches(self, molecule: Molecule, pattern: int) -> Matches | None:
        """Every match of the pattern, None where it has too many to list."""
        matches: Matches = molecule.mol.GetSubstructMatches(
            self._read(pattern), uniquify=False, maxMatches=_MOST_MATCHES
        )
        return matches if len(matches) < _MOST_MATCHES else None
