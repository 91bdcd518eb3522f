"""Morgan fingerprints, as the bits that are set.

Owns the settings, and what of RDKit computes them. Imports NumPy and RDKit. When it is wrong, fingerprints
are compared that were made otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import rdkit
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator

Bits = NDArray[np.uint16]


@dataclass(frozen=True)
class Settings:
    """How fingerprints are made: of which radius, folded to how many bits."""

    radius: int
    bits: int

    def to_plain(self) -> dict[str, Any]:
        """Plain values, with the version of what computes them."""
        return {"type": "morgan", **asdict(self), "rdkit": rdkit.__version__}


def open_fingerprints(settings: Settings) -> Callable[[Chem.Mol], Bits]:
    """A function from a molecule to the bits that are set, ascending."""
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=settings.radius, fpSize=settings.bits)

    def list_bits(mol: Chem.Mol) -> Bits:
        return np.flatnonzero(generator.GetFingerprintAsNumPy(mol)).astype("<u2")

    return list_bits
