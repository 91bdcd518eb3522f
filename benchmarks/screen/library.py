"""Millions of fingerprints out of some ten thousand real ones.

Each made one is a real one of which an eighth of the bits are off, with an eighth of the bits of another on:
as large and as alike to others as molecules are. Seeded. Owns this. Imports NumPy and RDKit.
"""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aliquot.errors import ParseFailure
from aliquot_chem.fingerprint_index import Entry
from aliquot_chem.fingerprints import Settings, open_fingerprints
from aliquot_chem.molecule_text import read_molecule

N_BITS = 2048
Rows = NDArray[np.uint8]


def read_smiles(path: Path) -> list[str]:
    """The SMILES of a `.smi.gz`."""
    return [line.split()[0] for line in gzip.decompress(path.read_bytes()).decode().splitlines()]


def compute_real(library: list[str]) -> tuple[Rows, float]:
    """Their packed fingerprints, lowest bit first, and CPU seconds to read molecules and compute them."""
    list_bits = open_fingerprints(Settings(2, N_BITS))
    begun_s = time.process_time()
    found = []
    for smiles in library:
        try:
            found.append(list_bits(read_molecule(smiles)))
        except ParseFailure:
            continue
    spent_s = time.process_time() - begun_s
    flags = np.zeros((len(found), N_BITS), np.bool_)
    for row, bits in zip(flags, found, strict=True):
        row[bits] = True
    return np.packbits(flags, axis=1, bitorder="little"), spent_s


def make_rows(real: Rows, n: int, seed: int) -> Rows:
    """So many packed fingerprints, the real ones first; shape (n, N_BITS / 8)."""
    random = np.random.default_rng(seed)
    rows = np.empty((n, N_BITS // 8), np.uint8)
    rows[: len(real)] = real[:n]
    for first in range(len(real), n, len(real)):
        own = real[random.permutation(len(real))][: n - first]
        other = real[random.permutation(len(real))][: n - first]
        rows[first : first + len(own)] = own & ~_draw_eighth(random, own.shape) | other & _draw_eighth(
            random, own.shape
        )
    return rows


def _draw_eighth(random: np.random.Generator, shape: tuple[int, ...]) -> Rows:
    """Bits of which an eighth are set."""
    drawn = [random.integers(0, 256, shape, np.uint8) for _ in range(3)]
    return drawn[0] & drawn[1] & drawn[2]


def list_entries(rows: Rows) -> Iterator[Entry]:
    """The fingerprints as an index takes them."""
    for record, row in enumerate(rows):
        bits = np.flatnonzero(np.unpackbits(row, bitorder="little")).astype("<u2")
        yield Entry(record, f"m{record}", "C", bits.tobytes())
