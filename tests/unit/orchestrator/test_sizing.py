"""How large a dataset is said to be: exactly where it is read whole, from some of it where it lies in S3."""

from __future__ import annotations

import gzip
import io
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aliquot.errors import DatasetError
from aliquot.readers import Source
from aliquot.readers.objects import Listed
from orchestrator import sizing
from orchestrator.probe import Sample
from orchestrator.request import make_request
from orchestrator.sizing import pick_evenly, size_dataset


def f(_):
    return None


class Counting(io.BytesIO):
    """A file that counts what is read of it."""

    def __init__(self, body: bytes, told: list[int]) -> None:
        super().__init__(body)
        self._told = told

    def read(self, size: int | None = -1) -> bytes:
        piece = super().read(size)
        self._told.append(len(piece))
        return piece


class Bucket:
    """Objects, with which of them were opened, and how many bytes were read at a time."""

    def __init__(self, bodies: dict[str, bytes]) -> None:
        self.bodies = bodies
        self.opened: list[str] = []
        self.read: list[int] = []

    def list(self, _bucket, prefix):
        return (
            Listed(key, len(body), "x") for key, body in sorted(self.bodies.items()) if key.startswith(prefix)
        )

    def open(self, source):
        key = source.path.removeprefix("s3://data/")
        self.opened.append(key)
        return Counting(self.bodies[key], self.read)

    def size(self, sample=None):
        request = make_request(f, "s3://data/", {}, {}, (), None, self.list)
        return size_dataset(request, sample or Sample(random.Random(1)), self.open)


def table(first: int, end: int) -> bytes:
    return b"id,x\n" + b"".join(b"r%06d,%032d\n" % (i, i) for i in range(first, end))


def test_small_dataset_is_counted_whole():
    """What can be said exactly is: a plan of a few megabytes is no guess."""
    bucket = Bucket({"a.csv": table(0, 5), "b.csv": b"", "c.csv.gz": gzip.compress(table(5, 9))})
    sample = Sample(random.Random(1))
    size = bucket.size(sample)
    assert (size.n_records, size.n_chunks, size.share_read) == (9, 2, 1.0)  # each object begins a chunk
    assert sample.to_chunk()[0].columns["id"] == [f"r{i:06d}" for i in range(9)]


def test_some_objects_stand_for_many():
    """Ten thousand objects are no ten thousand requests; those that are read lie all over the list."""
    bucket = Bucket({f"{i:02d}.csv": table(1000 * i, 1000 * i + 10) for i in range(80)})
    size = bucket.size()
    assert bucket.opened == [f"{i:02d}.csv" for i in range(0, 80, 5)]
    assert (size.n_records, size.n_chunks) == (800, 80)
    assert size.n_bytes == 800 * 40  # without the ends of lines, and headers
    assert size.share_read == pytest.approx(0.2)


def test_empty_objects_stand_for_nothing():
    """Jobs that write one file for each task leave many of them."""
    bucket = Bucket({f"{i:02d}.csv": table(0, 10) if i == 1 else b"" for i in range(40)})
    assert (bucket.size().n_records, bucket.size().share_read) == (10, 1.0)


@pytest.mark.parametrize("ending", ["csv", "csv.gz"])
def test_beginning_of_a_large_object_stands_for_it(monkeypatch, ending):
    """A plan must not bring a terabyte to the laptop, nor bill for it."""
    monkeypatch.setattr(sizing, "MOST_TEXT_BYTES", 1 << 20)
    body = table(0, 200_000)
    bucket = Bucket({f"a.{ending}": gzip.compress(body, 1) if ending.endswith("gz") else body})
    size = bucket.size()
    assert size.n_records == pytest.approx(200_000, rel=0.1)
    assert size.n_bytes == pytest.approx(200_000 * 40, rel=0.1)
    assert size.n_chunks == pytest.approx(8, abs=2)
    assert sum(bucket.read) < len(bucket.bodies[f"a.{ending}"]) / 4


def test_dataset_without_records_is_refused_saying_how_much_of_it_was_read():
    with pytest.raises(DatasetError, match=r"a\.csv, .*b\.csv: holds no records$"):
        Bucket({"a.csv": b"", "b.csv": b"id\n"}).size()
    headers = {f"{i:02d}.csv": b"id,x\n" for i in range(20)}
    with pytest.raises(DatasetError, match=r"holds no records in the 80\.00% of it that a plan reads"):
        Bucket(headers).size()
    with pytest.raises(DatasetError, match=r"a\.csv: holds no records$"):
        Bucket({"a.csv": b""}).size()


@given(st.integers(1, 300), st.integers(1, 20))
def test_picked_objects_are_different_ones_in_order(n_sources, most):
    sources = [Source(f"s3://data/{i}.csv", "csv") for i in range(n_sources)]
    picked = pick_evenly(sources, most)
    places = [sources.index(source) for source in picked]
    assert places == sorted(set(places))
    assert len(places) == min(most, n_sources)
    assert places[0] == 0
    gaps = [later - earlier for earlier, later in pairwise([*places, n_sources])]
    assert max(gaps) - min(gaps) <= 1
