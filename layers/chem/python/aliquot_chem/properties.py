"""Property windows: `lipinski,veber,qed>=0.5` as a test of a molecule.

    lipinski    mass <= 500, logP <= 5, H-bond donors <= 5, acceptors <= 10
    veber       rotatable bonds <= 10, TPSA <= 140
    qed>=0.5    a property and its bound: >=, <=, > or <

Owns the names and what RDKit computes for each. Imports RDKit and the core's `errors`. When it is wrong,
other molecules pass.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

from rdkit import Chem
from rdkit.Chem import QED, Descriptors, rdMolDescriptors

from aliquot.errors import BadOption

FLAG = "--property"
PROPERTIES: dict[str, Callable[[Chem.Mol], float]] = {  # those that take long at last
    "mass": Descriptors.MolWt,  # type: ignore[attr-defined]  # made at run time
    "heavy": rdMolDescriptors.CalcNumHeavyAtoms,
    "hbd": rdMolDescriptors.CalcNumHBD,
    "hba": rdMolDescriptors.CalcNumHBA,
    "rotatable": rdMolDescriptors.CalcNumRotatableBonds,
    "rings": rdMolDescriptors.CalcNumRings,
    "charge": Chem.GetFormalCharge,
    "logp": lambda mol: rdMolDescriptors.CalcCrippenDescriptors(mol)[0],
    "tpsa": rdMolDescriptors.CalcTPSA,
    "qed": QED.qed,
}
WINDOWS = {
    "lipinski": "mass<=500,logp<=5,hbd<=5,hba<=10",
    "veber": "rotatable<=10,tpsa<=140",
}
_OPERATORS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
_TERM = re.compile(r"([a-z]+)\s*(>=|<=|>|<)\s*(-?\d+(?:\.\d*)?)")


@dataclass(frozen=True)
class Bound:
    """A property's bound; `name` is the term by which it was asked for."""

    name: str
    property: str
    sign: str
    value: float

    def is_kept_by(self, mol: Chem.Mol) -> bool:
        """Whether the molecule's property is within."""
        return bool(_OPERATORS[self.sign](PROPERTIES[self.property](mol), self.value))


def parse_properties(text: str) -> list[Bound]:
    """The bounds that a text asks for, those that are quick to tell first; raises BadOption."""
    terms = [term.strip().casefold() for term in text.split(",")]
    bounds = [bound for term in terms for bound in _parse_term(term)]
    return sorted(bounds, key=lambda bound: list(PROPERTIES).index(bound.property))


def _parse_term(term: str) -> list[Bound]:
    if term in WINDOWS:
        return [Bound(term, *_split(each)) for each in WINDOWS[term].split(",")]
    return [Bound(term, *_split(term))]


def _split(term: str) -> tuple[str, str, float]:
    found = _TERM.fullmatch(term)
    if found is None or found[1] not in PROPERTIES:
        known = f"{', '.join(WINDOWS)}, or {', '.join(PROPERTIES)} with >=, <=, > or < and a number"
        quoted = "; quote it, or a shell takes > and < for itself" if term in PROPERTIES else ""
        raise BadOption(FLAG, f"{term!r} is no property window; it takes {known}{quoted}")
    return found[1], found[2], float(found[3])
