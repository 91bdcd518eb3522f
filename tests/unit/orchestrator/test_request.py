"""When two requests are one run, and what is said when they are not."""

from __future__ import annotations

import os

import pytest

from aliquot.errors import BadOption, DatasetError, FolderInUse
from orchestrator.request import check_same, check_sources, make_manifest, make_request, restore_request


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("id,smiles\n1,C\n")
    return path


def f(_):
    return None


def ask(*paths, job=f, options=None, column=None, keep=()):
    return make_request(job, [str(path) for path in paths], options or {}, column or {}, keep)


def freeze(request):
    return make_manifest(request, {})


def tell(before, now, folder):
    with pytest.raises(FolderInUse) as caught:
        check_same(freeze(before), now, folder)
    return str(caught.value)


def test_same_words_are_the_same_run_wherever_they_are_said(data, tmp_path, monkeypatch):
    first = ask(data)
    monkeypatch.chdir(data.parent)
    check_same(freeze(first), ask("a.csv"), tmp_path)
    check_same(freeze(first), restore_request(freeze(first), tmp_path), tmp_path)
    assert ask("a.csv").source_names == ("a.csv",)


def test_what_differs_is_named(data, tmp_path):
    first = ask(data)
    other = data.with_name("b.csv")
    other.write_text("id\n1\n")
    assert f"{other} was not read, now it is" in tell(first, ask(data, other), tmp_path)
    assert f"{data} was read, now it is not" in tell(first, ask(other), tmp_path)
    assert "another order" in tell(ask(data, other), ask(other, data), tmp_path)
    assert "stands twice" in tell(first, ask(data, data), tmp_path)
    assert "columns was {}, now {'x': 'smiles'}" in tell(first, ask(data, column={"x": "smiles"}), tmp_path)
    assert "keep was [], now ['id']" in tell(first, ask(data, keep=("id", "id")), tmp_path)
    assert "job was " in tell(first, ask(data, job="crossref", options={"templates": str(data)}), tmp_path)


def test_changed_file_is_told_by_size_content_or_date(data, tmp_path):
    first = ask(data)
    check_sources(first)
    os.utime(data, ns=(1, 1))
    assert "has changed: written to since" in tell(first, ask(data), tmp_path)
    data.write_text("id,smiles\n1,N\n")
    assert "has changed: other content" in tell(first, ask(data), tmp_path)
    data.write_text("id,smiles\n")
    assert "has changed: 14 B, now 10 B" in tell(first, ask(data), tmp_path)
    with pytest.raises(DatasetError, match=r"has changed since the run began \(14 B, now 10 B\)"):
        check_sources(first)


def test_options_are_compared_one_by_one_and_references_by_content(data, tmp_path):
    templates = tmp_path / "t.csv"
    templates.write_text("smarts\nx\n")
    first = ask(data, job="crossref", options={"templates": templates})
    moved = tmp_path / "moved.csv"
    templates.rename(moved)
    check_same(freeze(first), ask(data, job="crossref", options={"templates": moved}), tmp_path)
    moved.write_text("smarts\ny\n")
    said = tell(first, ask(data, job="crossref", options={"templates": moved, "stereo": "ignore"}), tmp_path)
    assert "--templates has other content" in said
    assert "--stereo was exact, now ignore" in said
    assert "--mode" not in said


def test_only_files_are_known_to_be_the_same_again(data):
    assert ask(data).is_repeatable
    assert not ask("-").is_repeatable
    assert not ask(data, "-").is_repeatable
    assert not make_request(f, [{"id": 1}], {}, {}, ()).is_repeatable


@pytest.mark.parametrize("dataset", [3, None, f])
def test_dataset_is_files_or_an_iterable(dataset):
    with pytest.raises(DatasetError, match="give files, or an iterable of records"):
        make_request(f, dataset, {}, {}, ())


def test_empty_list_names_no_file():
    with pytest.raises(DatasetError, match="names no file"):
        make_request(f, [], {}, {}, ())


def test_kept_column_must_not_be_one_of_the_declared_rows(data):
    with pytest.raises(BadOption, match="--keep"):
        ask(data, job="crossref", options={"templates": str(data)}, keep=("template_id",))


def test_manifest_of_another_release_is_refused(data, tmp_path):
    with pytest.raises(FolderInUse, match="this release reads"):
        restore_request({**freeze(ask(data)), "format": "aliquot/run/99"}, tmp_path)
