"""The matcher's prepared state: built once per run, loaded by every host.

Owns the folder's layout: `templates.json` (ids, SMARTS, figures; read by the summary too), `patterns.json`
(distinct patterns, bits, keys, cuts), and NumPy arrays named in `Prepared`. No pickle.
Imports NumPy and, to prepare, RDKit. What one version writes only the same version reads.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rdkit import rdBase

from aliquot.errors import BadReference
from aliquot_chem.bitset import Bit, Words, list_bits, pack_requirements
from aliquot_chem.differences import Cut
from aliquot_chem.keys import Key
from aliquot_chem.table import TemplateRow, derive_template_id, read_template_rows
from aliquot_chem.templates import Pattern, Template, UnsupportedTemplate, describe_template

_SHOWN_ROWS = 5


@dataclass(frozen=True)
class Prepared:
    """What `prepare_templates` wrote, loaded.

    Args:
        ids: template ids, in table order; as `smarts`.
        pattern_of_row: (template row, pattern) pairs, shape (n_pairs, 2), by row and then by position.
        pattern_texts: each distinct pattern, see `templates.read_pattern`.
        required: bits that each pattern requires, shape (n_patterns, n_words).
        bits: what each bit stands for.
        keys: distinct difference keys; `key_of_row` names one per template row, or -1.
        cuts: distinct cuts; `cut_of_row` likewise. `cut_ends` tells per template row which two atoms of its
            pattern the cut bond joins, the first reactant's and the second's; shape (n_templates, 2).
    """

    ids: list[str]
    smarts: list[str]
    pattern_of_row: NDArray[np.int32]
    pattern_texts: list[str]
    required: Words
    bits: list[Bit]
    keys: list[Key]
    key_of_row: NDArray[np.int32]
    cuts: list[Cut]
    cut_of_row: NDArray[np.int32]
    cut_ends: NDArray[np.int32]


@dataclass
class _Listing:
    """The templates of a table that are usable, with what was left out."""

    ids: list[str]
    smarts: list[str]
    templates: list[Template]
    n_merged: int
    n_same_smarts: int
    bad: list[tuple[int, str]]


def prepare_templates(path: Path, into: Path, mode: str, direction: str, is_skipping_bad: bool) -> None:
    """Write the prepared state of the table at `path` into the folder `into`.

    A row whose SMARTS and id repeat an earlier row is merged with it; rows with one SMARTS and different ids
    are all kept; a row whose id repeats with another SMARTS is at fault, as its hits could not be told apart.

    Raises:
        BadReference: the table or rows of it cannot be used.
    """
    with rdBase.BlockLogs():  # errors are reported in our own words
        listing = _list_templates(read_template_rows(path), mode, direction)
    if listing.bad and not is_skipping_bad:
        reason = (
            f"{len(listing.bad)} template(s) cannot be used; mend them, "
            "or pass --skip-bad-templates to go on without them"
        )
        raise BadReference(str(path), reason, tuple(listing.bad[:_SHOWN_ROWS]), len(listing.bad))
    if not listing.ids:
        reason = "none of the table's templates can be used"
        raise BadReference(str(path), reason, tuple(listing.bad[:_SHOWN_ROWS]), len(listing.bad))
    _write_templates(listing, into)
    _write_patterns(listing.templates, into)


def _list_templates(rows: list[TemplateRow], mode: str, direction: str) -> _Listing:
    listing = _Listing([], [], [], 0, 0, [])
    smarts_by_id: dict[str, tuple[str, int]] = {}
    described: dict[str, Template] = {}
    for row in rows:
        template_id = row.id or derive_template_id(row.smarts)
        earlier = smarts_by_id.get(template_id)
        if earlier is not None and earlier[0] == row.smarts:
            listing.n_merged += 1
            continue
        if earlier is not None:
            reason = f"id {template_id!r} is that of line {earlier[1]} with another SMARTS"
            listing.bad.append((row.line, reason))
            continue
        listing.n_same_smarts += row.smarts in described
        try:
            template = described.get(row.smarts) or describe_template(row.smarts, mode, direction)
        except UnsupportedTemplate as err:
            listing.bad.append((row.line, str(err)))
            continue
        smarts_by_id[template_id] = row.smarts, row.line
        described[row.smarts] = template
        listing.ids.append(template_id)
        listing.smarts.append(row.smarts)
        listing.templates.append(template)
    return listing


def _write_templates(listing: _Listing, into: Path) -> None:
    figures = {
        "templates_merged": listing.n_merged,
        "templates_same_smarts": listing.n_same_smarts,
        "templates_skipped": len(listing.bad),
    }
    _write_json(into / "templates.json", {"ids": listing.ids, "smarts": listing.smarts, "figures": figures})


def _write_patterns(templates: list[Template], into: Path) -> None:
    patterns: dict[Pattern, int] = {}
    keys: dict[Key, int] = {}
    cuts: dict[Cut, int] = {}
    pairs = [
        (row, patterns.setdefault(pattern, len(patterns)))
        for row, template in enumerate(templates)
        for pattern in template.patterns
    ]
    key_of_row = [-1 if t.key is None else keys.setdefault(t.key, len(keys)) for t in templates]
    placed = [template.cut for template in templates]
    cut_of_row = [-1 if cut is None else cuts.setdefault(cut.cut, len(cuts)) for cut in placed]
    cut_ends = [(-1, -1) if cut is None else cut.ends for cut in placed]
    asks = [pattern.asks for pattern in patterns]
    bits = list_bits(asks)
    np.save(into / "required.npy", pack_requirements(asks, bits))
    np.save(into / "pattern_of_row.npy", np.array(pairs, np.int32))
    np.save(into / "key_of_row.npy", np.array(key_of_row, np.int32))
    np.save(into / "cut_of_row.npy", np.array(cut_of_row, np.int32))
    np.save(into / "cut_ends.npy", np.array(cut_ends, np.int32))
    texts = [pattern.text for pattern in patterns]
    listed_cuts = [(cut.ask, cut.is_low_first, cut.delta) for cut in cuts]
    patterns_file = {"texts": texts, "bits": bits, "keys": list(keys), "cuts": listed_cuts}
    _write_json(into / "patterns.json", patterns_file)


def load_prepared(folder: Path) -> Prepared:
    """The prepared state of `folder`; arrays are mapped, so hosts share their pages."""
    templates = _read_json(folder / "templates.json")
    patterns = _read_json(folder / "patterns.json")
    return Prepared(
        ids=templates["ids"],
        smarts=templates["smarts"],
        pattern_of_row=np.load(folder / "pattern_of_row.npy"),
        pattern_texts=patterns["texts"],
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
    )


def _read_delta(pairs: list[list[int]]) -> tuple[tuple[int, int], ...]:
    return tuple((code, count) for code, count in pairs)


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def _read_json(path: Path) -> dict[str, list]:  # type: ignore[type-arg]  # as written above
    content: dict[str, list] = json.loads(path.read_text(encoding="utf-8"))  # type: ignore[type-arg]
    return content
