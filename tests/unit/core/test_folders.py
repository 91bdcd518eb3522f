"""A folder as one reference: its digest says its content, and its list lets nothing out of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aliquot.errors import BadReference, Undecodable
from aliquot.folders import FORMAT, list_folder, read_listing
from aliquot.job import Reference
from orchestrator.options import describe_reference

DIGEST = "a" * 64


def make_folder(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_folders_of_one_content_have_one_digest_wherever_they_lie(tmp_path):
    files = {"b": "2", "a": "1", "deep/ä": "3"}
    first = list_folder(make_folder(tmp_path / "first", files))
    second = list_folder(make_folder(tmp_path / "second", dict(reversed(files.items()))))
    assert first.sha256 == second.sha256
    assert first.n_bytes == 3
    assert list(first.members) == ["a", "b", "deep/ä"]


@pytest.mark.parametrize("change", [{"a": "2"}, {"c": ""}, {"deep/a": "1"}])
def test_what_changes_in_a_folder_changes_its_digest(tmp_path, change):
    before = list_folder(make_folder(tmp_path / "f", {"a": "1", "b": ""})).sha256
    assert list_folder(make_folder(tmp_path / "f", change)).sha256 != before


def test_renamed_file_is_another_folder(tmp_path):
    names = [list_folder(make_folder(tmp_path / name, {name: "1"})).sha256 for name in ("a", "b")]
    assert names[0] != names[1]


def test_listing_comes_back_as_it_was_put(tmp_path):
    listing = list_folder(make_folder(tmp_path, {"a": "1", "deep/b": ""}))
    assert read_listing("key", listing.to_bytes()) == listing


@pytest.mark.parametrize(
    "file",
    [
        ["../evil", 1, DIGEST],
        ["/etc/evil", 1, DIGEST],
        ["a/../../evil", 1, DIGEST],
        ["", 1, DIGEST],
        ["a\0b", 1, DIGEST],
        ["a", -1, DIGEST],
        ["a", 1, "../../x"],
        ["a", 1],
        "a",
    ],
)
def test_listing_that_leads_elsewhere_is_refused(file):
    """Whoever may submit a run can put any object under its digest."""
    with pytest.raises(Undecodable):
        read_listing("key", json.dumps({"format": FORMAT, "files": [file]}).encode())


@pytest.mark.parametrize("body", [b"", b"[]", b'{"format": "aliquot/folder/2", "files": []}'])
def test_what_is_no_listing_is_refused(body):
    with pytest.raises(Undecodable):
        read_listing("key", body)


def test_option_that_names_a_folder_is_described_as_one(tmp_path):
    said = describe_reference("--stock", make_folder(tmp_path, {"a": "1"}))
    assert said == {
        "path": str(tmp_path.resolve()),
        "sha256": list_folder(tmp_path).sha256,
        "is_folder": True,
    }


def test_file_of_a_folder_here_is_the_file_itself(tmp_path):
    reference = Reference(make_folder(tmp_path, {"deep/a": "1"}), DIGEST)
    assert reference.file("deep/a") == tmp_path / "deep" / "a"
    with pytest.raises(BadReference, match="holds no file 'b'"):
        reference.file("b")


def test_file_on_a_stack_is_asked_for_each_time(tmp_path):
    """It may have made room for another; and who asks again keeps it from being the next that does."""
    asked = []

    def fetch(name):
        asked.append(name)
        (tmp_path / name).write_text("fetched")

    reference = Reference(tmp_path, DIGEST, fetch)
    assert [reference.file("a").read_text() for _ in range(3)] == ["fetched"] * 3
    assert asked == ["a"] * 3
