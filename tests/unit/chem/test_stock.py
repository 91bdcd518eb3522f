"""The stock: what was put in is found, nothing else is, whatever the hash and the order of the input."""

from __future__ import annotations

import gzip
import random
import subprocess
import sys
import tracemalloc
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aliquot.errors import BadOption, BadReference
from aliquot.job import Reference
from aliquot_chem import stock as stock_index
from aliquot_chem import stockwriting
from aliquot_chem.stockfile import Hashes, Stock, hash_keys, number_shards, read_header
from aliquot_chem.stockwriting import SHARD_KEYS, WHOLE_KEYS, StockWriter, choose_shards

KEYS = st.text(st.characters(min_codepoint=33, max_codepoint=0x17F), min_size=1, max_size=6)


def collide(keys: Sequence[bytes]) -> Hashes:
    """A hash of three values, the lowest, the highest and one between them."""
    values = np.array([0, 1 << 63, (1 << 64) - 1], np.uint64)
    return values[[sum(key) % 3 for key in keys]]


def write(path: Path, keys: Sequence[str], shards: int | None = None, **how: object) -> Reference:
    with StockWriter(path, "test", **how) as writer:  # type: ignore[arg-type]
        for key in keys:
            writer.add([key.encode()])
        writer.finish(shards)
    return Reference(path, "")


def read_files(path: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in path.iterdir()}


@given(
    st.lists(KEYS, max_size=300),
    st.lists(KEYS, max_size=50),
    st.booleans(),
    st.sampled_from([7, 1000]),
    st.sampled_from([1, 4]),
)
@settings(max_examples=30)
def test_a_stock_holds_what_was_put_in_and_nothing_else(
    tmp_path_factory, keys, others, collides, held, n_shards
):
    """With hashes that collide each hit has to be confirmed on the key; with few held, parts are sorted."""
    hash_all = collide if collides else hash_keys
    made = write(tmp_path_factory.mktemp("stock") / "s", keys, n_shards, hash_all=hash_all, held_keys=held)
    asked = [*keys, *others, ""]
    stock = Stock(made, hash_all)
    is_held = stock.find(asked)
    stock.release()
    assert (stock.find(asked) == is_held).all()
    assert is_held.tolist() == [key in set(keys) for key in asked]
    assert read_header(made).n_keys == len(set(keys))


@given(st.lists(KEYS, min_size=1, max_size=100), st.randoms())
@settings(max_examples=15)
def test_the_files_depend_on_the_set_of_keys_alone(tmp_path_factory, keys, rng):
    """Order, repeats and how many are held at a time change no byte, or runs would not go on."""
    folder = tmp_path_factory.mktemp("stock")
    again = [*keys, *rng.choices(keys, k=5)]
    rng.shuffle(again)
    write(folder / "a", keys, 4)
    write(folder / "b", again, 4, held_keys=3)
    write(folder / "b", again, 4, held_keys=3)  # in the place of the one that is there
    assert read_files(folder / "a") == read_files(folder / "b")


def test_the_hash_is_blake2b_of_eight_bytes_little_endian():
    """A stock that was written on one machine is read on others."""
    digest = blake2b(b"CCO", digest_size=8).digest()
    assert hash_keys([b"CCO"]).tolist() == [int.from_bytes(digest, "little")] == [14074757553414938733]


@pytest.mark.parametrize("n_shards", [1, 2, 64, 1 << 16])
def test_shards_are_ranges_of_hashes_in_their_order(n_shards):
    hashes = np.array([0, 1 << 63, (1 << 64) - 1, *map(random.Random(3).getrandbits, [64] * 200)], np.uint64)
    shards = number_shards(np.sort(hashes), n_shards)
    assert (np.diff(shards) >= 0).all()
    assert (shards[0], shards[-1]) == (0, n_shards - 1)


def test_a_stock_is_divided_when_a_worker_cannot_map_it_whole():
    assert [choose_shards(n) for n in (0, 1, 50_000_000, WHOLE_KEYS)] == [1] * 4
    assert choose_shards(400_000_000) == 64
    for n_keys in (WHOLE_KEYS + 1, 10**9, 5 * 10**9):
        assert n_keys / choose_shards(n_keys) <= SHARD_KEYS


def test_writing_takes_no_more_memory_for_more_keys(tmp_path):
    """What is held is a bounded number of keys and one part of them."""
    tracemalloc.start()
    try:
        peaks = [trace_peak(tmp_path / "s", n_keys) for n_keys in (40_000, 10_000, 40_000)]
    finally:
        tracemalloc.stop()
    assert peaks[2] < 2 * peaks[1]  # of four times the keys; the first made what the interpreter keeps


def trace_peak(path: Path, n_keys: int) -> int:
    """Bytes that writing so many keys of half a kilobyte takes."""
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    with StockWriter(path, "test", held_keys=10_000) as writer:
        for first in range(0, n_keys, 1000):
            writer.add([b"C" * 500 + str(number).encode() for number in range(first, first + 1000)])
        writer.finish()
    return tracemalloc.get_traced_memory()[1] - before


def test_a_stock_that_was_not_finished_leaves_nothing(tmp_path):
    with StockWriter(tmp_path / "s", "test", held_keys=2) as writer:
        writer.add([b"C", b"CC", b"CCC"])
    assert list(tmp_path.iterdir()) == []


def test_how_many_shards_follows_from_the_keys_without_their_repeats(tmp_path, monkeypatch):
    monkeypatch.setattr(stockwriting, "WHOLE_KEYS", 8)
    monkeypatch.setattr(stockwriting, "SHARD_KEYS", 4)
    keys = [f"C{number}" for number in range(12)]
    assert read_header(write(tmp_path / "a", keys[:8] * 3, held_keys=5)).n_shards == 1
    assert read_header(write(tmp_path / "b", keys * 3, held_keys=5)).n_shards == 4


def test_what_is_no_stock_is_refused_with_the_command_that_makes_one(tmp_path):
    made = write(tmp_path / "s", ["C", "CC"])
    shard, header = made.file("shard-00000"), made.file("stock.json")
    whole, said = shard.read_bytes(), header.read_bytes()
    for case in (b"", b"C\nCC\n", whole[:-1], whole[:30], whole[1:], whole[:16] + b"\0" * 8 + whole[24:]):
        shard.write_bytes(case)
        with pytest.raises(BadReference, match=r"shard-00000: .*aliquot index stock"):
            Stock(made).find(["C"])
    shard.unlink()
    with pytest.raises(BadReference, match="holds no file 'shard-00000'"):
        Stock(made).find(["C"])
    cases = [b"", b"[]", said.replace(b"stock/2", b"stock/9"), said.replace(b'"n_keys": 2', b'"n_keys": []')]
    for case in [*cases, said.replace(b'"n_shards": 1', b'"n_shards": 3')]:
        header.write_bytes(case)
        with pytest.raises(BadReference, match="aliquot index stock"):
            Stock(made)
    with pytest.raises(BadReference, match=r"holds no file 'stock\.json': make it with"):
        Stock(Reference(tmp_path / "absent", ""))


def test_a_stock_of_an_earlier_release_is_told_by_its_format(tmp_path):
    (tmp_path / "s").write_bytes(b"aliquot-stock-1\nC\nCC\n")
    with pytest.raises(BadReference, match=r"'aliquot/stock/1', one file, .* reads 'aliquot/stock/2'.*make"):
        Stock(Reference(tmp_path / "s", ""))


def test_nothing_but_a_stock_is_replaced(tmp_path):
    (tmp_path / "s").write_text("mine")
    with pytest.raises(BadOption, match="is a file"):
        write(tmp_path / "s", ["C"])
    (tmp_path / "t").mkdir()
    (tmp_path / "t/mine").write_text("mine")
    with pytest.raises(BadOption, match="holds other files"):
        write(tmp_path / "t", ["C"])
    assert {each.name for each in tmp_path.iterdir()} == {"s", "t"}


def test_molecules_are_known_by_canonical_smiles_and_others_counted(tmp_path):
    """As they are written, with maps or without, they are one; of the others each has its reason."""
    texts = [
        "OCC",
        "CCO",
        "[CH3:1][CH2:2][OH:3]",
        "C[C@H](N)O",
        "c1cccc1",
        "C(C)(C)(C)(C)C",
        "hello",
        "[Na+].[Cl-]",
    ]
    figures = stock_index.build(iter([(texts[:3], ["no smiles"]), (texts[3:], [])]), tmp_path / "s")
    found = Stock(Reference(tmp_path / "s", "")).find(["CCO", "C[C@H](N)O", "CC(N)O", "[Cl-].[Na+]", "OCC"])
    assert found.tolist() == [True, True, False, True, False]
    assert figures["molecules"] == 9
    assert (figures["keys"], figures["duplicates"], figures["rejected"]) == (3, 2, 4)
    assert figures["reasons"] == {
        "no smiles": 1,
        "does not sanitise: KekulizeException": 1,
        "does not sanitise: AtomValenceException": 1,
        "is not SMILES": 1,
    }
    assert read_header(Reference(tmp_path / "s", "")).key.startswith("canonical SMILES of RDKit ")


def test_a_stock_of_nothing_and_an_odd_number_of_shards_are_refused(tmp_path):
    with pytest.raises(BadReference, match="1 is not SMILES"):
        stock_index.build([(["hello"], [])], tmp_path / "s")
    with pytest.raises(BadOption, match="3 is no power of two"):
        stock_index.build([(["C"], [])], tmp_path / "s", shards=3)
    assert list(tmp_path.iterdir()) == []


def test_the_command_reads_every_format_and_says_what_it_left_out(tmp_path):
    """Text, gzip and Parquet in one stock, by two workers."""
    (tmp_path / "a.smi").write_text("CCO ethanol\nc1ccccc1 benzene\nhello nothing\n")
    with gzip.open(tmp_path / "b.csv.gz", "wt") as file:
        file.write("name,structure\nx,CCN\ny,\nz,OCC\n")
    pq.write_table(pa.table({"structure": ["CCCl", None]}), tmp_path / "c.parquet")
    said = run(tmp_path, "index", "stock", "a.smi", "--out", "smi.stock")
    assert "3 molecules: 2 keys, 0 duplicates, 1 rejected\n  1 rejected: is not SMILES\n" in said
    said = run(
        tmp_path, "index", "stock", "b.csv.gz", "c.parquet", "--out", "deep/stock", "--workers", "2",
        "--column", "smiles=structure", "--shards", "4",
    )  # fmt: skip
    assert "5 molecules: 3 keys, 0 duplicates, 2 rejected\n  2 rejected: no smiles\n" in said
    assert "4 shards" in said
    stock = Stock(Reference(tmp_path / "deep/stock", ""))
    assert stock.find(["CCO", "CCN", "CCCl", "c1ccccc1"]).tolist() == [True, True, True, False]


def run(folder: Path, *words: str) -> str:
    command = [sys.executable, "-m", "orchestrator.cli", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, check=True, text=True).stdout
