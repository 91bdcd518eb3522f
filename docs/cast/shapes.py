"""What the cast at the top of the README runs: a molecule in three dimensions, sixty times."""

from rdkit import Chem, RDLogger
from rdkit.Chem import AllChem, Descriptors3D

RDLogger.DisableLog("rdApp.*")


def describe(record):
    """The smallest radius of sixty conformers."""
    molecule = Chem.AddHs(Chem.MolFromSmiles(record["smiles"]))
    conformers = AllChem.EmbedMultipleConfs(molecule, 60, maxAttempts=5, randomSeed=7)
    radii = [Descriptors3D.RadiusOfGyration(molecule, confId=each) for each in conformers]
    return {"id": record["id"], "conformers": len(radii), "radius": min(radii, default=None)}
