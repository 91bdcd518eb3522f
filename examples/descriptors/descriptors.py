"""A library's molecules with what decides whether one is drug-like, and a fingerprint for similarity.

    aliquot run descriptors:describe ../conformers/library.smi --out runs/descriptors     # in this folder

A plain function of one record: what it returns is a row, its arrays become fixed-size lists in Parquet.
"""

import numpy as np
from rdkit import Chem
from rdkit.Chem import QED, Crippen, Descriptors, rdFingerprintGenerator, rdMolDescriptors

from aliquot import ParseFailure

FINGERPRINTS = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)


def describe(record: dict[str, str]) -> dict[str, object]:
    """A record's descriptors; `lipinski` says how many of Lipinski's four rules (1997) it breaks.

    `mass` is in Da, `tpsa` in square angstroms; `morgan` the 2,048 bits of radius 2, shape (256,), uint8.
    """
    molecule = Chem.MolFromSmiles(record["smiles"])
    if molecule is None:
        raise ParseFailure("not a SMILES")
    mass, logp = Descriptors.MolWt(molecule), Crippen.MolLogP(molecule)
    donors, acceptors = rdMolDescriptors.CalcNumHBD(molecule), rdMolDescriptors.CalcNumHBA(molecule)
    return {
        "id": record["id"],
        "smiles": Chem.MolToSmiles(molecule),
        "mass": mass,
        "logp": logp,
        "donors": donors,
        "acceptors": acceptors,
        "tpsa": rdMolDescriptors.CalcTPSA(molecule),
        "rotatable": rdMolDescriptors.CalcNumRotatableBonds(molecule),
        "rings": rdMolDescriptors.CalcNumRings(molecule),
        "qed": QED.qed(molecule),
        "lipinski": (mass > 500) + (logp > 5) + (donors > 5) + (acceptors > 10),
        "morgan": np.packbits(FINGERPRINTS.GetFingerprintAsNumPy(molecule)),
    }
