"""What `retro` answers, written out without any haste and without the project: the definition it is held to.

    .venv/bin/python benchmarks/naive_retro.py TARGETS.smi TEMPLATES.tsv STOCK.smi --depth 1 --sets 50

Every template is run on the molecule by RunReactants, whatever it asks for; stock, templates and targets are
held in memory; routes are enumerated, all of them, and sorted. Imports RDKit alone.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import math
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rdkit import Chem, rdBase
from rdkit.Chem import rdChemReactions


class Step(NamedTuple):
    """A template makes a molecule out of others."""

    template_id: str
    score: float
    leaves: tuple[str, ...]


class Template(NamedTuple):
    """A retro template: its id, score and parsed reaction."""

    id: str
    score: float
    reaction: Any


Route = tuple[Step, ...]
"""The steps, the target's first; each leaf's own follow it, in the order of the leaves."""


def canonicalise(smiles: str) -> str | None:
    """Canonical SMILES without map numbers."""
    mol: Chem.Mol | None = Chem.MolFromSmiles(smiles)
    if mol is None or mol.GetNumAtoms() == 0:
        return None
    for atom in mol.GetAtoms():
        atom.SetAtomMapNum(0)
    return str(Chem.MolToSmiles(mol))


def load_templates(rows: Sequence[tuple[str, str]], counts: Mapping[str, int] | None) -> list[Template]:
    """Templates by (id, SMARTS), the best first; with counts a template that has none counts as one half."""
    templates = []
    for template_id, smarts in rows:
        reaction = rdChemReactions.ReactionFromSmarts(smarts)
        reaction.Initialize()
        score = 0.0 if counts is None else round(math.log(counts.get(template_id, 0) or 0.5), 6)
        templates.append(Template(template_id, score, reaction))
    return sorted(templates, key=lambda template: (-template.score, template.id))


def expand(smiles: str, templates: Sequence[Template], most: int) -> list[Step]:
    """The precursor sets of a molecule given as canonical SMILES, ranked; `templates` are the best first."""
    mol = Chem.MolFromSmiles(smiles)
    if mol is None:
        return []
    found: dict[tuple[str, ...], Step] = {}
    for template in templates:
        outcomes = {read_outcome(outcome) for outcome in template.reaction.RunReactants((mol,))}
        for leaves in sorted(leaves for leaves in outcomes if leaves is not None):
            if smiles not in leaves and leaves not in found:
                found[leaves] = Step(template.id, template.score, leaves)
    return list(found.values())[:most]


def read_outcome(outcome: Sequence[Chem.Mol]) -> tuple[str, ...] | None:
    """The molecules of an outcome, None where one of them cannot be."""
    leaves = set()
    for mol in outcome:
        try:
            Chem.SanitizeMol(mol)
        except ValueError:
            return None
        for part in Chem.MolToSmiles(mol).split("."):
            leaf = canonicalise(part)
            if leaf is None:
                return None
            leaves.add(leaf)
    return tuple(sorted(leaves))


class Search:
    """All routes from a stock, by templates."""

    def __init__(self, templates: Sequence[Template], stock: Collection[str], most_sets: int) -> None:
        self.templates, self.stock, self.most_sets = templates, stock, most_sets
        self.expanded: dict[str, list[Step]] = {}

    def expand(self, smiles: str) -> list[Step]:
        """The molecule's precursor sets; they are kept."""
        if smiles not in self.expanded:
            self.expanded[smiles] = expand(smiles, self.templates, self.most_sets)
        return self.expanded[smiles]

    def rank(self, target: str, depth: int, most: int) -> list[Route]:
        """The best routes: few steps first, then a high sum of scores, then the text of the steps."""

        def judge(route: Route) -> tuple[Any, ...]:
            score = sum(round(step.score * 1_000_000) for step in route)
            return len(route), -score, [(step.template_id, step.leaves) for step in route]

        return sorted(self.enumerate(target, depth, ()), key=judge)[:most]

    def enumerate(self, smiles: str, depth: int, above: tuple[str, ...]) -> Iterator[Route]:
        """Every route to the molecule of so many steps one after the other, in which none makes itself."""
        if depth == 0:
            return
        path = (*above, smiles)
        for step in self.expand(smiles):
            if not any(leaf in path for leaf in step.leaves):
                ways = [
                    [()] if leaf in self.stock else list(self.enumerate(leaf, depth - 1, path))
                    for leaf in step.leaves
                ]
                for chosen in itertools.product(*ways):
                    yield (step, *itertools.chain(*chosen))


def read_smiles_file(path: Path) -> list[str]:
    """The first word of each line."""
    return [line.split()[0] for line in path.read_text().splitlines() if line.strip()]


def main() -> None:
    """Print the routes of each target as a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("targets", type=Path)
    parser.add_argument("templates", type=Path, help="a TSV with the columns id and smarts")
    parser.add_argument("stock", type=Path)
    parser.add_argument("--counts", type=Path, help="JSON: template id -> count")
    parser.add_argument("--depth", type=int, default=1)
    parser.add_argument("--sets", type=int, default=50)
    parser.add_argument("--routes", type=int, default=50)
    asked = parser.parse_args()
    rdBase.DisableLog("rdApp.*")
    with asked.templates.open() as file:
        rows = [(row["id"], row["smarts"]) for row in csv.DictReader(file, delimiter="\t")]
    counts = json.loads(asked.counts.read_text()) if asked.counts else None
    stock = {canonicalise(smiles) for smiles in read_smiles_file(asked.stock)} - {None}
    search = Search(load_templates(rows, counts), stock, asked.sets)
    began_s = time.process_time()
    targets = read_smiles_file(asked.targets)
    for text in targets:
        target = canonicalise(text)
        routes = [] if target is None else search.rank(target, asked.depth, asked.routes)
        print(json.dumps({"target": target, "routes": routes}))
    per_target_ms = (time.process_time() - began_s) / max(1, len(targets)) * 1e3
    print(f"{per_target_ms:.0f} ms a target", file=sys.stderr)


if __name__ == "__main__":
    main()
