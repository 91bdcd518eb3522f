"""The matcher's prepared state, as every host loads it.

Owns the folder's layout: `templates.json` (ids, SMARTS, figures; read by the summary too), `patterns.json`
(bits, keys, cuts), and NumPy arrays named in `Prepared`. No pickle. `preparing` writes it. Imports NumPy.
What one version writes only the same version reads.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aliquot_chem.bitset import Bit, Words
from aliquot_chem.differences import Cut
from aliquot_chem.keys import Key


@dataclass(frozen=True)
class Prepared:
    """What `preparing.prepare_templates` wrote, loaded.

    Args:
        ids: template ids, in table order; as `smarts`.
        pattern_of_row: (template row, pattern) pairs, shape (n_pairs, 2), by row and then by position.
        pattern_binaries: the distinct patterns one after the other, see `templates.read_pattern`;
            `pattern_ends` tells where each begins and, as its last, where they end. Shape (n_patterns + 1,).
        required: bits that each pattern requires, shape (n_patterns, n_words).
        bits: what each bit stands for.
        keys: distinct difference keys; `key_of_row` names one per template row, or -1.
        cuts: distinct cuts; `cut_of_row` likewise. `cut_ends` tells per template row which two atoms of its
            pattern the cut bond joins, the first reactant's and the second's; shape (n_templates, 2).
        edit_of_row: the edit of each template row, or -1; edits that one template alone makes are left out.
        edit_places: the rows' `PlacedEdit.places`, shape (n_places, 3); row i's are those from
            `edit_ends[i]` to `edit_ends[i + 1]`.
    """

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
    edit_of_row: NDArray[np.int32]
    edit_places: NDArray[np.int32]
    edit_ends: NDArray[np.int32]


def load_prepared(folder: Path) -> Prepared:
    """The prepared state of `folder`; arrays are mapped, so hosts share their pages."""
    templates = _read_json(folder / "templates.json")
    patterns = _read_json(folder / "patterns.json")
    return Prepared(
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
            Cut((low, bond, high), is_low_first, _read_delta(delta))
            for (low, bond, high), is_low_first, delta in patterns["cuts"]
        ],
        cut_of_row=np.load(folder / "cut_of_row.npy"),
        cut_ends=np.load(folder / "cut_ends.npy"),
        edit_of_row=np.load(folder / "edit_of_row.npy"),
        edit_places=np.load(folder / "edit_places.npy"),
        edit_ends=np.load(folder / "edit_ends.npy"),
    )


def _read_delta(pairs: list[list[int]]) -> tuple[tuple[int, int], ...]:
    return tuple((code, count) for code, count in pairs)


def _read_json(path: Path) -> dict[str, list]:  # type: ignore[type-arg]  # as written above
    content: dict[str, list] = json.loads(path.read_text(encoding="utf-8"))  # type: ignore[type-arg]
    return content
