"""Bytes to lines: damage, ends, byte order marks and lines that are too long, whatever the format."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from aliquot.errors import DatasetError
from aliquot.readers import Limits, find_sources, read_batches

# a valid file of each text format: header or not, two records
CONTENT = {"a.csv": "x,y\n1,2\n3,4\n", "a.tsv": "x\ty\n1\t2\n3\t4\n", "a.jsonl": '{"x":1}\n{"x":3}\n'} | {
    "a.smi": "C 1\nO 2\n",
    "a.rsmi": "C>>O 1\nO>>C 2\n",
}
each_format = pytest.mark.parametrize("name", CONTENT)


@each_format
@pytest.mark.parametrize("block_bytes", [1, 7, 64 << 10])
def test_gzip_crlf_a_mark_and_no_last_end_change_nothing(read: Any, name: str, block_bytes: int) -> None:
    limits = Limits(block_bytes)
    plain = read(name, CONTENT[name])
    assert len(plain.rows) == 2
    windows = "\ufeff" + CONTENT[name].rstrip("\n").replace("\n", "\r\n")
    assert read(name, windows, limits=limits).rows == plain.rows
    assert read(f"{name}.gz", CONTENT[name], limits=limits).rows == plain.rows


@each_format
@pytest.mark.parametrize("block_bytes", [7, 64 << 10])
def test_bytes_that_are_not_utf8_cost_their_record(read: Any, name: str, block_bytes: int) -> None:
    first, *rest = CONTENT[name].encode().splitlines(keepends=True)
    content = b"".join([first, b"caf\xe9,\t x\n", *rest, "é\n".encode()])
    reading = read(name, content, limits=Limits(block_bytes))
    has_header = name in ("a.csv", "a.tsv")
    index = 0 if has_header else 1
    assert reading.bad[index][0] == "not UTF-8"
    assert reading.bad[index][1].startswith("caf\ufffd")
    assert reading.lines == ([2, 3, 4, 5] if has_header else [1, 2, 3, 4])


@each_format
@pytest.mark.parametrize("block_bytes", [1, 7, 64, 64 << 10])
def test_a_line_over_the_limit_costs_its_record(read: Any, name: str, block_bytes: int) -> None:
    first, *rest = CONTENT[name].splitlines(keepends=True)
    content = "".join([first, *rest, "x" * 101, "\n", rest[0], "y" * 200])
    reading = read(name, content, limits=Limits(block_bytes, line_bytes=100))
    at_fault = {reading.lines[index]: reason for index, reason in reading.reasons.items()}
    assert set(at_fault) == {3 + len(rest) - 1, 5 + len(rest) - 1}
    assert "101 bytes" in at_fault[2 + len(rest)]
    assert "200 bytes" in at_fault[4 + len(rest)]
    assert {raw[:3] for _, raw in reading.bad.values()} == {"xxx", "yyy"}


def test_a_line_at_the_limit_is_read(read: Any) -> None:
    for block_bytes in (7, 1000):
        reading = read("a.smi", "C" * 100 + "\nO\n", limits=Limits(block_bytes, line_bytes=100))
        assert reading.bad == {}


def test_a_raw_text_is_cut_at_ten_thousand(read: Any) -> None:
    reading = read("a.jsonl", "x" * 30_000)
    assert len(reading.bad[0][1]) == 10_000


def test_nul_bytes_pass(read: Any) -> None:
    assert read("a.csv", "x,y\n1\0,2\n").rows == [{"x": "1\0", "y": "2"}]
    assert read("a.smi", "C\0 a\n").rows == [{"smiles": "C\0", "id": "a"}]


def test_utf16_is_refused_with_the_way_out(read: Any) -> None:
    with pytest.raises(DatasetError, match="iconv"):
        read("a.csv", "x,y\n1,2\n".encode("utf-16"))


def test_a_gzip_cut_short_says_what_was_read_and_where(tmp_path: Path) -> None:
    path = tmp_path / "a.smi.gz"
    whole = gzip.compress("".join(f"C{'C' * (i % 89)} {i}\n" for i in range(50_000)).encode())
    path.write_bytes(whole[: len(whole) // 2])
    n_read = 0

    def count() -> None:
        nonlocal n_read
        for batch in read_batches(find_sources([path]), None):
            n_read += batch.n_records

    with pytest.raises(DatasetError, match=r"after [\d,]+ lines the gzip stream is cut short") as caught:
        count()
    assert n_read > 10_000
    assert f"after {n_read:,} lines" in str(caught.value)
    assert f"to byte {len(whole) // 2:,} of {len(whole) // 2:,}" in str(caught.value)


def test_a_damaged_gzip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.smi.gz"
    path.write_bytes(gzip.compress(b"C\n" * 9)[:-8] + b"\0" * 8)
    with pytest.raises(DatasetError, match="CRC"):
        list(read_batches(find_sources([path]), None))
    path.write_bytes(b"C a\n")
    with pytest.raises(DatasetError, match="Not a gzipped file"):
        list(read_batches(find_sources([path]), None))


def test_a_file_gone_since_it_was_found_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.smi"
    path.write_text("C\n")
    sources = find_sources([path])
    path.unlink()
    with pytest.raises(DatasetError, match="cannot be opened"):
        list(read_batches(sources, None))


@each_format
def test_an_empty_file_gives_nothing(read: Any, name: str, reaction: Any) -> None:
    for content in ("", "\n \n\r\n"):
        assert read(name, content, None if name in ("a.csv", "a.tsv") else reaction).lines == []
