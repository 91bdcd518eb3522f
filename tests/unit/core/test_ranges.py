"""A dataset cut in parts is the dataset: same records, numbers, lines and reasons, wherever the seams fall.

This is what lets many invocations cut one object: each sees a part, and nobody sees the whole.
"""

import gzip
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aliquot.counting import SourceCutter
from aliquot.cutting import Cut
from aliquot.errors import DatasetError
from aliquot.job import Column
from aliquot.ranges import (
    Counted,
    Part,
    Stretch,
    group_items,
    list_streamed,
    number_parts,
    plan_rows,
    plan_stretches,
)
from aliquot.readers import Limits, Source, read_batches
from aliquot.readers.columns import Wanted
from aliquot.readers.parquet import RowGroup

REACTION = {"reaction": Column(("reaction", "rxn"), "line"), "id": Column(("id",), "id")}
TABLE = {"a": Column(("a", "x")), "b": Column(("b",))}
PROTEIN = {"sequence": Column(("sequence",), "line"), "id": Column(("id",), "id")}
FIELDS = {"fasta": PROTEIN, "smi": REACTION, "rsmi": REACTION, "jsonl": TABLE, "csv": TABLE, "tsv": TABLE}
FIELDS |= {"sdf": REACTION | {"b": Column(("b",))}}

LINES = {
    "smi": ["C 1", "CC |f:0.1| two words", "smiles id", "N\tn", "O", "smiles\tid", "CCO\t3\tmore"],
    "rsmi": ["C>>O 1", "rxn\tid", "reaction", "C>>N\tx", "A>>B |c| y", "id"],
    "jsonl": ['{"a": 1, "b": "x"}', '{"A": 2}', "{", "[1]", '{"b": null}', '{"a": "\\ud800"}', '{"c": 3}'],
    "csv": ["a,b", "1,2", '"1,5",x', '"q', 'q"', '"q""q",2', 'x"y,"z', '"u"v,w', "1,2,3", 'x"y,"z"', '"",""'],
    "fasta": [">a", ">b two words", "MKVL", "AG I", "M>K", ">", ">c|d\te", "MK"],
    "sdf": ["$$$$", "$$$$", "title", "  1 V2000", "M  END", ">  <b>", "1", "", "> (x) <id>", "$$$", "$$$$x"],
    "tsv": ["a\tb", "1\t2", '"1\t5"\tx', '"q', 'q"\t3', '"q""q"\t2', "b\ta", "1\t2\t3"],
}
ODD = ["", " ", "\t", "\ufeff", "caf\udce9", "x" * 45, "a\rb", "é", '"']
PLAIN_TABLES = {
    "csv": ["a,b", "1,2", '"1,5",x', '"q""q",2', "1,2,3", '"u"v,w'],
    "tsv": ["b\ta", "1\t2", '"1"\t5'],
}
Row = tuple[Any, ...]


@st.composite
def texts(draw: Any, text_format: str, lines: Sequence[str], odd: Sequence[str] = ODD) -> bytes:
    """Lines of a format, most of them right."""
    drawn = draw(st.lists(st.sampled_from([*lines, *lines, *odd]), max_size=14))
    has_header = text_format in ("csv", "tsv") and draw(st.sampled_from([True, True, True, False]))
    drawn = [lines[0], *drawn] if has_header else drawn
    drawn = draw(st.lists(st.sampled_from(["", " "]), max_size=2)) + drawn
    ends = draw(st.lists(st.sampled_from(["\n", "\n", "\r\n"]), min_size=len(drawn), max_size=len(drawn)))
    text = "".join(line + end for line, end in zip(drawn, ends, strict=True))
    text = draw(st.sampled_from(["", "", "\ufeff"])) + text
    return (text.rstrip("\r\n") if draw(st.booleans()) else text).encode("utf-8", "surrogateescape")


limits = st.builds(
    Limits,
    block_bytes=st.integers(1, 60),
    line_bytes=st.just(40),
    quoted_bytes=st.sampled_from([10, 30, 1000]),
    records=st.integers(1, 5),
)


@dataclass
class Dataset:
    """Sources that lie in memory."""

    sources: list[Source]
    bodies: list[bytes]
    wanted: Wanted

    def open(self, source: Source) -> Any:
        return io.BytesIO(self.bodies[int(source.path)])

    def read(self, most: Limits) -> list[Row]:
        """What a local run reads."""
        rows: list[Row] = []
        batches = read_batches(
            self.sources, self.wanted.fields, self.wanted.keep, limits=most, opener=self.open
        )
        for batch in batches:
            for i in range(batch.n_records):
                record = {name: values[i] for name, values in batch.columns.items() if values[i] is not None}
                kept = {name: values[i] for name, values in batch.kept.items()}
                rows.append((batch.source, batch.lines[i], record, kept, batch.bad.get(i)))
        return rows

    def cut(self, most: Limits, part_bytes: int, *, stops: bool = False) -> list[Cut]:
        """What the cloud makes of it, part by part; every chunk's bounds are held."""
        cutters = [
            SourceCutter(i, source, self.wanted, self.open, most, part_bytes)
            for i, source in enumerate(self.sources)
        ]
        stretches = plan_stretches(self.sources, part_bytes)
        counted = [self._count(cutters[each.source], each, stops=stops) for each in stretches]
        if streamed := list_streamed(stretches, counted):
            stretches = plan_stretches(self.sources, part_bytes, streamed)
            counted = [self._count(cutters[each.source], each, stops=stops) for each in stretches]
            assert not list_streamed(stretches, counted)
        parts = number_parts(stretches, counted)
        return [cut for part in parts for cut in _check_part(part, list(cutters[part.source].cut(part)))]

    def _count(self, cutter: SourceCutter, stretch: Stretch, *, stops: bool) -> Counted:
        counted, is_whole = cutter.count(stretch, None, lambda: stops)
        while not is_whole:
            again = Counted.from_plain(counted.to_plain())
            counted, is_whole = cutter.count(stretch, again, lambda: stops)
            assert len(counted.parts) > len(again.parts) or is_whole
        return counted


def _check_part(part: Part, cuts: list[Cut]) -> list[Cut]:
    assert sum(cut.id.n_records for cut in cuts) == part.n_records
    assert [cut.id.seq for cut in cuts] == list(range(part.seq, part.seq + len(cuts)))
    assert len(cuts) <= part.n_chunks
    return cuts


def list_rows(cuts: Sequence[Cut]) -> Iterator[Row]:
    """The records of chunks; their numbers are held."""
    at = 0
    for cut in cuts:
        chunk = cut.chunk
        assert chunk.first == at
        starts = [*chunk.provenance, (chunk.n_records, 0, 0)]
        places = [
            (source, line + i - first)
            for (first, source, line), (end, _, _) in pairwise(starts)
            for i in range(first, end)
        ]
        for i in range(chunk.n_records):
            record = {name: values[i] for name, values in chunk.columns.items() if values[i] is not None}
            kept = {name: values[i] for name, values in chunk.kept.items()}
            bad = chunk.bad.get(i)
            yield (*places[i], record, kept, (bad.reason, bad.text) if bad else None)
        at += chunk.n_records


def make_dataset(bodies: Sequence[bytes], text_format: str, fields: Any, *, is_gzip: bool = False) -> Dataset:
    held = [gzip.compress(body) if is_gzip else body for body in bodies]
    sources = [Source(str(i), text_format, is_gzip, len(body)) for i, body in enumerate(held)]
    return Dataset(sources, held, Wanted(fields))


def cut_and_read(dataset: Dataset, most: Limits, part_bytes: int, *, stops: bool = False) -> tuple[Any, Any]:
    """The rows of a dataset in parts, and of the same dataset as a whole."""
    return (
        tell(lambda: list(list_rows(dataset.cut(most, part_bytes, stops=stops)))),
        tell(lambda: dataset.read(most)),
    )


def tell(read: Callable[[], list[Row]]) -> list[Row] | str:
    """The rows, or why there are none."""
    try:
        return read()
    except DatasetError as err:
        return str(err)


@pytest.mark.parametrize("text_format", LINES)
@pytest.mark.parametrize("is_gzip", [False, True])
@pytest.mark.parametrize("takes_all", [False, True])
@given(data=st.data())
def test_text_in_parts_is_the_text(text_format, is_gzip, takes_all, data):
    bodies = data.draw(st.lists(texts(text_format, LINES[text_format]), min_size=1, max_size=2))
    fields = None if takes_all else FIELDS[text_format]
    dataset = make_dataset(bodies, text_format, fields, is_gzip=is_gzip)
    stops = data.draw(st.booleans())
    in_parts, whole = cut_and_read(dataset, data.draw(limits), data.draw(st.integers(1, 60)), stops=stops)
    assert in_parts == whole


@pytest.mark.parametrize("text_format", ["csv", "tsv"])
@given(data=st.data())
def test_table_with_quotes_that_close_is_cut_in_ranges(text_format, data):
    """With faults on their own lines only, nothing has to be read from the beginning."""
    odd = [each for each in ODD if each != '"']
    body = data.draw(texts(text_format, PLAIN_TABLES[text_format], odd))
    in_parts, whole = cut_and_read(
        make_dataset([body], text_format, TABLE), data.draw(limits), data.draw(st.integers(1, 30))
    )
    assert in_parts == whole


def test_newline_in_quotes_is_found_where_quotes_are_even():
    """A quote inside an unquoted field opens nothing, so counting quotes on a line does not tell."""
    dataset = make_dataset([b'a,b\n1,2\nx"y,"z\nw"\n3,4\n'], "csv", TABLE)
    stretches = plan_stretches(dataset.sources, 8)
    cutter = SourceCutter(0, dataset.sources[0], dataset.wanted, dataset.open, Limits(), 8)
    counted = [cutter.count(each)[0] for each in stretches]
    assert list_streamed(stretches, counted) == {0}
    in_parts, whole = cut_and_read(dataset, Limits(), 8)
    assert in_parts == whole


def test_table_without_newlines_in_quotes_needs_no_reading_from_the_beginning():
    body = b"a,b\n" + b'"1,5","say ""x"""\n"u"v,w\n' * 50
    dataset = make_dataset([body], "csv", TABLE)
    stretches = plan_stretches(dataset.sources, 100)
    cutter = SourceCutter(0, dataset.sources[0], dataset.wanted, dataset.open, Limits(), 100)
    assert len(stretches) > 10
    assert list_streamed(stretches, [cutter.count(each)[0] for each in stretches]) == set()


@pytest.mark.parametrize("group_rows", [1, 7, 100])
@pytest.mark.parametrize("part_bytes", [1, 200, 1 << 20])
@pytest.mark.parametrize("is_gzip", [False, True])
def test_parquet_in_parts_is_the_file(group_rows, part_bytes, is_gzip):
    sink = io.BytesIO()
    table = pa.table(
        {"a": [f"a{i}" for i in range(100)], "b": list(range(100)), "c": [[i] for i in range(100)]}
    )
    pq.write_table(table, sink, row_group_size=group_rows)
    dataset = make_dataset([sink.getvalue()] * 2, "parquet", TABLE, is_gzip=is_gzip)
    in_parts, whole = cut_and_read(dataset, Limits(records=9), part_bytes)
    assert in_parts == whole


def test_parquet_without_rows_has_no_parts():
    sink = io.BytesIO()
    pq.write_table(pa.table({"a": pa.array([], pa.string()), "b": pa.array([], pa.string())}), sink)
    assert make_dataset([sink.getvalue()], "parquet", TABLE).cut(Limits(), 10) == []


# ------------------------------------------------------------------------------------------- plans


@given(
    groups=st.lists(st.builds(RowGroup, st.integers(0, 5_000_000), st.integers(0, 1 << 30)), max_size=20),
    part_bytes=st.integers(1, 1 << 28),
)
def test_rows_are_in_one_part_each(groups, part_bytes):
    parts = plan_rows(0, groups, part_bytes)
    edges = [0, *(part.end for part in parts)]
    assert [part.begin for part in parts] == edges[:-1]
    assert edges[-1] == sum(group.n_rows for group in groups)
    assert all(0 < part.n_chunks <= part.n_records == part.end - part.begin for part in parts)


@given(sizes=st.lists(st.integers(0, 30), max_size=1200), limit=st.integers(1, 50))
@example(sizes=[0] * 1200, limit=10)
def test_items_cover_all_in_order(sizes, limit):
    items = group_items(sizes, limit)
    assert [i for begin, end in items for i in range(begin, end)] == list(range(len(sizes)))
    assert all(sum(sizes[a:b]) <= limit or b - a == 1 for a, b in items)
    assert all(b - a <= 501 for a, b in items)


def test_more_chunks_than_can_be_named_are_refused():
    """Places have eight digits; a ninth would put chunks in another order."""
    counted = Counted((Part(0, 0, 10, 0, 10**9, 10**8 + 1),))
    with pytest.raises(DatasetError, match="100,000,001 chunks"):
        number_parts([Stretch(0, "rows", 0, 10)], [counted])


def test_chunks_of_parts_never_share_a_place():
    counted = [
        Counted((Part(0, 0, 5, 0, 70, 3), Part(0, 5, 9, 4, 30, 2)), 9),
        Counted((Part(1, 0, 4, 0, 8, 1),), 4),
    ]
    parts = number_parts([Stretch(0, "stream", 0, 9), Stretch(1, "stream", 0, 4)], counted)
    assert [(part.seq, part.first, part.line) for part in parts] == [(0, 0, 0), (3, 70, 4), (5, 100, 0)]
