"""Which files are read, and in which order: record numbers hang on it."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

import pytest

from aliquot.errors import DatasetError
from aliquot.readers import Source, find_sources


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.smi", "a.csv.gz", "c/z.rsmi", "c/.hidden.smi", ".git/x.smi", "README.md"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    return tmp_path


def names(found: tuple[Source, ...], folder: Path) -> list[str]:
    return [str(Path(source.path).relative_to(folder)) for source in found]


def test_a_folder_gives_known_files_by_path_and_no_hidden_ones(folder: Path) -> None:
    assert names(find_sources([str(folder)]), folder) == ["a.csv.gz", "b.smi", "c/z.rsmi"]


def test_items_keep_the_order_given_and_a_glob_sorts_its_own(folder: Path) -> None:
    (folder / "a.smi").write_text("C")
    found = find_sources([str(folder / "c"), str(folder / "*.smi"), str(folder / "**" / "*.rsmi")])
    assert names(found, folder) == ["c/z.rsmi", "a.smi", "b.smi", "c/z.rsmi"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.csv", ("csv", False)),
        ("a.TSV", ("tsv", False)),
        ("a.ndjson.gz", ("jsonl", True)),
        ("a.jsonl", ("jsonl", False)),
        ("a.faa.gz", ("fasta", True)),
        ("a.parquet", ("parquet", False)),
        ("a.smiles.GZ", ("smi", True)),
        ("a.b.rsmi", ("rsmi", False)),
    ],
)
def test_the_ending_tells_the_format(tmp_path: Path, name: str, expected: tuple[str, bool]) -> None:
    (tmp_path / name).write_text("")
    (source,) = find_sources([tmp_path / name])
    assert (source.format, source.is_gzip) == expected


def test_a_source_is_known_by_size_time_and_both_ends(tmp_path: Path) -> None:
    """A resumed run refuses an input that has changed, without reading all of it."""
    path = tmp_path / "a.smi"
    path.write_bytes(b"a" * 70_000 + b"b" * 70_000)
    (source,) = find_sources([path])
    status = path.stat()
    assert (source.size_bytes, source.mtime_ns) == (140_000, status.st_mtime_ns)
    assert source.ends_sha256 == sha256(b"a" * 65_536 + b"b" * 65_536).hexdigest()
    path.write_bytes(b"a" * 70_000)
    assert find_sources([path])[0].ends_sha256 == sha256(b"a" * 70_000).hexdigest()


def test_stdin_is_a_source_without_a_digest() -> None:
    assert find_sources(["-"]) == (Source("-", "", False, None, None, None),)


def test_a_file_may_have_brackets_in_its_name(tmp_path: Path) -> None:
    (tmp_path / "[1].smi").write_text("C")
    assert names(find_sources([tmp_path / "[1].smi"]), tmp_path) == ["[1].smi"]


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ("absent.smi", "no such file"),
        ("*.parquet", "matches no file"),
        ("c*", "matches folders only"),
        ("README.md", "known are .csv, .tsv, .jsonl"),
        (".git", "x"),
        ("empty", "holds no file with a known ending"),
        ("pipe.smi", "not a regular file"),
    ],
)
def test_an_item_that_cannot_be_read_says_why(folder: Path, item: str, said: str) -> None:
    (folder / "empty").mkdir()
    os.mkfifo(folder / "pipe.smi")
    if item == ".git":
        assert names(find_sources([str(folder / item)]), folder) == [".git/x.smi"]
        return
    with pytest.raises(DatasetError, match=said) as caught:
        find_sources([str(folder / item)])
    assert item in caught.value.source


def test_stdin_twice_is_refused() -> None:
    with pytest.raises(DatasetError, match="read once"):
        find_sources(["-", "-"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.smi").touch(mode=0o000)
    with pytest.raises(DatasetError, match="Permission denied"):
        find_sources([tmp_path / "a.smi"])


def test_a_file_that_a_glob_finds_twice_is_read_once(tmp_path: Path) -> None:
    """`**` matches no folder in several ways; records would be there twice without a sign."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "a.smi").write_text("C\n")
    assert len(find_sources([f"{tmp_path}/**/**/*.smi"])) == 1
