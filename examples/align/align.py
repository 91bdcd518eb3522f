"""Protein queries against a library: for each query the best of all local alignments, by Opal's SIMD.

    aliquot run align:job queries.fasta --library library.fasta --out runs/align        # in this folder

A query is a record. The library is a reference: hosts read it once, and those that are forked share it.
Scores are Smith-Waterman's, with BLOSUM62 and affine gaps, as Biopython's PairwiseAligner gives them.
"""

import gzip
import heapq
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import pyopal
from scoring_matrices import ScoringMatrix

from aliquot import Column, Job, Reference, Stage

MATRIX = ScoringMatrix.from_name("BLOSUM62")
UNKNOWN = re.compile(f"[^{re.escape(MATRIX.alphabet.rstrip('*'))}]")  # U, O, *, ...: scored as X


class Query(NamedTuple):
    """What is read of a record."""

    sequence: Annotated[str, Column(("sequence", "seq", "protein"), "line")]
    id: Annotated[str, Column(("id", "name"), "id")] = ""


class Hit(NamedTuple):
    """A row of the result."""

    query_id: str
    rank: int
    score: int
    id: str
    entry: int


@dataclass(frozen=True)
class Options:
    """The command's flags."""

    library: Annotated[Reference, "FASTA of the proteins that queries are aligned to, plain or .gz"]
    top: Annotated[int, "hits for each query, best first; ties go to the earlier entry"] = 20
    gap_open: Annotated[int, "what a gap's first residue costs"] = 11
    gap_extend: Annotated[int, "what each further residue of a gap costs"] = 1


def clean(sequence: str) -> str:
    """A sequence in the matrix's letters."""
    return UNKNOWN.sub("X", sequence.upper())


def read_library(path: Path) -> tuple[list[str], list[str]]:
    """Ids and sequences of a FASTA file; a reference has no ending on a stack, so gzip shows in its bytes."""
    body = path.read_bytes()
    text = (gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body).decode()
    entries = [entry.partition("\n") for entry in f"\n{text}".split("\n>")[1:]]
    ids = [header.split(None, 1)[0] if header.strip() else "" for header, _, _ in entries]
    return ids, [clean("".join(lines.split())) for _, _, lines in entries]


def open_aligner(options: Options, _: Path) -> Callable[[Iterable[Query]], Iterator[list[Hit]]]:
    """What aligns queries to the whole library, one by one."""
    ids, sequences = read_library(options.library.path)
    aligner = pyopal.Aligner(MATRIX, options.gap_open, options.gap_extend)
    library = pyopal.Database(sequences, aligner.alphabet)

    def align(query: Query) -> list[Hit]:
        found = aligner.align(clean(query.sequence), library, algorithm="sw", mode="score")
        best = heapq.nsmallest(options.top, ((-hit.score, hit.target_index) for hit in found))
        return [Hit(query.id, rank, -score, ids[entry], entry) for rank, (score, entry) in enumerate(best, 1)]

    return lambda queries: map(align, queries)


job = Job(
    "align",
    version=1,
    options=Options,
    stages=(Stage("align", open_aligner),),
    reads=Query,
    writes=Hit,
    needs=("pyopal",),
)
