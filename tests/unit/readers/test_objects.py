"""Names of objects: the same words find the same files in a bucket as in a folder."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aliquot.errors import DatasetError
from aliquot.readers import Source, find_sources
from aliquot.readers.objects import Listed, find_objects, is_object, split_url

folders = st.lists(st.sampled_from(["a", "b", ".h", "a[1]", "a^"]), max_size=2).map(
    lambda each: "".join(f"{n}/" for n in each)
)
names = st.sampled_from(["a", "ab", "b", ".a", "a-b", "a]", "!a", "a[1]", "^"]).map(
    lambda each: f"{each}.smi"
)
keys = st.builds(lambda folder, name: folder + name, folders, names)
pieces = st.sampled_from(
    ["*", "**", "a", "b", "?", "[ab]", "[!a]", "[a-b]", "[^a]", "[]a]", "[", "]", "a*", ".*", "*b", ".h"]
)
patterns = st.builds(
    lambda parts, last: "/".join([*parts, f"{last}.smi"]), st.lists(pieces, max_size=2), pieces
) | st.sampled_from(["**", "a/**", "*", "a/", "a[1]/", "a", "**/*"])


def list_in(held: set[str]) -> Callable[[str, str], Iterator[Listed]]:
    def listing(_bucket: str, prefix: str) -> Iterator[Listed]:
        return (Listed(key, 2, "x") for key in sorted(held) if key.startswith(prefix))

    return listing


def tell(find: Callable[[], tuple[Source, ...]], root: str) -> list[str] | None:
    try:
        return [source.path.removeprefix(root) for source in find()]
    except DatasetError:
        return None


@settings(deadline=None, max_examples=300)
@given(held=st.sets(keys, min_size=1, max_size=8), pattern=patterns)
@example({"a/b.smi", "a/.h/b.smi"}, "a/**/*.smi")
@example({"a[1].smi", "a1.smi"}, "a[1].smi")
@example({"^.smi", "a.smi"}, "[^a].smi")
def test_a_glob_finds_in_a_bucket_what_it_finds_in_a_folder(held: set[str], pattern: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for key in held:
            path = Path(folder, key)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"C\n")
        here = tell(lambda: find_sources([f"{folder}/{pattern}".rstrip("/")]), f"{folder}/")
    is_folder = any(key.startswith(f"{pattern.rstrip('/')}/") for key in held)
    item = f"s3://data/{pattern}" + ("/" if is_folder and not pattern.endswith("/") else "")
    assert tell(lambda: find_objects([item], list_in(held)), "s3://data/") == here


def test_objects_stand_in_the_order_of_the_items() -> None:
    held = {"b.smi", "a.csv.gz"}
    found = find_objects(["s3://data/b.smi", "s3://data/"], list_in(held))
    assert [(each.path, each.format, each.is_gzip) for each in found] == [
        ("s3://data/b.smi", "smi", False),
        ("s3://data/a.csv.gz", "csv", True),
        ("s3://data/b.smi", "smi", False),
    ]
    assert {(each.size_bytes, each.etag, each.mtime_ns, each.ends_sha256) for each in found} == {
        (2, "x", None, None)
    }


def test_urls_are_taken_apart() -> None:
    assert is_object("s3://data/a/b.smi")
    assert not is_object("data/a.smi")
    assert split_url("s3://data/a/b.smi") == ("data", "a/b.smi")
    assert split_url("s3://data") == ("data", "")
    for url in ("s3:///a", "a.smi"):
        with pytest.raises(DatasetError):
            split_url(url)
