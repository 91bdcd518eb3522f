"""Notes in a run's folder that somebody else wrote, or that were cut short: told by their name."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from aliquot.errors import FolderInUse, StoreError, Undecodable
from aliquot.manifest import FORMAT
from aliquot.stages import StageNote
from orchestrator.aws.folder import CLOUD, CloudAddress, find_address, write_address
from orchestrator.explain import explain_run
from orchestrator.placing import place_delivery, read_delivered
from orchestrator.request import check_frozen
from orchestrator.results import read_invoice, read_summary
from orchestrator.show import describe_end


@pytest.mark.parametrize("body", [b"5", b"[]", b"[" * 100_000])
def test_address_of_a_run_that_is_no_object_is_told(tmp_path: Path, body: bytes) -> None:
    (tmp_path / CLOUD).write_bytes(body)
    with pytest.raises(FolderInUse, match="is damaged"):
        find_address(tmp_path)


@pytest.mark.parametrize("field", ["stack", "profile", "is_rehearsal", "manifest", "kms_key"])
def test_address_of_a_run_whose_fields_are_of_other_kinds_is_told(tmp_path: Path, field: str) -> None:
    write_address(tmp_path, CloudAddress("prod", "eu-west-1", None, "bucket", "june", "arn", "token"))
    (tmp_path / CLOUD).write_bytes(
        json.dumps({**json.loads((tmp_path / CLOUD).read_bytes()), field: 5}).encode()
    )
    with pytest.raises(FolderInUse, match=field):
        find_address(tmp_path)


@pytest.mark.parametrize("body", [b"", b"true", b"\xff", b"{", b"{}"])
def test_summary_and_invoice_that_are_damaged_are_told(tmp_path: Path, body: bytes) -> None:
    for name, read in (("summary.json", read_summary), ("invoice.json", read_invoice)):
        (tmp_path / name).write_bytes(body)
        with pytest.raises(StoreError, match=rf"{name}.*remove it, and `aliquot resume"):
            read(tmp_path)


SUMMARY = {
    **dict.fromkeys(("records", "done", "failed", "not_tried", "rows", "retries"), 1),
    "elapsed_s": -0.5,  # where the clocks of who began and who ended it differ
    "cpu_s": 2,
    "failures": {"crash": 1},
    "remarks": ["said at its end"],
}
INVOICE = {"total": 0.5, "estimated": 0.4, "wasted": {"crashes": 0.1}, "stages": {"call": {"total": 0.4}}}


def test_summary_and_invoice_are_held_against_what_is_shown_of_them(tmp_path: Path) -> None:
    """`aliquot show` and `resume` ended in tracebacks of a KeyError."""
    for name, sound in (("summary.json", SUMMARY), ("invoice.json", INVOICE)):
        (tmp_path / name).write_text(json.dumps(sound))
        describe_end(tmp_path)
        for field, wrong in itertools.product(sound, ("x", float("nan"), 10**400, [5], {"a": "b"})):
            (tmp_path / name).write_text(json.dumps({**sound, field: wrong}))
            with pytest.raises(StoreError, match=field):
                describe_end(tmp_path)
        (tmp_path / name).write_text(json.dumps(sound))


FROZEN: dict[str, Any] = {
    "format": FORMAT,
    "job": "j:f",
    "stages": [StageNote("call").to_plain()],
    "code": "",
    "aliquot": "1",
    "created": "2026-11-22T00:00:00+00:00",
    "source_names": ["d.csv"],
    "search_path": [],
    "options": {},
    "settings": {},
    "identity": {"job": "j:f", "version": 1, "options": {}, "keep": [], "columns": {}, "sources": []},
}


def test_manifest_of_a_run_is_held_against_what_is_read_of_it(tmp_path: Path) -> None:
    check_frozen(FROZEN, tmp_path)
    for name in FROZEN:
        garbled = {**FROZEN, name: 5}
        lacking = {key: value for key, value in FROZEN.items() if key != name}
        for manifest in (garbled, lacking):
            with pytest.raises(
                FolderInUse if name == "format" else Undecodable, match=r"format|manifest\.json"
            ):
                check_frozen(manifest, tmp_path)
    for name in FROZEN["identity"]:
        with pytest.raises(Undecodable, match=r"manifest\.json"):
            check_frozen({**FROZEN, "identity": {**FROZEN["identity"], name: [5]}}, tmp_path)


@pytest.mark.parametrize("name", ["", "..", "\0", "\ud800", "x" * 256, "ledger", "a/b"])
def test_note_of_a_delivery_that_names_no_file_is_not_believed(tmp_path: Path, name: str) -> None:
    """Found by `make fuzz`: the next delivery ended at it, after it had moved its files."""
    (tmp_path / "ledger" / "delivery").mkdir(parents=True)
    (tmp_path / "ledger" / "delivery" / "rows").touch()
    note = {"epoch": 0, "ending": "csv", "names": [name]}
    (tmp_path / "ledger" / "delivered.json").write_text(json.dumps(note))
    place_delivery(tmp_path / "ledger" / "delivery", tmp_path, 1, "csv")
    assert read_delivered(tmp_path).is_whole(tmp_path, 1, "csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ledger", "rows"]


def test_folder_of_a_run_on_a_stack_whose_manifest_is_damaged_is_told(tmp_path: Path) -> None:
    """`aliquot show` ended in a KeyError."""
    for manifest, error in (({}, FolderInUse), ({"format": FORMAT}, Undecodable)):
        address = CloudAddress("prod", "eu-west-1", None, "bucket", "june", "arn", "token", manifest=manifest)
        write_address(tmp_path, address)
        with pytest.raises(error):
            explain_run(tmp_path)
