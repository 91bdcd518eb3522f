"""`screen` finds what plain loops over RDKit find: the same molecules, scores, ranks and records.

The chain is put together in memory: what the engine does between stages is keeping the best and grouping.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import QED, FilterCatalog, rdFingerprintGenerator, rdMolDescriptors

from aliquot.errors import BadOption, BadReference, ParseFailure
from aliquot.job import RECORD, Group, Reference, Stage
from aliquot_chem.fingerprint_index import FingerprintIndex
from aliquot_chem.fingerprinting import Options as PrintOptions
from aliquot_chem.fingerprinting import check_options, derive_key, open_printer, write
from aliquot_chem.screen import Hit, Molecule, Options, job
from aliquot_chem.screening import order_score

Asking = Callable[..., list[Hit]]


def name_reference(path: Path) -> Reference:
    return Reference(path, "")


@pytest.fixture(scope="module")
def smiles(project_root: Path) -> list[str]:
    """Some hundred molecules, two of them twice, so that scores tie; one does not parse."""
    lines = (project_root / "examples/crossref/molecules.smi").read_text().splitlines()
    lines += (project_root / "examples/conformers/library.smi").read_text().splitlines()
    found = [line.split()[0] for line in lines if Chem.MolFromSmiles(line.split()[0])]
    return [*found[:300], "O=C1NC(=S)SC1=Cc1ccccc1", "nonsense", *found[100:250], "O=C1C=CC(=O)C=C1"]


@pytest.fixture(scope="module")
def queries(smiles: list[str]) -> list[str]:
    return [smiles[0], smiles[120], "c1ccccc1", "CCO", smiles[200], "[He]", smiles[120]]


@pytest.fixture(scope="module")
def index(smiles: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library's index, which lacks the record that does not parse."""
    path = tmp_path_factory.mktemp("index") / "lib"
    options = PrintOptions()
    check_options(options, path.parent)
    answer = open_printer(options, path.parent)
    rows, failures = [], []
    for record, text in enumerate(smiles):
        try:
            ((row,),) = answer([Molecule(f"m{record}", text)])
            rows.append({"record": record, **row._asdict()})
        except ParseFailure as err:
            failures.append({"record": record, "id": f"m{record}", "kind": "parse", "message": str(err)})
    plain = {"radius": 2, "bits": 2048}
    write(path, rows, failures, derive_key(["x"], plain), plain)
    return path


@pytest.fixture
def ask(smiles: list[str], queries: list[str], index: Path, tmp_path: Path) -> Asking:
    """Screens the library, molecule by molecule or by its index."""

    def screen(*, by_index: bool, has_queries: bool = True, **chosen: Any) -> list[Hit]:
        path = tmp_path / "queries.smi"
        path.write_text("".join(f"{text} q{number}\n" for number, text in enumerate(queries)))
        options = Options(queries=name_reference(path) if has_queries else None, **chosen)
        if by_index:
            options = replace(options, index=name_reference(index))
            records = [Molecule(None, None, part) for part in range(1)]
        else:
            records = [Molecule(f"m{number}", text) for number, text in enumerate(smiles)]
        return run_chain(options, records, tmp_path)

    return screen


def run_chain(options: Options, records: Iterable[Molecule], folder: Path) -> list[Hit]:
    assert job.prepare is not None
    job.prepare(options, folder)
    first, second = job.list_stages(options)
    rows = list(call(first, options, folder, enumerate(records)))
    if first.best is not None:
        rows = keep_best(rows, first)
    groups = sorted({get_key(second, *row) for row in rows})
    held = [[row for row in rows if get_key(second, *row) == key] for key in groups]
    each = [
        Group(key, [row for _, row in own], [record for record, _ in own])
        for key, own in zip(groups, held, strict=True)
    ]
    return [row for answer in second.open(options, folder)(each) for row in answer]


def call(
    stage: Stage, options: Options, folder: Path, records: Iterable[tuple[int, Any]]
) -> Iterator[tuple[int, Any]]:
    """Rows with their records; a record that fails has none."""
    answer = stage.open(options, folder)
    for number, record in records:
        try:
            (rows,) = answer([record])
        except ParseFailure:
            continue
        yield from ((number, row) for row in (rows.rows if hasattr(rows, "note") else rows))


def keep_best(rows: list[tuple[int, Any]], stage: Stage) -> list[tuple[int, Any]]:
    best = stage.best
    assert best is not None
    kept: list[int] = []
    for by in {getattr(row, best.by) for _, row in rows}:
        own = [at for at, (_, row) in enumerate(rows) if getattr(row, best.by) == by]
        kept += heapq.nsmallest(best.n, own, key=lambda at: (-getattr(rows[at][1], best.score), at))
    return [rows[at] for at in sorted(kept)]


def get_key(stage: Stage, record: int, row: Any) -> Any:
    return record if stage.exchange == RECORD else getattr(row, stage.exchange)


@cache
def open_catalog(name: str) -> FilterCatalog.FilterCatalog:
    params = FilterCatalog.FilterCatalogParams()
    params.AddCatalog(getattr(FilterCatalog.FilterCatalogParams.FilterCatalogs, name))
    return FilterCatalog.FilterCatalog(params)


def is_alerted(mol: Chem.Mol, name: str) -> bool:
    return bool(open_catalog(name).HasMatch(mol))


def rank_plainly(
    smiles: list[str], queries: list[str], top: int, passes: Callable[[Chem.Mol], bool], *, contains: bool
) -> list[Hit]:
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    mols = [(record, mol) for record, text in enumerate(smiles) if (mol := Chem.MolFromSmiles(text))]
    library = [(record, mol, generator.GetFingerprint(mol)) for record, mol in mols if passes(mol)]
    hits: list[Hit] = []
    for number, text in enumerate(queries):
        query = Chem.MolFromSmiles(text)
        own = generator.GetFingerprint(query)
        scored = [
            (-DataStructs.TanimotoSimilarity(own, other), record)
            for record, mol, other in library
            if not contains or mol.HasSubstructMatch(query)
        ]
        for rank, (score, record) in enumerate(sorted(scored)[:top], 1):
            hits.append(Hit(f"q{number}", rank, -score, f"m{record}", record))
    return hits


@pytest.mark.parametrize("by_index", [False, True])
@pytest.mark.parametrize("contains", [False, True])
@pytest.mark.parametrize("filtered", [False, True])
def test_hits_are_those_of_plain_loops(
    ask: Asking, smiles: list[str], queries: list[str], by_index: bool, contains: bool, filtered: bool
) -> None:
    def passes(mol: Chem.Mol) -> bool:
        is_small = rdMolDescriptors.CalcNumHeavyAtoms(mol) <= 30 and QED.qed(mol) >= 0.4
        return not filtered or (is_small and not is_alerted(mol, "BRENK"))

    chosen = {"catalog": "brenk", "property": "qed>=0.4,heavy<=30"} if filtered else {}
    found = ask(by_index=by_index, substructure=contains, top=15, **chosen)
    assert found == rank_plainly(smiles, queries, 15, passes, contains=contains)
    assert len(found) > 30


@pytest.mark.parametrize("by_index", [False, True])
def test_without_queries_the_filters_decide(
    ask: Asking, smiles: list[str], by_index: bool, tmp_path: Path
) -> None:
    (tmp_path / "f").write_text("c1ccccc1\n!C=O carbonyl\n")
    filters = {"smarts": name_reference(tmp_path / "f"), "catalog": "pains", "property": "veber"}
    found = ask(by_index=by_index, has_queries=False, **filters)
    benzene, carbonyl = Chem.MolFromSmarts("c1ccccc1"), Chem.MolFromSmarts("C=O")
    plain = [
        record
        for record, mol in enumerate(map(Chem.MolFromSmiles, smiles))
        if mol
        and mol.HasSubstructMatch(benzene)
        and not mol.HasSubstructMatch(carbonyl)
        and not is_alerted(mol, "PAINS")
        and rdMolDescriptors.CalcNumRotatableBonds(mol) <= 10
        and rdMolDescriptors.CalcTPSA(mol) <= 140
    ]
    assert found == [Hit(None, None, None, f"m{record}", record) for record in plain]
    assert len(plain) > 10


def test_a_search_for_more_than_there_are_gives_all(
    ask: Asking, smiles: list[str], queries: list[str]
) -> None:
    whole = rank_plainly(smiles, queries, 10_000, lambda _: True, contains=False)
    for by_index in (False, True):
        assert ask(by_index=by_index, top=10_000) == whole


def test_blocks_of_an_index_are_ranked_together(tmp_path: Path) -> None:
    """Blocks are ordered by size and ties by record, so equal scores lie far from each other."""
    random = np.random.default_rng(3)
    bits = [np.sort(random.choice(64, size, replace=False)) for size in random.integers(1, 24, 9_000)]
    rows = [
        {"record": at, "id": f"m{at}", "smiles": "C", "bits": own.astype("<u2").tobytes()}
        for at, own in enumerate(bits)
    ]
    plain = {"radius": 1, "bits": 64}
    write(tmp_path / "lib", rows, [], "key", plain)
    (tmp_path / "q.smi").write_text("CCO a\nc1ccccc1C(=O)NCCO b\nC[N+](C)(C)CC(=O)[O-] c\n")
    queries, library = name_reference(tmp_path / "q.smi"), name_reference(tmp_path / "lib")
    options = Options(queries=queries, top=60, index=library)
    found = run_chain(options, [Molecule(None, None, part) for part in range(3)], tmp_path)
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=1, fpSize=64)
    wanted = []
    for name, text in (("a", "CCO"), ("b", "c1ccccc1C(=O)NCCO"), ("c", "C[N+](C)(C)CC(=O)[O-]")):
        own = set(generator.GetFingerprint(Chem.MolFromSmiles(text)).GetOnBits())
        scored = [(-len(own & other) / len(own | other), at) for at, other in enumerate(map(set, bits))]
        wanted += [
            Hit(name, rank, -score, f"m{at}", at) for rank, (score, at) in enumerate(sorted(scored)[:60], 1)
        ]
    assert found == wanted
    assert len({hit.score for hit in found}) < len(found) / 2


def test_hosts_share_the_pages_of_an_index(tmp_path: Path) -> None:
    """What is mapped is nobody's own: searching all of it adds next to nothing to a host's private memory."""
    if not Path("/proc/self/status").exists():
        pytest.skip("there is no /proc here")
    bits = np.random.default_rng(4).integers(0, 2048, (60_000, 20)).astype("<u2")
    write(
        tmp_path / "lib",
        [
            {"record": i, "id": "", "smiles": "C", "bits": np.unique(own).tobytes()}
            for i, own in enumerate(bits)
        ],
        [],
        "",
        {"radius": 2, "bits": 2048},
    )
    before = read_private_kib()
    index = FingerprintIndex(tmp_path / "lib")
    assert index.library.columns.nbytes > 15 << 20
    assert int(index.library.columns.max()) > 0  # all of it was read
    assert read_private_kib() - before < 2 << 10


def read_private_kib() -> int:
    text = Path("/proc/self/status").read_text()
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith(("RssAnon", "RssShmem")))


def test_order_ranks_by_score_then_record() -> None:
    """Of all fractions that two fingerprints of 16,384 bits can make, those next to each other."""
    near = [
        (a / b, record) for b in range(16_300, 16_384) for a in (b - 2, b - 1) for record in (0, 2**32 - 1)
    ]
    by_order = sorted(near, key=lambda each: -order_score(*each))
    assert by_order == sorted(near, key=lambda each: (-each[0], each[1]))
    assert 0 <= order_score(0.0, 2**32 - 1) < order_score(1.0, 0) < 2**63


def test_bad_queries_are_refused_by_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "q.smi").write_text("CCO a\nnonsense b\n")
    with pytest.raises(BadReference, match=r"q\.smi: 1 of the queries do not parse.*\n  line 2: not SMILES"):
        run_chain(Options(queries=name_reference(tmp_path / "q.smi")), [], tmp_path)


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({}, "--queries: is missing, and so is any filter"),
        ({"substructure": True, "catalog": "pains"}, "--substructure: asks for molecules that contain"),
        ({"catalog": "pains", "top": 0}, "--top: 0 is below 1"),
        ({"catalog": "rust"}, "--catalog: 'rust' is not one of"),
        ({"property": "size<4"}, "--property: 'size<4' is no property window"),
        ({"catalog": "pains", "radius": 99}, "--radius: 99 is not within"),
    ],
)
def test_what_cannot_be_asked_is_refused(tmp_path: Path, chosen: dict[str, Any], said: str) -> None:
    with pytest.raises(BadOption, match=said):
        run_chain(Options(**chosen), [], tmp_path)


def test_an_index_decides_how_fingerprints_are_made(ask: Asking, index: Path, tmp_path: Path) -> None:
    assert ask(by_index=True, radius=2, bits=2048)
    with pytest.raises(BadOption, match="--bits: 1024 is asked for and the index was made with 2048"):
        ask(by_index=True, bits=1024)
    other = tmp_path / "lib"
    other.write_bytes(index.read_bytes().replace(b'"rdkit": "20', b'"rdkit": "19'))
    options = Options(catalog="pains", index=name_reference(other))
    with pytest.raises(BadReference, match="was made with RDKit 19"):
        run_chain(options, [], tmp_path)


def test_what_is_said_at_the_end_counts_what_an_index_lacks(ask: Asking, tmp_path: Path) -> None:
    hits = ask(by_index=True, substructure=True)
    assert job.summary is not None
    summary, later = job.summary(None, tmp_path), job.summary(None, tmp_path)
    for at, query in enumerate(dict.fromkeys(hit.query_id for hit in hits)):
        (summary if at % 2 else later).add(at, [tuple(h) for h in hits if h.query_id == query], None)
    summary.merge(later.partial())
    figures = summary.figures()
    assert (figures["queries"], figures["queries_with_hits"]) == (7, 6)  # no molecule contains [He]
    assert (figures["rejected"], figures["rejected_because"]) == (1, {"not SMILES": 1})
    assert summary.tables() == {
        "rejected": {"record": [301], "id": ["m301"], "kind": ["parse"], "reason": ["not SMILES"]}
    }
