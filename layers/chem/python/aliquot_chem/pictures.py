"""What chemists look at in a report: templates, explained reactions, hits, routes, what failed.

    what a run delivered (Glimpse) --crossref, screen, retro--> Picture

Each picture stands for itself: one that cannot be drawn is left out. Owns what is drawn and lit. Imports
RDKit through `drawings`. When it is wrong, the report shows a reaction centre that is none.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import groupby
from operator import itemgetter
from typing import Any

from rdkit import Chem, rdBase
from rdkit.Chem import rdChemReactions

from aliquot.errors import BadReference, ParseFailure
from aliquot.job import Glimpse, Picture, Reference
from aliquot_chem.drawings import LIT_BAD, Branch, Panel, draw, draw_pattern, put_beside, put_tree
from aliquot_chem.reactions import split_reaction

_MOST_TEMPLATES, _MOST_REACTIONS, _MOST_ROUTES, _MOST_FAILED = 12, 8, 6, 8
_MOST_QUERIES = 1000  # of those that are read
_MOST_MOLECULES = 5  # of a side of a reaction
Lit = tuple[Chem.Mol, Collection[int]]
_CANNOT = (ValueError, RuntimeError, ParseFailure, KeyError, TypeError, AttributeError)


def draw_crossref(glimpse: Glimpse) -> Iterator[Picture]:
    """The templates that explain most, reactions with their centres lit, molecules that failed."""
    table = glimpse.tables.get("templates", ())
    is_forward = glimpse.options.direction == "forward"
    smarts = {row["template_id"]: _turn(row["smarts"], is_forward) for row in table}
    yield from _try_each(_draw_template, [row for row in table if row["reactions"]][:_MOST_TEMPLATES], smarts)
    seen: dict[int, Mapping[str, Any]] = {}
    for row in glimpse.rows:
        if row["record"] in glimpse.records and row["template_id"] in smarts:
            seen.setdefault(row["record"], row)
    explained = [
        (row, glimpse.records[number].reaction) for number, row in list(seen.items())[:_MOST_REACTIONS]
    ]
    yield from _try_each(_draw_explained, explained, smarts)
    yield from _draw_failed(glimpse.failures, _read_sides)


def draw_screen(glimpse: Glimpse) -> Iterator[Picture]:
    """Each query, then its hits as a grid with scores; molecules that failed.

    Raises:
        BadReference: the hits are an index's which is not there, and no queries can be drawn instead.
    """
    queries, why = _read_asked(glimpse.options.queries), ""
    try:
        texts = _read_hits(glimpse)
    except BadReference as err:
        if not queries:
            raise
        texts, why = {}, f"; its hits are not drawn: {err}"
    for query_id, rows in groupby(glimpse.rows, key=itemgetter("query_id")):
        yield from _try_each(_draw_query, [query_id] if query_id in queries else [], (queries, why))
        yield from _try_each(_draw_hit, [row for row in rows if row["record"] in texts], texts)
    yield from _draw_failed(glimpse.failures, _read_one)


def draw_retro(glimpse: Glimpse) -> Iterator[Picture]:
    """Routes as trees, targets that failed."""
    best = [row for row in glimpse.rows if row["rank"] == 1]
    others = [row for row in glimpse.rows if row["rank"] != 1]
    longest = sorted(best, key=lambda row: -row["steps"])
    yield from _try_each(_draw_route, [*longest, *others][:_MOST_ROUTES], None)
    yield from _draw_failed(glimpse.failures, _read_one)


def _try_each(
    make: Callable[[Any, Any], Picture | None], each: Iterable[Any], beside: Any
) -> Iterator[Picture]:
    for one in each:
        try:
            with rdBase.BlockLogs():
                picture = make(one, beside)
        except _CANNOT:
            continue
        if picture is not None:
            yield picture


def _turn(smarts: str, is_forward: bool) -> str:
    """A template's SMARTS as product>>reactants."""
    left, _, right = smarts.partition(">>")
    return f"{right}>>{left}" if is_forward else smarts


def _draw_template(row: Mapping[str, Any], smarts: Mapping[str, str]) -> Picture:
    reaction = _read_template(smarts[row["template_id"]])
    products = [draw_pattern(mol) for mol in reaction.GetReactants()]
    reactants = [draw_pattern(mol) for mol in list(reaction.GetProducts())[:_MOST_MOLECULES]]
    n_reactions = row["reactions"]
    said = f"explains {n_reactions:,} reaction{'' if n_reactions == 1 else 's'}"
    return Picture("Top templates", str(row["template_id"]), said, put_beside([products, reactants]).svg)


def _draw_explained(found: tuple[Mapping[str, Any], str], smarts: Mapping[str, str]) -> Picture:
    row, text = found
    sides = split_reaction(text)
    product = max((_clear(smiles) for smiles in sides.products), key=lambda mol: mol.GetNumHeavyAtoms())
    reactants = [_clear(smiles) for smiles in sides.reactants]
    lit_reactants, lit_product = find_centre(_read_template(smarts[row["template_id"]]), product, reactants)
    left = [draw(mol, lit, size=(240, 170)) for mol, lit in lit_reactants[:_MOST_MOLECULES]]
    panel = put_beside([left, [draw(*lit_product, size=(280, 190))]])
    name = row["reaction_id"] or f"record {row['record']}"
    said = f"explained by {row['template_id']}, its centre lit"
    return Picture("Explained reactions", str(name), said, panel.svg)


def find_centre(
    template: rdChemReactions.ChemicalReaction, product: Chem.Mol, reactants: Sequence[Chem.Mol]
) -> tuple[list[Lit], Lit]:
    """Reactants and product, each with the atoms at which the template changes something.

    Of the ways in which the template fits the product, the first that gives molecules among the reactants is
    shown; its molecules stand for them.

    Raises:
        ValueError: it does not fit.
    """
    wanted = {Chem.MolToSmiles(mol) for mol in reactants}
    changing = _find_changing(template)
    best: tuple[int, Sequence[Chem.Mol]] | None = None
    for outcome in template.RunReactants((product,), 200):
        n_found = sum(_spell(mol) in wanted for mol in outcome)
        if best is None or n_found > best[0]:
            best = n_found, outcome
        if n_found == len(outcome):
            break
    if best is None:
        raise ValueError("the template does not fit the product")
    lit_product: set[int] = set()
    left: list[Lit] = []
    for mol in best[1]:
        lit: set[int] = set()
        for atom in mol.GetAtoms():
            origin = atom.GetIntProp("react_atom_idx") if atom.HasProp("react_atom_idx") else None
            number = atom.GetIntProp("old_mapno") if atom.HasProp("old_mapno") else 0
            if origin is None or number in changing:
                lit.add(atom.GetIdx())
                lit_product |= set() if origin is None else {origin}
        Chem.SanitizeMol(mol)
        left.append((mol, lit))
    shown = {Chem.MolToSmiles(mol) for mol, _ in left}
    left += [(mol, ()) for mol in reactants if Chem.MolToSmiles(mol) not in shown and mol.GetNumAtoms() < 12]
    return left, (product, lit_product)


def _find_changing(template: rdChemReactions.ChemicalReaction) -> set[int]:
    """The map numbers of atoms of which a template changes bonds, neighbours, charge or hydrogens."""
    left, right = (_list_surroundings(mols) for mols in (template.GetReactants(), template.GetProducts()))
    return {number for number in left | right if left.get(number) != right.get(number)}


def _list_surroundings(mols: Iterable[Chem.Mol]) -> dict[int, tuple[Any, ...]]:
    """By map number what is around an atom of a pattern."""
    return {
        atom.GetAtomMapNum(): (
            atom.GetFormalCharge(),
            sorted(
                (str(bond.GetBondType()), other.GetAtomMapNum(), other.GetAtomicNum())
                for bond in atom.GetBonds()
                for other in [bond.GetOtherAtom(atom)]
            ),
        )
        for mol in mols
        for atom in mol.GetAtoms()
        if atom.GetAtomMapNum()
    }


def _read_asked(queries: Reference | None) -> dict[str, Chem.Mol]:
    """The first queries by their ids, where their file is still the one that was asked."""
    from aliquot_chem.query_file import read_queries

    try:
        if queries is None or sha256(queries.path.read_bytes()).hexdigest() != queries.sha256:
            return {}
        return {query.id: query.mol for query in read_queries(queries.path, _MOST_QUERIES)}
    except (OSError, BadReference):
        return {}


def _read_hits(glimpse: Glimpse) -> dict[int, str]:
    """The molecules of hits as text, by their records in the library; raises BadReference."""
    if glimpse.options.index is None:
        return {number: record.molecule or "" for number, record in glimpse.records.items()}
    from aliquot_chem.fingerprint_index import FingerprintIndex

    ids = {row["record"]: row["id"] for row in glimpse.rows}
    index = FingerprintIndex(glimpse.options.index.path)
    places = index.find_places(ids)
    return {
        number: index.read_smiles(place)
        for number, place in places.items()
        if index.read_id(place) == ids[number]
    }


def _draw_query(query_id: str, asked: tuple[Mapping[str, Chem.Mol], str]) -> Picture:
    queries, why = asked
    svg = draw(queries[query_id], size=(190, 140)).svg
    return Picture(f"Hits of {query_id}", query_id, f"the query{why}", svg)


def _draw_hit(row: Mapping[str, Any], texts: Mapping[int, str]) -> Picture:
    svg = draw(_read_any(texts[row["record"]]), size=(190, 140)).svg
    if row["query_id"] is None:
        return Picture(
            "Molecules that passed", row["id"] or f"record {row['record']}", "passed all filters", svg
        )
    said = f"rank {row['rank']}, similarity {row['score']:.3f}"
    return Picture(f"Hits of {row['query_id']}", row["id"] or f"record {row['record']}", said, svg)


def _draw_route(row: Mapping[str, Any], _: None) -> Picture:
    made: dict[str, list[str]] = {}
    for step in row["reactions"].split():
        left, _, right = step.partition(">>")
        made.setdefault(right, left.split("."))
    root = _grow(row["target"], made, set(row["leaves"].split(".")), 0)
    steps = f"{row['steps']} step{'' if row['steps'] == 1 else 's'}"
    said = f"{steps}, score {row['score']:.2f}; framed molecules are in stock"
    name = f"{row['target_id'] or row['record']}, rank {row['rank']}"
    return Picture("Routes", name, said, put_tree(root).svg)


def _grow(smiles: str, made: Mapping[str, list[str]], leaves: Collection[str], depth: int) -> Branch:
    is_leaf = smiles not in made or depth > 8
    panel = draw(_read_any(smiles), size=(170, 110))
    children = [] if is_leaf else [_grow(each, made, leaves, depth + 1) for each in made[smiles]]
    return Branch(panel, "in stock" if is_leaf and smiles in leaves else "", is_leaf, children)


def _draw_failed(
    failures: Sequence[Mapping[str, Any]], read: Callable[[str], Sequence[str]]
) -> Iterator[Picture]:
    """What can be drawn of records that failed, and where RDKit finds fault."""
    n_drawn = 0
    for row in failures:
        for smiles in read(str(row.get("input") or "")):
            try:
                with rdBase.BlockLogs():
                    panel, fault = _draw_faulty(smiles)
            except _CANNOT:
                continue
            said = fault or str(row.get("message") or row.get("kind"))[:120]
            if not fault and row.get("kind") == "parse":
                continue  # this molecule is sound: another of the record is not
            yield Picture(
                "Failed molecules", str(row.get("id") or f"record {row.get('record')}"), said, panel.svg
            )
            n_drawn += 1
            break
        if n_drawn == _MOST_FAILED:
            return


def _draw_faulty(smiles: str) -> tuple[Panel, str]:
    mol = Chem.MolFromSmiles(smiles, sanitize=False)
    if mol is None or not mol.GetNumAtoms():
        raise ValueError("no molecule")
    problems = Chem.DetectChemistryProblems(mol)
    lit: set[int] = set()
    for problem in problems:
        many = getattr(problem, "GetAtomIndices", None)
        lit |= set(many()) if many is not None else {problem.GetAtomIdx()}
    mol.UpdatePropertyCache(strict=False)
    for atom in mol.GetAtoms():
        atom.SetAtomMapNum(0)
    return draw(mol, lit, size=(210, 150), colour=LIT_BAD), problems[0].Message() if problems else ""


def _read_sides(text: str) -> list[str]:
    """The molecules of a record of `crossref`."""
    found = next((word for word in _list_texts(text) if ">" in word), "")
    try:
        sides = split_reaction(found)
    except ParseFailure:
        return []
    return [*sides.products, *sides.reactants]


def _read_one(text: str) -> list[str]:
    return [word for word in _list_texts(text) if word]


def _list_texts(text: str) -> list[str]:
    """The texts of a failed record, which is told as JSON, or as it was written."""
    try:
        said = json.loads(text)
    except ValueError:
        said = text
    values = said.values() if isinstance(said, dict) else said if isinstance(said, list) else [said]
    return [str(value).split()[0] for value in values if isinstance(value, str) and value.strip()]


def _read_template(smarts: str) -> rdChemReactions.ChemicalReaction:
    reaction = rdChemReactions.ReactionFromSmarts(smarts)
    reaction.Initialize()
    return reaction


def _read_any(text: str) -> Chem.Mol:
    """A molecule of SMILES or of a mol block; raises ValueError."""
    mol = Chem.MolFromMolBlock(text) if "\n" in text else Chem.MolFromSmiles(text.split(maxsplit=1)[0])
    if mol is None:
        raise ValueError("no molecule")
    return mol


def _clear(smiles: str) -> Chem.Mol:
    """A molecule without map numbers; raises ValueError."""
    mol = _read_any(smiles)
    for atom in mol.GetAtoms():
        atom.SetAtomMapNum(0)
    read = Chem.MolFromSmiles(Chem.MolToSmiles(mol))
    if read is None:
        raise ValueError("no molecule")
    return read


def _spell(mol: Chem.Mol) -> str:
    """The SMILES of an outcome; empty where it is no molecule."""
    try:
        copy = Chem.Mol(mol)
        Chem.SanitizeMol(copy)
        return Chem.MolToSmiles(copy)
    except ValueError:
        return ""
