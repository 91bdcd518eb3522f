"""A library's molecules in three dimensions: for each the best of ten conformers.

    aliquot run conformers:embed library.smi --out runs/conformers              # in this folder, on all cores
    aliquot run conformers:embed library.smi --out runs/conformers --on aws:STACK --code .

One molecule takes from 0.05 s to several seconds, and no two the same: work that earns its Lambdas.
"""

from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

from aliquot import ParseFailure

N_CONFORMERS = 10
SEED = 61453


def embed(record: dict[str, str]) -> dict[str, object]:
    """A record's conformer of least energy: ETKDGv3 (Wang et al., 2020), relaxed with MMFF94.

    `energy` is in kcal/mol; `molblock` a mol block with hydrogens.
    """
    molecule = Chem.MolFromSmiles(record["smiles"])
    if molecule is None:
        raise ParseFailure("not a SMILES")
    molecule = Chem.AddHs(molecule)
    if not rdForceFieldHelpers.MMFFHasAllMoleculeParams(molecule):
        raise ValueError("MMFF94 has no parameters for one of its atoms")
    how = rdDistGeom.ETKDGv3()
    how.randomSeed = SEED
    found = list(rdDistGeom.EmbedMultipleConfs(molecule, N_CONFORMERS, how))
    if not found:
        raise ValueError("no conformer was found")
    relaxed = rdForceFieldHelpers.MMFFOptimizeMoleculeConfs(molecule)
    energies = [energy for _, energy in relaxed]
    best = min(range(len(found)), key=energies.__getitem__)
    return {
        "id": record["id"],
        "conformers": len(found),
        "energy": energies[best],
        "molblock": Chem.MolToMolBlock(molecule, confId=found[best]),
    }
