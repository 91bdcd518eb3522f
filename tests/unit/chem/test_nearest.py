"""The most similar molecules are those that a plain loop over all of them finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from aliquot.errors import BadReference
from aliquot_chem.fingerprint_index import Entry, FingerprintIndex, Rejected, derive_key
from aliquot_chem.index_writing import write_index
from aliquot_chem.nearest import Library, Queries, Searcher, bound_scores, score_shared
from aliquot_chem.slices import (
    Adder,
    list_marked,
    mark_at_least,
    pack_columns,
    read_all_counts,
    read_counts,
)

N_BITS = 64
Bits = list[NDArray[np.uint16]]


def make_library(bits: Bits, n_bits: int = N_BITS, block_words: int = 1) -> Library:
    """A library in small blocks, so that a few fingerprints make many."""
    size = block_words * 64
    sizes = np.array([len(own) for own in bits], np.int64)
    order = np.argsort(sizes, kind="stable")
    blocks = []
    for first in range(0, len(order), size):
        flags = np.zeros((n_bits, size), np.bool_)
        for at, record in enumerate(order[first : first + size]):
            flags[bits[record], at] = True
        blocks.append(pack_columns(flags))
    zeros = np.zeros((1, block_words), np.uint64)
    return Library(np.concatenate([*blocks, zeros]), n_bits, sizes[order].astype(np.uint16), order)


def rank_plainly(queries: Bits, bits: Bits, n: int) -> list[list[tuple[float, int]]]:
    def score(a: set[int], b: set[int]) -> float:
        return len(a & b) / len(a | b) if a | b else 1.0

    sets = [set(own.tolist()) for own in bits]
    return [
        sorted(((score(set(q.tolist()), own), i) for i, own in enumerate(sets)), key=lambda e: (-e[0], e[1]))[
            :n
        ]
        for q in queries
    ]


def list_found(searcher: Searcher, queries: Bits, n: int) -> list[list[tuple[float, int]]]:
    hits = searcher.search(Queries.of(queries, searcher.library.n_bits), n)
    records = searcher.library.records[hits.place]
    return [
        [
            (float(s), int(r))
            for s, r in zip(hits.score[hits.query == q], records[hits.query == q], strict=True)
        ]
        for q in range(len(queries))
    ]


def draw_bits(random: np.random.Generator, n: int, n_bits: int = N_BITS, most: int = 20) -> Bits:
    """Fingerprints of few kinds of size, so that many scores tie."""
    return [
        np.sort(random.choice(n_bits, random.integers(0, most + 1), replace=False)).astype(np.uint16)
        for _ in range(n)
    ]


@given(st.integers(0, 200), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_counts_are_those_of_adding_up(n_columns: int, n_words: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    flags = random.random((n_columns, 2, n_words * 64)) < random.random()
    columns = pack_columns(flags.reshape(n_columns * 2, n_words * 64)).reshape(n_columns, 2, n_words)
    planes = Adder(n_columns, (2, n_words)).count(columns)
    counts = flags.sum(axis=0)
    for lane in range(2):
        assert (read_all_counts(planes[:, lane]) == counts[lane]).all()
    least = random.integers(0, n_columns + 2, 2)
    lanes, places = list_marked(mark_at_least(planes, least))
    assert list(zip(lanes, places, strict=True)) == list(
        zip(*np.nonzero(counts >= least[:, None]), strict=True)
    )
    assert (read_counts(planes, lanes, places) == counts[lanes, places]).all()


@given(st.integers(0, 400), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_the_best_are_those_of_a_plain_loop(n_molecules: int, n: int, seed: int) -> None:
    """Ties by record among them: of 20 sizes and few bits there are many."""
    random = np.random.default_rng(seed)
    bits = draw_bits(random, n_molecules)
    queries = [*draw_bits(random, 3), np.zeros(0, np.uint16), *bits[:2]]
    assert list_found(Searcher(make_library(bits)), queries, n) == rank_plainly(queries, bits, n)


@given(st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_blocks_searched_apart_hold_the_best(n: int, seed: int) -> None:
    """However little a block knows of the others: its own best, those that may be among the best of all."""
    random = np.random.default_rng(seed)
    bits, queries = draw_bits(random, 300), draw_bits(random, 4)
    searcher = Searcher(make_library(bits))
    asked = Queries.of(queries, N_BITS)
    least = searcher.find_least(asked, n)
    found: list[list[tuple[float, int]]] = [[] for _ in queries]
    for block in range(searcher.library.n_blocks):
        hits = searcher.search_block(asked, block, n, least)
        for query, place, score in zip(hits.query, hits.place, hits.score, strict=True):
            found[query].append((float(score), int(searcher.library.records[place])))
    assert [sorted(own, key=lambda e: (-e[0], e[1]))[:n] for own in found] == rank_plainly(queries, bits, n)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_no_score_exceeds_its_bound(shared: int, own: int, other: int, wider: int) -> None:
    a, b = np.array([shared + own]), np.array([shared + other])
    low, high = np.maximum(b - wider, 0), b + wider
    assert score_shared(np.array([shared]), a, b)[0] <= bound_scores(a, low, high)[0, 0]


def test_molecules_are_ranked_as_rdkit_ranks_them(project_root: Path, tmp_path: Path) -> None:
    """Score by score equal to BulkTanimotoSimilarity, through an index that was written and read."""
    lines = (project_root / "tests/fixtures/library.smi").read_text().splitlines()
    lines += (project_root / "examples/crossref/molecules.smi").read_text().splitlines()
    mols = [mol for mol in (Chem.MolFromSmiles(line.split()[0]) for line in lines if line) if mol is not None]
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    prints = [generator.GetFingerprint(mol) for mol in mols]
    bits = [np.array(own.GetOnBits(), np.uint16) for own in prints]
    entries = [Entry(3 * i, f"m{i}", f"C{i}", own.tobytes()) for i, own in enumerate(bits)]
    write_index(tmp_path / "lib", entries, [], "k", {"bits": 2048})
    index = FingerprintIndex(tmp_path / "lib")
    found = list_found(Searcher(index.library), bits[:25], 20)
    for query, own in zip(prints, found, strict=False):
        scores = DataStructs.BulkTanimotoSimilarity(query, prints)
        assert own == sorted(((s, 3 * i) for i, s in enumerate(scores)), key=lambda e: (-e[0], e[1]))[:20]


def test_an_index_gives_back_what_was_put_in(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    bits = draw_bits(random, 40_000, 256, 30)
    entries = [Entry(i * 2, f"id {i}", f"C{i}é", own.tobytes()) for i, own in enumerate(bits)]
    rejected = [Rejected(1, "x", "parse", "not SMILES"), Rejected(3, "", "crash", "it ended")]
    written = write_index(tmp_path / "lib", iter(entries), rejected, "k", {"bits": 256})
    index = FingerprintIndex(tmp_path / "lib")
    assert (index.header["fingerprints"], index.header["parts"], index.header["rejected"]) == (40_000, 10, 2)
    assert index.header == written | {"sections": {n: list(s) for n, s in written["sections"].items()}}
    assert index.read_rejected() == rejected
    assert index.library.n_blocks == 10
    assert (np.diff(index.library.sizes.astype(int)) >= 0).all()
    for place in (0, 4_095, 4_096, 39_999):
        record = int(index.library.records[place])
        assert (index.read_id(place), index.read_smiles(place)) == (f"id {record // 2}", f"C{record // 2}é")
        assert index.library.sizes[place] == len(bits[record // 2])
    queries = bits[:3]
    plain = [[(s, 2 * r) for s, r in own] for own in rank_plainly(queries, bits, 5)]
    assert list_found(Searcher(index.library), queries, 5) == plain


def test_an_empty_library_is_searched_in_vain(tmp_path: Path) -> None:
    write_index(tmp_path / "lib", [], [], "k", {"bits": 256})
    library = FingerprintIndex(tmp_path / "lib").library
    assert list_found(Searcher(library), [np.array([1], np.uint16)], 5) == [[]]


def test_what_is_no_index_is_refused(tmp_path: Path) -> None:
    for body in (b"CCO ethanol\n", b"", b"\xff" * 64, bytes(30) + b"\x01\x00"):
        (tmp_path / "lib").write_bytes(body)
        with pytest.raises(BadReference, match="is no index"):
            FingerprintIndex(tmp_path / "lib")
    write_index(tmp_path / "lib", [Entry(0, "a", "C", b"\x01\x00")], [], "k", {"bits": 256})
    whole = (tmp_path / "lib").read_bytes()
    for body in (whole[:-5], whole[:100], whole[:16] + b"\xff" * 16 + whole[32:]):
        (tmp_path / "lib").write_bytes(body)
        with pytest.raises(BadReference, match="cut short"):
            FingerprintIndex(tmp_path / "lib")


def test_an_index_is_known_by_library_and_settings() -> None:
    keys = {
        derive_key(library, {"bits": bits, "radius": 2})
        for library in (["a"], ["b"], ["a", "b"], ["b", "a"])
        for bits in (1024, 2048)
    }
    assert len(keys) == 8
    assert derive_key(["a"], {"bits": 1, "radius": 2}) == derive_key(["a"], {"radius": 2, "bits": 1})
