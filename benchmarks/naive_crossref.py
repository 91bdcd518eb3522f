"""The naive double loop over reactions and templates: the definition that the kernel has to answer to.

Owns a second, independent reading of the definition of "a template explains a reaction", as slow as it is
plain: every template is run on every reaction. Imports RDKit alone and nothing of the kernel, so that a
mistake there is not repeated here. When it is wrong, the kernel is proved equal to the wrong thing.

    python benchmarks/naive_crossref.py reactions.rsmi templates.tsv --modes mapped --limit 20

reads one reaction per line (the last column of a CSV with a header, or the first word of a line) and prints
a JSON line for each: {"record": 0, "mode": "mapped", "templates": ["A00001", ...]}.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import itertools
import json
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rdkit import Chem, rdBase
from rdkit.Chem import rdChemReactions


class NotAReaction(ValueError):
    """A row that is a failed record by the definition."""


@dataclass(frozen=True)
class Question:
    """What is asked of every pair; the fields are the options of the job `crossref`."""

    mode: str = "exact"
    reactants: str = "auto"
    stereo: str = "exact"
    direction: str = "retro"


def explain(text: str, templates: Sequence[str], question: Question) -> tuple[list[int], str]:
    """Indices of the templates that explain a reaction, by trying all, and the reactant mode that was used.

    Raises:
        NotAReaction: the row does not parse or its sides are equal.
    """
    left, agents, right = read_sides(text)
    product = max(right, key=lambda mol: mol.GetNumHeavyAtoms())
    maps = list_maps(product)
    used = question.reactants
    if used == "auto":
        used = "mapped" if maps else "any"
    if used == "mapped":
        left = [mol for mol in left if maps & list_maps(mol)]
        if not left:
            raise NotAReaction("no mapped reactant")
    for mol in [*left, *agents, product]:
        for atom in mol.GetAtoms():
            atom.SetAtomMapNum(0)
    if join(left) == join([product]):
        raise NotAReaction("equal sides")
    again = Chem.MolFromSmiles(Chem.MolToSmiles(product))
    if again is None:
        raise NotAReaction("product does not parse again")
    pool = left + agents if used == "any" else left
    wanted = Wanted(again, pool, question)
    hits = [i for i, each in enumerate(templates) if fits(each, again, pool, used, question, wanted)]
    return hits, used


def read_sides(text: str) -> list[list[Chem.Mol]]:
    """Reactants, agents and products; fragments that a CXSMILES tail groups are one molecule."""
    smiles, _, tail = text.strip().partition(" ")
    if smiles.count(">") != 2:
        raise NotAReaction("not two '>'")
    names: list[list[str]] = [side.split(".") if side else [] for side in smiles.split(">")]
    place = [(s, i) for s, side in enumerate(names) for i in range(len(side))]
    field = re.search(r"(?:^\||,)f:([\d.,]+)", re.sub(r"\$.*?\$", "", tail)) if tail.startswith("|") else None
    for group in field[1].strip(",").split(",") if field else []:
        numbers = sorted(int(n) for n in group.split("."))
        first_side, first = place[numbers[0]]
        for number in numbers[1:]:
            side, i = place[number]
            names[first_side][first] += "." + names[side][i]
            names[side][i] = "(gone)"
    sides = [[parse(name) for name in side if name != "(gone)"] for side in names]
    if not sides[0] or not sides[2]:
        raise NotAReaction("a side is empty")
    return sides


def parse(name: str) -> Chem.Mol:
    """The molecule that a SMILES describes."""
    mol: Chem.Mol | None = Chem.MolFromSmiles(name)
    if not name or not mol:
        raise NotAReaction(f"{name!r} does not parse")
    return mol


def list_maps(mol: Chem.Mol) -> set[int]:
    """The map numbers in a molecule."""
    return {atom.GetAtomMapNum() for atom in mol.GetAtoms()} - {0}


def join(mols: Sequence[Chem.Mol], is_isomeric: bool = True) -> str:
    """Sorted canonical SMILES of all fragments, joined."""
    fragments = [f for mol in mols for f in Chem.MolToSmiles(mol, isomericSmiles=is_isomeric).split(".")]
    return ".".join(sorted(fragments))


class Wanted:
    """What outcomes are compared with, written once for all templates."""

    def __init__(self, product: Chem.Mol, pool: list[Chem.Mol], question: Question) -> None:
        is_isomeric = question.stereo == "exact"
        self.product = Counter(join([product], is_isomeric).split("."))
        self.reactants = join(pool, is_isomeric)
        self.molecules = [Counter(join([mol], is_isomeric).split(".")) for mol in pool]


def fits(
    template: str, product: Chem.Mol, pool: list[Chem.Mol], used: str, question: Question, wanted: Wanted
) -> bool:
    """Whether one template explains one reaction."""
    reaction = load(template)
    if question.mode == "substructure":
        if question.direction == "retro":
            return bool(product.HasSubstructMatch(reaction.GetReactantTemplate(0)))
        n_products = reaction.GetNumProductTemplates()
        return any(product.HasSubstructMatch(reaction.GetProductTemplate(i)) for i in range(n_products))
    is_isomeric = question.stereo == "exact"
    if question.direction == "forward":
        n_patterns = reaction.GetNumReactantTemplates()
        return any(
            wanted.product <= Counter(outcome.split("."))
            for chosen in itertools.permutations(pool, n_patterns)
            for outcome in run(reaction, chosen, is_isomeric)
        )
    outcomes = run(reaction, (product,), is_isomeric)
    if used != "any":
        return any(outcome == wanted.reactants for outcome in outcomes)
    return any(is_sum_of_some(Counter(outcome.split(".")), wanted.molecules) for outcome in outcomes)


def run(
    reaction: rdChemReactions.ChemicalReaction, mols: Sequence[Chem.Mol], is_isomeric: bool
) -> Iterator[str]:
    """Each outcome as joined SMILES; outcomes that do not sanitise are left out."""
    for outcome in reaction.RunReactants(tuple(mols)):
        try:
            for mol in outcome:
                Chem.SanitizeMol(mol)
                for atom in mol.GetAtoms():
                    atom.SetAtomMapNum(0)
        except ValueError:
            continue
        yield join(outcome, is_isomeric)


def is_sum_of_some(found: Counter[str], molecules: list[Counter[str]]) -> bool:
    """Whether some of the molecules together have exactly the fragments `found`."""
    if not found:
        return True
    return any(
        molecule <= found and is_sum_of_some(found - molecule, molecules[i + 1 :])
        for i, molecule in enumerate(molecules)
    )


_loaded: dict[str, rdChemReactions.ChemicalReaction] = {}


def load(template: str) -> rdChemReactions.ChemicalReaction:
    """The parsed template; all are kept."""
    if template not in _loaded:
        _loaded[template] = rdChemReactions.ReactionFromSmarts(template)
        _loaded[template].Initialize()
    return _loaded[template]


def open_text(path: Path) -> IO[str]:
    """A text file, gzipped or not."""
    return gzip.open(path, "rt") if path.suffix == ".gz" else path.open()


def read_reactions(path: Path) -> Iterator[str]:
    """Reactions of a CSV (its last column, a header above) or of lines that begin with one."""
    with open_text(path) as lines:
        if ".csv" in path.suffixes:
            rows = csv.reader(lines)
            next(rows)
            yield from (row[-1] for row in rows)
        else:
            yield from (line.split()[0] for line in lines if line.strip())


def read_templates(path: Path) -> tuple[list[str], list[str]]:
    """Ids and SMARTS of a TSV with the columns `id` and `smarts`."""
    with open_text(path) as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    return [row["id"] for row in rows], [row["smarts"] for row in rows]


def main() -> None:
    """Answer for the first reactions of a file and say what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("reactions", type=Path)
    parser.add_argument("templates", type=Path)
    parser.add_argument("--modes", nargs="+", default=["auto"], choices=["auto", "mapped", "all", "any"])
    parser.add_argument("--mode", default="exact", choices=["exact", "substructure"])
    parser.add_argument("--stereo", default="exact", choices=["exact", "ignore"])
    parser.add_argument("--direction", default="retro", choices=["retro", "forward"])
    parser.add_argument("--limit", type=int, default=10)
    asked = parser.parse_args()
    ids, smarts = read_templates(asked.templates)
    started, n_done = time.process_time(), 0
    rdBase.DisableLog("rdApp.*")
    for record, text in enumerate(itertools.islice(read_reactions(asked.reactions), asked.limit)):
        for reactants in asked.modes:
            question = Question(asked.mode, reactants, asked.stereo, asked.direction)
            try:
                hits, used = explain(text, smarts, question)
                answer = {"record": record, "mode": used, "templates": [ids[i] for i in hits]}
            except NotAReaction as err:
                answer = {"record": record, "mode": reactants, "failed": str(err)}
            print(json.dumps(answer))
            n_done += 1
    print(json.dumps({"answers": n_done, "cpu_s": round(time.process_time() - started, 2)}))


if __name__ == "__main__":
    main()
