"""Cutting a dataset into chunks: every record once, in order, and the same chunks whenever it is read."""

from __future__ import annotations

import threading
import time
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aliquot import cutting
from aliquot.chunk import ChunkReader
from aliquot.cutting import cut_chunks, encode_chunk
from aliquot.errors import DatasetError, StoreError
from aliquot.ledger import Ledger
from aliquot.readers import Batch
from aliquot.store import FolderStore
from orchestrator.submit import PutsAtOnce, submit_chunks


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setattr(cutting, "CHUNK_BYTES", 40)
    monkeypatch.setattr(cutting, "CHUNK_RECORDS", 7)
    monkeypatch.setattr(cutting, "FEW_RECORDS", 3)
    monkeypatch.setattr(cutting, "MOST_BYTES", 90)


# (source, line, size, at fault) of every record: sources in order, lines rising with gaps
records = st.lists(
    st.tuples(st.integers(0, 1), st.integers(1, 3), st.integers(0, 50), st.booleans()), max_size=60
).map(lambda drawn: number_lines(sorted(drawn, key=lambda record: record[0])))


def number_lines(drawn):
    lines, numbered = {}, []
    for source, step, size, is_bad in drawn:
        lines[source] = lines.get(source, 0) + step
        numbered.append((source, lines[source], size, is_bad))
    return numbered


def make_batches(numbered, cuts):
    """The records as batches of one source each, cut behind the places `cuts` too."""
    batches, held = [], []
    for place, record in enumerate(numbered):
        held.append((place, *record))
        is_last = place + 1 == len(numbered) or numbered[place + 1][0] != record[0]
        if is_last or place in cuts:
            batches.append(make_batch(held))
            held = []
    return batches


def make_batch(held):
    places, sources, lines, sizes, faults = zip(*held, strict=True)
    values = [None if bad else place for place, bad in zip(places, faults, strict=True)]
    bad = {
        index: (f"no {places[index]}", f"text {places[index]}") for index, fault in enumerate(faults) if fault
    }
    return Batch(sources[0], {"n": values}, {"k": list(values)}, list(lines), bad, list(sizes), None)


@given(numbered=records, cuts=st.sets(st.integers(0, 60)))
def test_chunks_hold_every_record_once_in_order(numbered, cuts):
    chunks = list(cut_chunks(make_batches(numbered, cuts)))
    assert [cut.id.seq for cut in chunks] == list(range(len(chunks)))
    assert [cut.chunk.first for cut in chunks] == [
        sum(each.id.n_records for each in chunks[:i]) for i in range(len(chunks))
    ]
    expected = [None if bad else place for place, (_, _, _, bad) in enumerate(numbered)]
    assert list(chain.from_iterable(cut.chunk.columns["n"] for cut in chunks)) == expected
    assert list(chain.from_iterable(cut.chunk.kept["k"] for cut in chunks)) == expected
    assert sum(cut.n_bytes for cut in chunks) == sum(size for _, _, size, _ in numbered)
    faults = {cut.chunk.first + index: row.text for cut in chunks for index, row in cut.chunk.bad.items()}
    assert faults == {place: f"text {place}" for place, record in enumerate(numbered) if record[3]}


@given(numbered=records, cuts=st.sets(st.integers(0, 60)))
def test_every_record_is_traced_to_its_line(numbered, cuts):
    for cut in cut_chunks(make_batches(numbered, cuts)):
        reader = ChunkReader(encode_chunk(cut.chunk), cut.id)
        for index in range(cut.id.n_records):
            assert reader.locate(index) == numbered[cut.chunk.first + index][:2]


@given(numbered=records, cuts=st.sets(st.integers(0, 60)), others=st.sets(st.integers(0, 60)))
def test_chunks_do_not_depend_on_batches(numbered, cuts, others):
    """A pipe is read in other pieces every time, and must give the chunks that are stored already."""
    assert list(cut_chunks(make_batches(numbered, cuts))) == list(cut_chunks(make_batches(numbered, others)))


@given(numbered=records)
def test_chunks_are_neither_too_large_nor_needlessly_small(numbered):
    chunks = list(cut_chunks(make_batches(numbered, set())))
    for cut in chunks:
        sizes = [size for _, _, size, _ in numbered[cut.chunk.first : cut.chunk.first + cut.id.n_records]]
        assert cut.id.n_records <= 7
        assert sum(sizes[:-1]) < (40 if len(sizes) > 3 else 90)
    for cut in chunks[:-1]:
        n_records, n_bytes = cut.id.n_records, cut.n_bytes
        assert n_records == 7 or n_bytes >= 90 or (n_bytes >= 40 and n_records >= 3)


def make_ledger(folder):
    return Ledger(FolderStore(folder))


@given(numbered=records.filter(bool), cuts=st.sets(st.integers(0, 60)), n_put=st.integers(0, 20))
@settings(max_examples=30, deadline=None)  # it writes files
def test_submission_cut_anywhere_goes_on_to_the_same_chunks(tmp_path_factory, numbered, cuts, n_put):
    """Killed after any number of chunks: the next reading stores the others and seals."""
    whole, broken = (make_ledger(tmp_path_factory.mktemp(name)) for name in ("whole", "broken"))
    batches = make_batches(numbered, cuts)
    list(submit_chunks(whole, cut_chunks(batches), is_repeatable=True))
    first = submit_chunks(broken, cut_chunks(make_batches(numbered, set())), is_repeatable=False)
    for _, _ in zip(range(n_put), first, strict=False):
        pass
    first.close()
    for is_repeatable in (False, True):
        list(submit_chunks(broken, cut_chunks(batches), is_repeatable=is_repeatable))
    assert broken.is_sealed
    assert broken.list_chunks() == whole.list_chunks()
    assert all(broken.store.get(chunk.key) == whole.store.get(chunk.key) for chunk in whole.list_chunks())


def batch_of(values, columns=("n",), source=0):
    n_records = len(values)
    named = {name: list(values) for name in columns}
    return Batch(source, named, {}, list(range(1, n_records + 1)), {}, [10] * n_records, None)


@pytest.mark.parametrize(
    ("other", "phrase"),
    [
        ([0, 1, 2, 3, 9, 5], "gives other records than before from record 4 on"),
        ([0, 1, 2, 3], "ends after 4 records where more were submitted before"),
        ([0, 1, 2, 3, 4, 5, 6, 7, 8], "from record 4 on"),
        ([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], "from record 4 on"),
    ],
)
def test_other_records_than_before_are_refused(tmp_path, other, phrase):
    ledger = make_ledger(tmp_path)
    list(submit_chunks(ledger, cut_chunks([batch_of(range(6))]), is_repeatable=False))
    with pytest.raises(DatasetError) as caught:
        list(submit_chunks(ledger, cut_chunks([batch_of(other)]), is_repeatable=False))
    assert phrase in str(caught.value)
    assert "choose a new folder" in str(caught.value)


def test_sealed_submission_takes_no_more_records(tmp_path):
    ledger = make_ledger(tmp_path)
    list(submit_chunks(ledger, cut_chunks([batch_of(range(4))]), is_repeatable=False))
    with pytest.raises(DatasetError, match="goes on after 4 records"):
        list(submit_chunks(ledger, cut_chunks([batch_of(range(8))]), is_repeatable=False))
    assert len(ledger.list_chunks()) == 1


def test_tables_of_other_columns_do_not_share_a_chunk():
    """A record of one table must not get the other's column names; objects of one file may."""
    chunks = list(cut_chunks([batch_of([1], ("a", "b")), batch_of([2], ("c",), source=1)]))
    assert [list(cut.chunk.columns) for cut in chunks] == [["a", "b"], ["c"]]
    (merged,) = cut_chunks([batch_of([1], ("a", "b")), batch_of([2], ("b", "c"))])
    assert merged.chunk.columns == {"a": [1, None], "b": [1, 2], "c": [None, 2]}


def test_records_that_cannot_be_stored_become_faults_with_the_reason(tmp_path):
    batch = batch_of([1, object(), 3])
    (cut,) = submit_chunks(make_ledger(tmp_path), cut_chunks([batch]), is_repeatable=False)
    reader = ChunkReader(make_ledger(tmp_path).store.get(cut.id.key), cut.id)
    assert reader.column("n") == [1, None, 3]
    assert "n cannot be stored (builtins.object)" in reader.bad()[1].reason


class SlowLedger(Ledger):
    """A ledger that is far away: it notes how many chunks are on their way, and may refuse one."""

    def __init__(self, store, refused=None):
        super().__init__(store)
        self._lock, self._refused = threading.Lock(), refused
        self.n_under_way = self.most = 0

    def put_chunk(self, chunk, body):
        with self._lock:
            self.n_under_way += 1
            self.most = max(self.most, self.n_under_way)
        time.sleep(0.002 * (chunk.seq % 3))
        if chunk.seq == self._refused:
            raise StoreError(chunk.key, "refused")
        super().put_chunk(chunk, body)
        with self._lock:
            self.n_under_way -= 1


def test_chunks_put_at_once_are_those_put_in_turn(tmp_path):
    """A bucket takes many at a time; memory holds as many bodies as are on their way, and no more."""
    batches = [batch_of(range(first, first + 20)) for first in range(0, 600, 20)]
    near, far = make_ledger(tmp_path / "near"), SlowLedger(FolderStore(tmp_path / "far"))
    list(submit_chunks(near, cut_chunks(batches), is_repeatable=True))
    puts = PutsAtOnce(far, 4)
    list(submit_chunks(far, cut_chunks(batches), is_repeatable=True, puts=puts))
    puts.close()
    assert far.is_sealed
    assert 1 < far.most <= 4
    assert puts.has_any_arrived
    assert [near.store.get(chunk.key) for chunk in near.list_chunks()] == [
        far.store.get(chunk.key) for chunk in far.list_chunks()
    ]


@pytest.mark.parametrize("refused", [0, 50, 149])
def test_nothing_is_sealed_when_one_put_failed(tmp_path, refused):
    """The last chunk's failure comes after the last record was read; a run must not settle without it."""
    batches = [batch_of(range(600))]
    ledger = SlowLedger(FolderStore(tmp_path), refused)
    puts = PutsAtOnce(ledger, 4)
    with pytest.raises(StoreError, match="refused"):
        list(submit_chunks(ledger, cut_chunks(batches), is_repeatable=True, puts=puts))
    puts.close()
    assert not ledger.is_sealed
