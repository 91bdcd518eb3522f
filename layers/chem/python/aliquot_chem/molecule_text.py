"""A molecule out of a record's text, SMILES or a mol block; and why there is none.

Owns what counts as a molecule of a library. Imports RDKit and the core's `errors`. When it is wrong, records
are rejected that others read, or read that others reject.
"""

from __future__ import annotations

from rdkit import Chem, rdBase

from aliquot.errors import ParseFailure


def read_molecule(text: str) -> Chem.Mol:
    """The molecule, as RDKit reads it by default; raises ParseFailure with the reason."""
    with rdBase.BlockLogs():
        read = Chem.MolFromMolBlock if is_mol_block(text) else Chem.MolFromSmiles
        mol: Chem.Mol | None = read(text)
        if mol is None:
            raise ParseFailure(_explain(text))
    return mol


def is_mol_block(text: str) -> bool:
    """Whether the text has lines, as SMILES have not."""
    return "\n" in text


def _explain(text: str) -> str:
    if is_mol_block(text):
        what, mol = "mol block", Chem.MolFromMolBlock(text, sanitize=False)
    else:
        what, mol = "SMILES", Chem.MolFromSmiles(text, sanitize=False)
    if mol is None:
        return f"not {what}" if what == "SMILES" else f"not a {what}"
    problems = Chem.DetectChemistryProblems(mol)
    return str(problems[0].Message()) if problems else f"the {what} cannot be read as a molecule"
