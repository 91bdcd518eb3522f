"""The matcher's prepared state, as every host loads it.

Owns the folder's layout: `templates.json` (ids, SMARTS, figures; read by the summary too), `patterns.json`
(bits, keys, cuts), `centres.json`, and NumPy arrays named in `Prepared`. No pickle. `preparing` writes it.
Imports NumPy. What one version writes only the same version reads.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aliquot_chem.bitset import Bit, Words
from aliquot_chem.centres import Centre
from aliquot_chem.differences import Cut
from aliquot_chem.keys import Key
from aliquot_chem.rays import RayBit


@dataclass(frozen=True)
class Prepared:
    """What `preparing.prepare_templates` wrote, loaded.

    Args:
        folder: from where.
        ids: template ids, in table order; as `smarts`.
        pattern_of_row: (template row, pattern) pairs, shape (n_pairs, 2), by row and then by position.
        pattern_binaries: the distinct patterns one after the other, see `templates.read_pattern`;
            `pattern_ends` tells where each begins and, as its last, where they end. Shape (n_patterns + 1,).
        required: bits that each pattern requires, shape (n_patterns, n_words).
        bits: what each bit stands for.
        keys: distinct difference keys; `key_of_row` names one per template row, or -1.
        cuts: distinct cuts; `cut_of_row` likewise. `cut_ends` tells per template row which two atoms of its
            pattern the cut bond joins, the first reactant's and the second's; shape (n_templates, 2).
        cut_sides: per template row with a cut how many atoms it adds to each reactant, then the pattern's
            atoms that go to the first; row i's are those from `cut_sides_ends[i]` to `cut_sides_ends[i + 1]`.
        ray_bits: what each bit of `ray_required` stands for, see `stars`; the latter has per template row
            those of the first end and, beside them, those of the second. Shape (n_templates, 2 * n_words).
        edit_of_row: the edit of each template row, or -1.
        edit_places: the rows' `PlacedEdit.places`, shape (n_places, 3); row i's are those from
            `edit_ends[i]` to `edit_ends[i + 1]`.
    """

    folder: Path
    ids: list[str]
    smarts: list[str]
    pattern_of_row: NDArray[np.int32]
    pattern_binaries: NDArray[np.uint8]
    pattern_ends: NDArray[np.int64]
    required: Words
    bits: list[Bit]
    keys: list[Key]
    key_of_row: NDArray[np.int32]
    cuts: list[Cut]
    cut_of_row: NDArray[np.int32]
    cut_ends: NDArray[np.int32]
    cut_sides: NDArray[np.int32]
    cut_sides_ends: NDArray[np.int32]
    ray_bits: list[RayBit]
    ray_required: Words
    edit_of_row: NDArray[np.int32]
    edit_places: NDArray[np.int32]
    edit_ends: NDArray[np.int32]


def load_prepared(folder: Path) -> Prepared:
    """The prepared state of `folder`; arrays are mapped, so hosts share their pages."""
    templates = _read_json(folder / "templates.json")
    patterns = _read_json(folder / "patterns.json")
    return Prepared(
        folder=folder,
        ids=templates["ids"],
        smarts=templates["smarts"],
        pattern_of_row=np.load(folder / "pattern_of_row.npy"),
        pattern_binaries=np.load(folder / "pattern_binaries.npy", mmap_mode="r"),
        pattern_ends=np.load(folder / "pattern_ends.npy"),
        required=np.load(folder / "required.npy", mmap_mode="r"),
        bits=[((low, bond, high), count) for (low, bond, high), count in patterns["bits"]],
        keys=[Key(_read_delta(delta), *rest) for delta, *rest in patterns["keys"]],
        key_of_row=np.load(folder / "key_of_row.npy"),
        cuts=[
            Cut((low, bond, high), is_low_first, _read_delta(delta), fine)
            for (low, bond, high), is_low_first, delta, fine in patterns["cuts"]
        ],
        cut_of_row=np.load(folder / "cut_of_row.npy"),
        cut_ends=np.load(folder / "cut_ends.npy"),
        cut_sides=np.load(folder / "cut_sides.npy"),
        cut_sides_ends=np.load(folder / "cut_sides_ends.npy"),
        ray_bits=[((bond, atom), count) for (bond, atom), count in patterns["ray_bits"]],
        ray_required=np.load(folder / "ray_required.npy", mmap_mode="r"),
        edit_of_row=np.load(folder / "edit_of_row.npy"),
        edit_places=np.load(folder / "edit_places.npy"),
        edit_ends=np.load(folder / "edit_ends.npy"),
    )


def load_centres(folder: Path) -> tuple[list[Centre], Words]:
    """The patterns' distinct centres, and those that each pattern requires; for modes without keys."""
    listed = _read_json(folder / "centres.json")
    asks = listed["asks"]
    centres = [
        Centre(asks[ask], tuple(((asks[bond], asks[atom]), count) for bond, atom, count in rays))
        for ask, rays in listed["centres"]
    ]
    return centres, np.load(folder / "centre_required.npy", mmap_mode="r")


def _read_delta(pairs: list[list[int]]) -> tuple[tuple[int, int], ...]:
    return tuple((code, count) for code, count in pairs)


def _read_json(path: Path) -> dict[str, list]:  # type: ignore[type-arg]  # as written above
    content: dict[str, list] = json.loads(path.read_text(encoding="utf-8"))  # type: ignore[type-arg]
    return content
