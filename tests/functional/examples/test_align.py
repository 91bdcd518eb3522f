"""examples/align against Biopython: every pair of the sample, and some of the real proteins."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyopal")
Align = pytest.importorskip("Bio.Align")


def read_plainly(text: str) -> Iterator[tuple[str, str]]:
    """Ids and sequences of FASTA, in other words than those of the example and of the engine."""
    name, lines = "", []
    for line in [*text.splitlines(), ">"]:
        if line.startswith(">"):
            if lines:
                yield name, "".join(lines)
            name, lines = line[1:].split(" ")[0], []
        elif line.strip():
            lines.append(line.strip())


def make_aligner(gap_open: int = 11, gap_extend: int = 1) -> Any:
    from Bio.Align import substitution_matrices

    aligner = Align.PairwiseAligner(mode="local")
    aligner.substitution_matrix = substitution_matrices.load("BLOSUM62")
    aligner.open_gap_score, aligner.extend_gap_score = -gap_open, -gap_extend
    return aligner


def rank_plainly(aligner: Any, query: str, library: list[tuple[str, str]], top: int) -> list[tuple[str, int]]:
    """The best of the library, ties in its order."""
    known = set(aligner.substitution_matrix.alphabet) - {"*"}
    cleaned = ["".join(letter if letter in known else "X" for letter in each) for _, each in library]
    scored = [(-int(aligner.score(query, sequence)), at) for at, sequence in enumerate(cleaned)]
    return [(library[at][0], -score) for score, at in sorted(scored)[:top]]


def list_hits(rows: list[dict[str, Any]]) -> dict[str, list[tuple[str, int]]]:
    hits: dict[str, list[tuple[str, int]]] = {}
    for row in rows:
        hits.setdefault(row["query_id"], []).append((row["id"], row["score"]))
        assert row["rank"] == len(hits[row["query_id"]])
    return hits


def test_the_readme_is_true_and_every_score_biopythons(lay_out):
    example = lay_out("align")
    ends = dict(example.follow())
    assert len(ends) == 3
    assert all(said.code == 0 for said in ends.values()), ends
    queries, library = (
        list(read_plainly((example.folder / name).read_text())) for name in ("queries.fasta", "library.fasta")
    )
    assert len(queries) * len(library) == 984
    words = "run align:job queries.fasta --library library.fasta --out all --top 1000"
    assert example.type(words).code == 0
    expected = {name: rank_plainly(make_aligner(), query, library, 1000) for name, query in queries}
    assert list_hits(example.table("all").to_pylist()) == expected
    assert list_hits(example.table("runs/align").to_pylist()) == {
        q: hits[:20] for q, hits in expected.items()
    }
    other = {name: rank_plainly(make_aligner(9, 2), query, library, 1) for name, query in queries}
    assert list_hits(example.table("runs/best").to_pylist()) == other


def test_real_proteins_score_as_biopython_says(lay_out, shared_data):
    folder: Path = shared_data / "proteins"
    if not folder.is_dir():
        pytest.skip("no proteins here")
    example = lay_out("align")
    queries, library = (
        list(read_plainly(gzip.decompress((folder / name).read_bytes()).decode()))[:n]
        for name, n in (("QUERY.fasta.gz", 3), ("DB.fasta.gz", 200))
    )
    for name, entries in (("q.fa", queries), ("l.fa", library)):
        example.write(name, "".join(f">{each} protein\n{sequence}\n" for each, sequence in entries))
    assert example.type("run align:job q.fa --library l.fa --out out --top 40").code == 0
    expected = {name: rank_plainly(make_aligner(), query, library, 40) for name, query in queries}
    assert list_hits(example.table("out").to_pylist()) == expected


def test_a_packed_library_is_read_without_its_ending(lay_out):
    """On a stack a reference is called by its digest."""
    example = lay_out("align")
    packed = example.folder / "library"
    packed.write_bytes(gzip.compress((example.folder / "library.fasta").read_bytes()))
    for library in ("library", "library.fasta"):
        words = f"run align:job queries.fasta --library {library} --out of-{library}"
        assert example.type(words).code == 0
    assert example.table("of-library").equals(example.table("of-library.fasta"))
