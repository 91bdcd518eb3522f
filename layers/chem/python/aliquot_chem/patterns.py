"""Which of the templates' distinct patterns a molecule holds.

Owns the order of the two tests, bits before a match, and the bounded store of parsed patterns. Imports RDKit
and NumPy. When it is wrong, hits are lost or verified in vain.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
from rdkit import Chem

from aliquot_chem.bitset import Classified, Flags, OfferTable
from aliquot_chem.keytable import Rows
from aliquot_chem.prepared import Prepared
from aliquot_chem.templates import read_pattern

Matches = Sequence[Sequence[int]]
"""Per match the molecule's atoms, in the order of the pattern's."""

_MOST_MATCHES = 1_000
_PATTERNS_KEPT = 8_192  # about 10 kB each


class PatternTable:
    """The distinct patterns; each is parsed on first use."""

    def __init__(self, prepared: Prepared) -> None:
        """Index the patterns of `prepared`."""
        self._required = np.asarray(prepared.required)
        self.offers = OfferTable(prepared.bits)
        binaries, ends = prepared.pattern_binaries, prepared.pattern_ends.tolist()

        def read(pattern: int) -> Chem.Mol:
            return read_pattern(binaries[ends[pattern] : ends[pattern + 1]].tobytes())

        self._read = lru_cache(_PATTERNS_KEPT)(read)

    def screen(self, molecule: Classified, patterns: Rows | None = None) -> Rows:
        """Those of `patterns` (of all where None) that the bits do not rule out, ascending."""
        refused = ~self.offers.pack_offer(molecule)
        if patterns is None:
            return np.flatnonzero(~(self._required & refused).any(axis=1))
        is_asked = np.zeros(len(self._required), np.bool_)
        is_asked[patterns] = True
        distinct = np.flatnonzero(is_asked)
        return distinct[~(self._required[distinct] & refused).any(axis=1)]

    def find_held(self, molecule: Chem.Mol, classified: Classified, patterns: Rows | None = None) -> Flags:
        """Per pattern, whether it is one of `patterns` (of all where None) and the molecule holds it.

        Chirality is not regarded. `classified` is the molecule by `offers.classify`.
        """
        is_held = np.zeros(len(self._required), np.bool_)
        if patterns is None or len(patterns):
            passing = self.screen(classified, patterns).tolist()
            is_held[[p for p in passing if molecule.HasSubstructMatch(self._read(p))]] = True
        return is_held

    def match_all(self, molecule: Chem.Mol, patterns: Iterable[int]) -> dict[int, Matches | None]:
        """Every match of each pattern, None for a pattern that has too many to list."""
        found: dict[int, Matches | None] = {}
        for pattern in set(patterns):
            matches = molecule.GetSubstructMatches(
                self._read(pattern), uniquify=False, maxMatches=_MOST_MATCHES
            )
            found[pattern] = matches if len(matches) < _MOST_MATCHES else None
        return found
