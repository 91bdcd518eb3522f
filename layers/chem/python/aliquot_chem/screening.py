"""Scores molecules of a library, given one by one or as blocks of an index, against queries.

    prepare_screen    queries.npz: their bits and, of an index, a score that each one's last hit reaches at
                      least; screen.json: see `screencounts`; queries.smi: their texts, by lines as JSON
    score_*, filter_*    what hosts do with records

What a block gives depends on it alone: its own best of each query, of those that reach that score. Owns how
filters and similarity go together. Imports NumPy and RDKit. When it is wrong, hits are missing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rdkit
from rdkit import Chem

from aliquot.errors import BadOption, BadReference
from aliquot.job import Answer
from aliquot_chem.filters import Filters
from aliquot_chem.fingerprint_index import FingerprintIndex
from aliquot_chem.fingerprinting import check_settings
from aliquot_chem.fingerprints import Settings, open_fingerprints
from aliquot_chem.molecule_text import read_molecule
from aliquot_chem.nearest import Floats, Hits, Ints, Queries, Searcher, score_shared
from aliquot_chem.query_file import read_queries
from aliquot_chem.screen import ORDER_BITS, RECORD_BITS, Molecule, Options, Passed, Score, has_filters
from aliquot_chem.screencounts import note_removed, write_screen

_ARRAYS, _TEXTS = "queries.npz", "queries.json"
_RADIUS, _BITS = 2, 2048

Answers = Callable[[Iterable[Molecule]], Iterator[Any]]


@dataclass(frozen=True)
class Asked:
    """The queries as hosts hold them.

    Args:
        settings: of all fingerprints.
        queries: their fingerprints.
        least: a score that each one's last hit reaches at least, shape (n_queries,).
        texts: from which they were read.
    """

    settings: Settings
    queries: Queries
    least: Floats
    texts: list[str]

    def save(self, into: Path) -> None:
        """Write them into a folder."""
        made = np.array([self.settings.radius, self.settings.bits])
        bits, sizes = self.queries.bits, self.queries.sizes
        np.savez(into / _ARRAYS, made=made, bits=bits, sizes=sizes, least=self.least)
        (into / _TEXTS).write_text(json.dumps(self.texts), encoding="utf-8")

    @classmethod
    def load(cls, prepared: Path) -> Asked:
        """Read them."""
        texts = json.loads((prepared / _TEXTS).read_text(encoding="utf-8"))
        with np.load(prepared / _ARRAYS) as arrays:
            settings = Settings(*map(int, arrays["made"]))
            return cls(settings, Queries(arrays["bits"], arrays["sizes"]), arrays["least"], texts)

    def read_patterns(self) -> list[Chem.Mol]:
        """The queries as molecules."""
        return [read_molecule(text) for text in self.texts]


def prepare_screen(options: Options, into: Path) -> None:
    """Write what hosts load; raises BadReference, BadOption where an option is at fault."""
    open_filters(options)
    index = None if options.index is None else FingerprintIndex(options.index.path)
    settings = _choose_settings(options, index)
    found = [] if options.queries is None else read_queries(options.queries.path)
    list_bits = open_fingerprints(settings)
    queries = Queries.of([list_bits(query.mol) for query in found], settings.bits)
    least = np.full(len(found), -1.0)
    if index is not None and found and not (has_filters(options) or options.substructure):
        least = Searcher(index.library).find_least(queries, options.top)
    Asked(settings, queries, least, [query.text for query in found]).save(into)
    held = None
    if index is not None:
        held = {"fingerprints": index.header["fingerprints"], "rejected": index.read_rejected()}
    write_screen(into, [query.id for query in found], held)


def open_filters(options: Options) -> Filters:
    """The filters asked for; raises BadOption, BadReference."""
    return Filters(options.smarts.path if options.smarts else None, options.catalog, options.property)


def _choose_settings(options: Options, index: FingerprintIndex | None) -> Settings:
    if index is None:
        settings = Settings(
            _RADIUS if options.radius is None else options.radius,
            _BITS if options.bits is None else options.bits,
        )
        check_settings(settings.radius, settings.bits)
        return settings
    made = index.settings
    if made["rdkit"] != rdkit.__version__:
        found = f"was made with RDKit {made['rdkit']}, and this is {rdkit.__version__}"
        raise BadReference(str(index.path), f"{found}: make it again with `aliquot index fingerprints`")
    for name in ("radius", "bits"):
        asked = getattr(options, name)
        if asked not in (None, made[name]):
            raise BadOption(f"--{name}", f"{asked} is asked for and the index was made with {made[name]}")
    return Settings(made["radius"], made["bits"])


def filter_molecules(options: Options) -> Answers:
    """A function from molecules to a row of those that pass; the note says which filter removed one."""
    filters = open_filters(options)

    def judge(record: Molecule) -> Answer:
        fault = filters.find_fault(read_molecule(record.molecule or ""))
        return _removed_by(fault) if fault else Answer([Passed(record.id or "", None)], "")

    return lambda records: map(judge, records)


def score_molecules(options: Options, prepared: Path) -> Answers:
    """A function from molecules to their scores; raises ParseFailure for one that cannot be read."""
    asked, filters = Asked.load(prepared), open_filters(options)
    list_bits = open_fingerprints(asked.settings)
    patterns = asked.read_patterns() if options.substructure else None
    columns = _make_table(asked)

    def score(record: Molecule) -> Answer:
        mol = read_molecule(record.molecule or "")
        fault = filters.find_fault(mol)
        if fault:
            return _removed_by(fault)
        bits = list_bits(mol)
        shared = columns[bits].sum(axis=0, dtype=np.int64)
        scores = score_shared(shared, asked.queries.sizes, np.array([len(bits)])).tolist()
        chosen = range(len(scores)) if patterns is None else _list_contained(mol, patterns)
        own_id = record.id or ""
        return Answer([Score(q, order_score(scores[q]), scores[q], own_id, None) for q in chosen], "")

    return lambda records: map(score, records)


def _removed_by(fault: str) -> Answer:
    return Answer([], note_removed({fault: 1}))


def _make_table(asked: Asked) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Which query has which bit, shape (n_bits + 1, n_queries); nobody looks at the last row."""
    table = np.zeros((asked.settings.bits + 1, len(asked.texts)), np.uint8)
    table[asked.queries.bits, np.arange(len(asked.texts))[:, None]] = 1
    return table


def _list_contained(mol: Chem.Mol, patterns: list[Chem.Mol]) -> list[int]:
    """The patterns that the molecule contains."""
    return [number for number, pattern in enumerate(patterns) if mol.HasSubstructMatch(pattern)]


def order_score(score: float, record: int | None = None) -> int:
    """A whole number that ranks by score and, where it is known, by record."""
    tie = 0 if record is None else (1 << RECORD_BITS) - 1 - record
    return (int(score * (1 << ORDER_BITS)) << RECORD_BITS) + tie


class Blocks:
    """The molecules of an index, filtered."""

    def __init__(self, options: Options) -> None:
        assert options.index is not None  # noqa: S101 - the chain was chosen by it
        self.index = FingerprintIndex(options.index.path)
        self.searcher = Searcher(self.index.library)
        self.filters = open_filters(options)
        self.size = self.index.library.block_size
        self.removed: Counter[str] = Counter()

    def list_places(self, block: int) -> range:
        """Where a block's molecules stand in the index."""
        return range(block * self.size, min((block + 1) * self.size, len(self.index.library.sizes)))

    def read_passed(self, place: int) -> Chem.Mol | None:
        """The molecule, None where it does not pass: it is counted in `removed`."""
        mol = read_molecule(self.index.read_smiles(place))
        fault = self.filters.find_fault(mol)
        if not fault:
            return mol
        self.removed[fault] += 1
        return None

    def answer(self, list_rows: Callable[[], list[Any]]) -> Answer:
        """A block's rows, and what was removed of it meanwhile."""
        self.removed.clear()
        return Answer(list_rows(), note_removed(self.removed))

    def list_rows(self, hits: Hits) -> list[Score]:
        """The rows of some hits."""
        rows: list[Score] = []
        records = self.index.library.records[hits.place]
        columns = (hits.query.tolist(), hits.place.tolist(), hits.score.tolist(), records.tolist())
        for query, place, score, record in zip(*columns, strict=True):
            rows.append(Score(query, order_score(score, record), score, self.index.read_id(place), record))
        return rows


def filter_blocks(options: Options) -> Answers:
    """A function from blocks of an index to rows of the molecules that pass."""
    blocks = Blocks(options)
    records = blocks.index.library.records

    def list_passed(block: int) -> list[Passed]:
        passed = [place for place in blocks.list_places(block) if blocks.read_passed(place)]
        return [Passed(blocks.index.read_id(place), int(records[place])) for place in passed]

    def judge(record: Molecule) -> Answer:
        return blocks.answer(partial(list_passed, _get_part(record)))

    return lambda parts: map(judge, parts)


def score_blocks(options: Options, prepared: Path) -> Answers:
    """A function from blocks of an index to the best that each holds for each query."""
    asked, blocks = Asked.load(prepared), Blocks(options)
    if options.substructure:
        find = _find_contained(asked, blocks, options.top)
    elif blocks.filters:
        find = _find_passing(asked, blocks, options.top)
    else:

        def find(block: int) -> Hits:
            return blocks.searcher.search_block(asked.queries, block, options.top, asked.least)

    def answer(part: Molecule) -> Answer:
        return blocks.answer(lambda: blocks.list_rows(find(_get_part(part))))

    return lambda parts: map(answer, parts)


def _find_passing(asked: Asked, blocks: Blocks, n: int) -> Callable[[int], Hits]:
    """The best of a block that pass the filters: as few are put through them as it takes."""

    def find(block: int) -> Hits:
        has_passed: dict[int, bool] = {}
        found: list[Hits] = []
        for query in range(len(asked.texts)):
            places, scores = blocks.searcher.score_block(asked.queries, query, block)
            kept: list[int] = []
            for at in np.lexsort((blocks.index.library.records[places], -scores)).tolist():
                place = int(places[at])
                if place not in has_passed:
                    has_passed[place] = blocks.read_passed(place) is not None
                if has_passed[place]:
                    kept.append(at)
                    if len(kept) == n:
                        break
            found.append(Hits(np.full(len(kept), query), places[kept], scores[kept]))
        return Hits.join(found)

    return find


def _find_contained(asked: Asked, blocks: Blocks, n: int) -> Callable[[int], Hits]:
    """The best of a block that contain the query: each molecule is read once, for all queries."""
    patterns = asked.read_patterns()

    def find(block: int) -> Hits:
        contained: list[list[int]] = [[] for _ in patterns]
        places = blocks.list_places(block)
        for at, place in enumerate(places):
            mol = blocks.read_passed(place)
            for query in _list_contained(mol, patterns) if mol is not None else ():
                contained[query].append(at)
        found = [_score_some(asked, blocks, block, query, own) for query, own in enumerate(contained) if own]
        return Hits.join(found).keep_best(n, blocks.index.library.records)

    return find


def _score_some(asked: Asked, blocks: Blocks, block: int, query: int, chosen: list[int]) -> Hits:
    places, scores = blocks.searcher.score_block(asked.queries, query, block)
    at: Ints = np.array(chosen)
    return Hits(np.full(len(chosen), query), places[at], scores[at])


def _get_part(record: Molecule) -> int:
    assert record.part is not None  # noqa: S101 - records of an index have it
    return record.part
