"""Prepares the matcher once per run: from a table of templates to the folder that every host loads.

Owns which rows of the table are used, merged or at fault, and the writing of the folder that `prepared`
reads. Imports NumPy and RDKit. When it is wrong, templates are lost, or `prepared` reads something else.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rdkit import rdBase

from aliquot.errors import BadReference
from aliquot_chem.bitset import list_bits, pack_requirements, pack_words
from aliquot_chem.centres import Centre
from aliquot_chem.differences import Cut, PlacedCut
from aliquot_chem.edits import PlacedEdit
from aliquot_chem.keys import Key
from aliquot_chem.rays import RayBit
from aliquot_chem.table import TEMPLATES, Row, derive_template_id, read_rows
from aliquot_chem.templates import Pattern, Template, UnsupportedTemplate, describe_template

_SHOWN_ROWS = 5


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
        listing = _list_templates(read_rows(path, TEMPLATES), mode, direction)
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


def _list_templates(rows: list[Row], mode: str, direction: str) -> _Listing:
    listing = _Listing([], [], [], 0, 0, [])
    smarts_by_id: dict[str, tuple[str, int]] = {}
    described: dict[str, Template] = {}
    for row in rows:
        if row.fault:
            listing.bad.append((row.line, row.fault))
            continue
        template_id = row.id or derive_template_id(row.text)
        earlier = smarts_by_id.get(template_id)
        if earlier is not None and earlier[0] == row.text:
            listing.n_merged += 1
            continue
        if earlier is not None:
            reason = f"id {template_id!r} is that of line {earlier[1]} with another SMARTS"
            listing.bad.append((row.line, reason))
            continue
        listing.n_same_smarts += row.text in described
        try:
            template = described.get(row.text) or describe_template(row.text, mode, direction)
        except UnsupportedTemplate as err:
            listing.bad.append((row.line, str(err)))
            continue
        smarts_by_id[template_id] = row.text, row.line
        described[row.text] = template
        listing.ids.append(template_id)
        listing.smarts.append(row.text)
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
    pairs = [
        (row, patterns.setdefault(pattern, len(patterns)))
        for row, template in enumerate(templates)
        for pattern in template.patterns
    ]
    key_of_row = [-1 if t.key is None else keys.setdefault(t.key, len(keys)) for t in templates]
    _write_centres([pattern.centres for pattern in patterns], into)
    asks = [pattern.asks for pattern in patterns]
    bits = list_bits(asks)
    np.save(into / "required.npy", pack_requirements(asks, bits))
    np.save(into / "pattern_of_row.npy", np.array(pairs, np.int32))
    np.save(into / "key_of_row.npy", np.array(key_of_row, np.int32))
    binaries = [pattern.binary for pattern in patterns]
    np.save(into / "pattern_binaries.npy", np.frombuffer(b"".join(binaries), np.uint8))
    np.save(into / "pattern_ends.npy", np.cumsum([0, *map(len, binaries)], dtype=np.int64))
    _write_edits([template.edit for template in templates], into)
    cuts, ray_bits = _write_cuts([template.cut for template in templates], into)
    listed_cuts = [(cut.ask, cut.is_low_first, cut.delta, cut.fine) for cut in cuts]
    patterns_file = {"bits": bits, "keys": list(keys), "cuts": listed_cuts, "ray_bits": ray_bits}
    _write_json(into / "patterns.json", patterns_file)


def _write_centres(centres_of_pattern: list[tuple[Centre, ...]], into: Path) -> None:
    places: dict[Centre, int] = {}
    required = [[places.setdefault(centre, len(places)) for centre in own] for own in centres_of_pattern]
    flags = np.zeros((len(required), len(places)), np.bool_)
    for row, own in enumerate(required):
        flags[row, own] = True
    np.save(into / "centre_required.npy", pack_words(flags))
    # An ask is long, and there are few: they are named by number.
    asks: dict[str, int] = {}
    written = [
        [
            asks.setdefault(centre.ask, len(asks)),
            [
                [asks.setdefault(bond, len(asks)), asks.setdefault(atom, len(asks)), count]
                for (bond, atom), count in centre.rays
            ],
        ]
        for centre in places
    ]
    _write_json(into / "centres.json", {"asks": list(asks), "centres": written})


def _write_cuts(placed: list[PlacedCut | None], into: Path) -> tuple[list[Cut], list[RayBit]]:
    """Write what is told per template row; the distinct cuts, and what the bits of the rays stand for."""
    cuts: dict[Cut, int] = {}
    cut_of_row = [-1 if cut is None else cuts.setdefault(cut.cut, len(cuts)) for cut in placed]
    ends = [(-1, -1) if cut is None else cut.ends for cut in placed]
    sides = [() if cut is None else (*cut.added, *cut.own) for cut in placed]
    rays = [tuple(Counter(own).items()) for cut in placed for own in (((), ()) if cut is None else cut.rays)]
    ray_bits = list_bits(rays)
    required = pack_requirements(rays, ray_bits)
    np.save(into / "cut_of_row.npy", np.array(cut_of_row, np.int32))
    np.save(into / "cut_ends.npy", np.array(ends, np.int32))
    np.save(into / "cut_sides.npy", np.array([number for own in sides for number in own], np.int32))
    np.save(into / "cut_sides_ends.npy", np.cumsum([0, *map(len, sides)], dtype=np.int32))
    np.save(into / "ray_required.npy", required.reshape(len(placed), -1))
    return list(cuts), ray_bits


def _write_edits(edits: list[PlacedEdit | None], into: Path) -> None:
    numbers: dict[str, int] = {}
    edit_of_row = [-1 if edit is None else numbers.setdefault(edit.text, len(numbers)) for edit in edits]
    places = [() if edit is None else edit.places for edit in edits]
    flat = [place for own in places for place in own]
    np.save(into / "edit_of_row.npy", np.array(edit_of_row, np.int32))
    np.save(into / "edit_places.npy", np.array(flat, np.int32).reshape(-1, 3))
    np.save(into / "edit_ends.npy", np.cumsum([0, *map(len, places)], dtype=np.int32))


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
