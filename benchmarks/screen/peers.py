"""Each search under one form: from a query's number to the scores of its 20 best.

Owns how each peer is given the same fingerprints. Imports NumPy; peers when they are opened, so that one that
is not installed is a line of the table and no error.
"""

from __future__ import annotations

import ctypes
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from aliquot_chem.fingerprint_index import FingerprintIndex
from aliquot_chem.nearest import Queries, Searcher
from benchmarks.screen.library import N_BITS, Rows

TOP = 20
Scores = list[float]
Search = Callable[[Sequence[int]], list[Scores]]


class Absent(Exception):
    """A peer that is not installed, or does not run here."""


def open_aliquot(rows: Rows, index: Path) -> Search:
    """The search of `screen`, over its index; all queries together."""
    searcher = Searcher(FingerprintIndex(index).library)

    def search(numbers: Sequence[int]) -> list[Scores]:
        bits = [np.flatnonzero(np.unpackbits(rows[n], bitorder="little")).astype(np.uint16) for n in numbers]
        hits = searcher.search(Queries.of(bits, N_BITS), TOP)
        return [hits.score[hits.query == place].tolist() for place in range(len(numbers))]

    return search


def open_aliquot_singly(rows: Rows, index: Path) -> Search:
    """The same, a query at a time."""
    search = open_aliquot(rows, index)
    return lambda numbers: [search([number])[0] for number in numbers]


def open_rdkit(rows: Rows, index: Path) -> Search:  # noqa: ARG001 - as the others are opened
    """BulkTanimotoSimilarity, and the best of what it gives."""
    from rdkit import DataStructs

    prints = [DataStructs.CreateFromBinaryText(row.tobytes()) for row in rows]

    def search(numbers: Sequence[int]) -> list[Scores]:
        found = []
        for number in numbers:
            scores = np.array(DataStructs.BulkTanimotoSimilarity(prints[number], prints))
            found.append(sorted(np.partition(scores, -TOP)[-TOP:].tolist(), reverse=True))
        return found

    return search


def open_fpsim2(rows: Rows, index: Path) -> Search:  # noqa: ARG001
    """FPSim2's kernel over fingerprints in memory, sorted as it sorts them; threshold 0, as for all of 20."""
    try:
        from FPSim2.FPSim2lib import GenericSearch
    except ImportError as err:
        raise Absent(f"FPSim2 is not installed: {err}") from err
    sizes = _count_bits(rows)
    order = np.argsort(-sizes, kind="stable")
    held = np.empty((len(rows), N_BITS // 64 + 2), np.uint64)
    held[:, 0], held[:, 1:-1], held[:, -1] = order, rows.view(np.uint64)[order], sizes[order]
    place = np.argsort(order)

    def search(numbers: Sequence[int]) -> list[Scores]:
        found = [GenericSearch(held[place[n]], held, 0.0, TOP, 0, 0, len(held)) for n in numbers]
        return [hits["coeff"].astype(float).tolist()[:TOP] for hits in found]

    return search


def index_by_fpsim2(library: Sequence[str], path: Path) -> None:
    """FPSim2's own index of the molecules; raises Absent."""
    try:
        from FPSim2.io import create_db_file
    except ImportError as err:
        raise Absent(f"FPSim2 is not installed: {err}") from err
    molecules = [[smiles, number] for number, smiles in enumerate(library)]
    create_db_file(molecules, str(path), "smiles", "Morgan", {"radius": 2, "fpSize": N_BITS})


class _Hits(ctypes.Structure):
    """What chemfp's kernel fills."""

    _fields_ = (
        ("n_hits", ctypes.c_int),
        ("n_allocated", ctypes.c_int),
        ("indices", ctypes.POINTER(ctypes.c_int)),
        ("scores", ctypes.POINTER(ctypes.c_double)),
    )


def open_chemfp(rows: Rows, index: Path) -> Search:  # noqa: ARG001
    """The kernel of chemfp 1.6.1, the latest on PyPI, whose Python part does not import on Python 3."""
    files = sorted(Path(sysconfig.get_path("platlib")).glob("_chemfp.*.so"))
    if not files:
        raise Absent("chemfp is not installed")
    kernel = ctypes.CDLL(str(files[0]), mode=1)  # RTLD_LAZY: names of Python 2 are never looked up
    kernel.chemfp_set_num_threads(1)
    kernel.chemfp_alloc_search_results.restype = ctypes.POINTER(_Hits)
    sizes = _count_bits(rows)
    order = np.argsort(sizes, kind="stable")
    arena = np.ascontiguousarray(rows[order])
    begins = np.searchsorted(sizes[order], np.arange(N_BITS + 2)).astype(np.int32)

    def search_one(number: int) -> Scores:
        hits, query = kernel.chemfp_alloc_search_results(1), np.ascontiguousarray(rows[number])
        of_queries = (N_BITS // 8, _point(query, ctypes.c_ubyte), 0, 1)
        of_library = (N_BITS // 8, _point(arena, ctypes.c_ubyte), 0, len(arena), _point(begins, ctypes.c_int))
        kernel.chemfp_knearest_tanimoto_arena(TOP, ctypes.c_double(0), N_BITS, *of_queries, *of_library, hits)
        end = ctypes.cast(ctypes.addressof(hits[0]) + ctypes.sizeof(_Hits), ctypes.POINTER(_Hits))
        kernel.chemfp_knearest_results_finalize(hits, end)
        found = sorted((hits[0].scores[place] for place in range(hits[0].n_hits)), reverse=True)
        kernel.chemfp_free_results(1, hits)
        return found

    return lambda numbers: list(map(search_one, numbers))


def _point(array: np.ndarray, kind: type) -> ctypes._Pointer:  # type: ignore[type-arg]
    return array.ctypes.data_as(ctypes.POINTER(kind))


def _count_bits(rows: Rows) -> np.ndarray:  # type: ignore[type-arg]
    return np.bitwise_count(rows.view(np.uint64)).sum(axis=1, dtype=np.int64)


SEARCHES: dict[str, Callable[[Rows, Path], Search]] = {
    "Aliquot, 32 queries together": open_aliquot,
    "Aliquot, one by one": open_aliquot_singly,
    "chemfp 1.6.1, its kernel": open_chemfp,
    "FPSim2": open_fpsim2,
    "RDKit BulkTanimotoSimilarity": open_rdkit,
}
