"""What "a template explains a reaction" means, written out without any haste.

This is the definition that the job `crossref` is held to, in its default mode: every template is run on the
product and its outcomes are compared with the reactants, as canonical SMILES. Imports RDKit alone. About
0.1 s per reaction with 10,000 templates, which is why the job does it otherwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from rdkit import Chem
from rdkit.Chem import AllChem


@dataclass(frozen=True)
class Row:
    """A reaction as a template sees it, no map numbers left.

    `reactants` is the sorted canonical SMILES of the molecules that share a map number with the product,
    joined by "."; empty where the product carries none: then the outcome has to be found among `offered`,
    the canonical SMILES of all reactants and agents.
    """

    reactants: str
    offered: Counter[str]
    product: Chem.Mol


def write_plain(molecule: Chem.Mol) -> str:
    """The molecule's canonical SMILES without map numbers."""
    copy = Chem.Mol(molecule)
    for atom in copy.GetAtoms():
        atom.SetAtomMapNum(0)
    return Chem.MolToSmiles(copy)


def parse_side(side: str) -> list[Chem.Mol]:
    """The molecules of one side of a reaction SMILES.

    Raises:
        ValueError: one of them does not parse.
    """
    molecules = [Chem.MolFromSmiles(smiles) for smiles in side.split(".") if smiles]
    if None in molecules:
        raise ValueError(f"a molecule does not parse: {side}")
    return molecules


def parse_row(text: str) -> Row:
    """The row of a reaction SMILES, with or without a CXSMILES tail.

    Raises:
        ValueError: it does not parse, a side is empty, or both sides are equal.
    """
    parts = text.partition(" |")[0].split(">")
    if len(parts) != 3:
        raise ValueError(f"not a reaction: {text}")
    reactants, agents, products = (parse_side(part) for part in parts)
    if not reactants or not products:
        raise ValueError(f"a side is empty: {text}")
    largest = max(products, key=lambda molecule: molecule.GetNumHeavyAtoms())
    maps = read_maps(largest)
    own = [molecule for molecule in reactants if read_maps(molecule) & maps]
    row = Row(
        ".".join(sorted(map(write_plain, own))),
        Counter(map(write_plain, reactants + agents)),
        Chem.MolFromSmiles(write_plain(largest)),
    )
    if write_plain(largest) == (row.reactants or ".".join(sorted(map(write_plain, reactants)))):
        raise ValueError(f"nothing changes: {text}")
    return row


def read_maps(molecule: Chem.Mol) -> set[int]:
    """The map numbers that the molecule's atoms carry."""
    return {atom.GetAtomMapNum() for atom in molecule.GetAtoms()} - {0}


def explains(template: AllChem.ChemicalReaction, row: Row) -> bool:
    """Whether one outcome of the retro template on the row's product is what the row starts from."""
    for outcome in template.RunReactants((row.product,)):
        try:
            for molecule in outcome:
                Chem.SanitizeMol(molecule)
        except Chem.MolSanitizeException:
            continue
        found = sorted(".".join(map(write_plain, outcome)).split("."))
        if ".".join(found) == row.reactants or (not row.reactants and Counter(found) <= row.offered):
            return True
    return False


def judge(text: str, templates: Iterable[AllChem.ChemicalReaction]) -> str:
    """What becomes of a reaction SMILES: "explained", "unexplained" or "failed"."""
    try:
        row = parse_row(text)
    except ValueError:
        return "failed"
    return "explained" if any(explains(template, row) for template in templates) else "unexplained"
