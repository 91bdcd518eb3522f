"""Rows' values packed and read back by the codec and by its rivals: bytes and processor time.

    python -m benchmarks.codec              prints the tables
    python -m benchmarks.codec --write      and writes benchmarks/codec.md

Each case is the values of one column, as a step's rows have them. In each turn every way packs and unpacks it
once, in another order, so that what else the machine does meets them alike; times are CPU milliseconds,
medians with the quartiles. RDKit's pickles are taken twice: as RDKit sets them, which drops properties and
halves coordinates, and asked for all of it, as the codec keeps: the verdict is against these.

Owns the cases, the rivals and the page. When it is wrong, we boast.
"""

from __future__ import annotations

import argparse
import datetime as dt
import decimal
import gzip
import io
import json
import os
import pickle
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import zstandard
from rdkit import Chem, RDLogger, rdBase
from rdkit.Chem import AllChem, rdChemReactions, rdFingerprintGenerator

from aliquot.codec import pack, unpack, unpack_late
from aliquot.registry import register
from aliquot.rows import make_block

HERE = Path(__file__).parent
DATA = Path(os.environ.get("ALIQUOT_TEST_DATA", HERE.parent.parent / "shared" / "data"))
SEED = 11
CODEC, PICKLE, KEEPS_ALL = "codec", "pickle 5", "pickle 5, all of RDKit's"
_OPTIONS = Chem.PropertyPickleOptions
_ALL = int(_OPTIONS.AllProps) | int(_OPTIONS.CoordsAsDouble)
_DEFAULT = Chem.GetDefaultPickleProperties()


@dataclass(frozen=True)
class Way:
    """How values become bytes and values again; before each, `prepare` is called."""

    pack: Callable[[Any], bytes]
    unpack: Callable[[bytes], Any]
    prepare: Callable[[], object] = lambda: None


@dataclass(frozen=True)
class Case:
    """The values of a column, and the ways that they can go besides codec and pickles."""

    name: str
    values: Any
    more: dict[str, Way] = field(default_factory=dict)
    is_rdkit: bool = False
    codec: Way = field(default_factory=lambda: Way(pack, read_column))


@dataclass
class Measured:
    """Of one way: bytes, also behind zstd as rows are stored; CPU ms of packing and unpacking by turn."""

    n_bytes: int = 0
    n_stored: int = 0
    pack_ms: list[float] = field(default_factory=list)
    unpack_ms: list[float] = field(default_factory=list)

    @property
    def both_ms(self) -> float:
        """Packing and unpacking, by the medians."""
        return statistics.median(self.pack_ms) + statistics.median(self.unpack_ms)


@dataclass
class Hit:
    """A dataclass as jobs have them."""

    name: str
    score: float
    rank: int
    smiles: str


def read_column(body: bytes) -> list[Any]:
    """A column as a host reads it, all of it."""
    return list(unpack_late(body, "column"))


def list_ways(case: Case) -> dict[str, Way]:
    """The codec, the pickles, and what else the case can go by."""
    plain = partial(Chem.SetDefaultPickleProperties, _DEFAULT)
    ways = {
        CODEC: case.codec,
        PICKLE: Way(partial(pickle.dumps, protocol=5), pickle.loads, plain),
        "cloudpickle": Way(partial(cloudpickle.dumps, protocol=5), pickle.loads, plain),
    }
    if case.is_rdkit:
        keeping = partial(Chem.SetDefaultPickleProperties, _ALL)
        ways[KEEPS_ALL] = Way(partial(pickle.dumps, protocol=5), pickle.loads, keeping)
    return ways | case.more


def measure(case: Case, turns: int) -> dict[str, Measured]:
    """Every way in every turn, each time in another order; the first turn warms and is left out."""
    ways = list_ways(case)
    measured = {name: Measured() for name in ways}
    order = list(ways)
    for turn in range(turns + 1):
        random.Random(SEED + turn).shuffle(order)
        for name in order:
            way, noted = ways[name], measured[name]
            way.prepare()
            began = time.process_time()
            body = way.pack(case.values)
            packed = time.process_time()
            read = way.unpack(body)
            ended = time.process_time()
            del read
            if turn:
                noted.pack_ms.append((packed - began) * 1e3)
                noted.unpack_ms.append((ended - packed) * 1e3)
            noted.n_bytes, noted.n_stored = len(body), len(zstandard.compress(body, 1))
    Chem.SetDefaultPickleProperties(_DEFAULT)
    return measured


# ------------------------------------------------------------------------------------------------- rivals


def json_way(to_plain: Callable[[Any], Any], of_plain: Callable[[Any], Any] = lambda plain: plain) -> Way:
    """JSON of what it can hold, made and unmade by these."""
    return Way(
        lambda values: json.dumps(to_plain(values), default=str).encode(),
        lambda body: of_plain(json.loads(body)),
    )


def arrow_way(to_table: Callable[[Any], pa.Table], of_table: Callable[[pa.Table], Any]) -> Way:
    """Arrow's stream of a table, made and unmade by these."""

    def write(values: Any) -> bytes:
        table, sink = to_table(values), io.BytesIO()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return sink.getvalue()

    return Way(write, lambda body: of_table(pa.ipc.open_stream(body).read_all()))


SMILES = Way(
    lambda mols: "\n".join(map(Chem.MolToCXSmiles, mols)).encode(),
    lambda body: list(map(Chem.MolFromSmiles, body.decode().split("\n"))),
)
SMILES_IN_JSON = json_way(
    lambda mols: list(map(Chem.MolToSmiles, mols)), lambda texts: list(map(Chem.MolFromSmiles, texts))
)
SMILES_IN_ARROW = arrow_way(
    lambda mols: pa.table({"smiles": list(map(Chem.MolToSmiles, mols))}),
    lambda table: list(map(Chem.MolFromSmiles, table.column(0).to_pylist())),
)


def arrays_in_arrow(arrays: Sequence[Any]) -> Way:
    """Arrays as tensors of a fixed shape."""
    tensor = pa.fixed_shape_tensor(pa.from_numpy_dtype(arrays[0].dtype), arrays[0].shape)
    size = arrays[0].size

    def to_table(values: Any) -> pa.Table:
        storage = pa.FixedSizeListArray.from_arrays(pa.array(np.concatenate(values, axis=None)), size)
        return pa.table({"x": pa.ExtensionArray.from_storage(tensor, storage)})

    return arrow_way(to_table, lambda table: list(table.column(0).combine_chunks().to_numpy_ndarray()))


# -------------------------------------------------------------------------------------------------- cases


def read_lines(n_lines: int) -> list[tuple[str, str]]:
    """SMILES and names of natural products."""
    with gzip.open(DATA / "molecules" / "natural-products-50k.smi.gz", "rt") as file:
        lines = [line.split() for line in file]
    random.Random(SEED).shuffle(lines)
    return [(smiles, name) for smiles, name in lines[:n_lines]]


def make_molecules(lines: Sequence[tuple[str, str]]) -> list[Chem.Mol]:
    """Parsed, with their names."""
    made = []
    for smiles, name in lines:
        mol = Chem.MolFromSmiles(smiles)
        if mol is not None:
            mol.SetProp("_Name", name)
            made.append(mol)
    return made


def make_conformers(mols: Sequence[Chem.Mol], n_wanted: int) -> list[Chem.Mol]:
    """The first that can be embedded, with hydrogens, charges and an energy."""
    made: list[Chem.Mol] = []
    for mol in mols:
        full = Chem.AddHs(mol)
        if full.GetNumAtoms() < 80 and AllChem.EmbedMolecule(full, randomSeed=SEED, maxAttempts=5) == 0:
            AllChem.ComputeGasteigerCharges(full)
            full.GetConformer().SetDoubleProp("energy", 1.5)
            made.append(full)
        if len(made) == n_wanted:
            break
    return made


def make_rows(lines: Sequence[tuple[str, str]], vectors: Sequence[Any]) -> list[dict[str, Any]]:
    """Mixed records, as jobs return them."""
    first = dt.date(2020, 1, 1)
    return [
        {
            "id": name,
            "smiles": smiles,
            "score": at * 0.37,
            "n": at,
            "day": first + dt.timedelta(at % 300),
            "at": dt.datetime(2020, 1, 1, 12, tzinfo=dt.UTC) + dt.timedelta(seconds=at),
            "tags": ["a", "b"],
            "price": decimal.Decimal(at) / 4,
            "seen": {name, smiles[:5]},
            "vector": vectors[at][:16],
        }
        for at, (smiles, name) in enumerate(lines)
    ]


def make_frames(lines: Sequence[tuple[str, str]], draw: np.random.Generator) -> list[pd.DataFrame]:
    """Frames of 2,000 rows."""
    return [
        pd.DataFrame({"smiles": [smiles for smiles, _ in part], "n": range(2000), "x": draw.random(2000)})
        for part in (lines[at : at + 2000] for at in range(0, len(lines), 2000))
    ]


def list_tables(table: pa.Table) -> list[pa.Table]:
    """The tables that were put together as one."""
    return [pa.Table.from_batches([batch]) for batch in table.to_batches()]


def pack_rows(rows: Any) -> bytes:
    """As a host packs what a job returned."""
    block = make_block(0, [[row] for row in rows], [None] * len(rows), ())
    return pack({name: pack(values) for name, values in block.columns.items()})


def unpack_rows(body: bytes) -> list[dict[str, Any]]:
    """As a host reads the rows of the stage before."""
    columns = {name: unpack_late(column, name) for name, column in unpack(body).items()}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def make_cases() -> list[Case]:
    """The real cases."""
    lines = read_lines(2000)
    mols = make_molecules(lines)
    morgan = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    draw = np.random.default_rng(SEED)
    vectors = list(draw.random((len(lines), 256), dtype=np.float32))
    large = [draw.random((500, 500)) for _ in range(4)]
    points = [draw.random((5, 3)) for _ in range(5000)]
    bits = [np.frombuffer(morgan.GetFingerprintAsNumPy(mol).tobytes(), np.uint8) for mol in mols]
    templates = (DATA / "uspto" / "templates.tsv").read_text().splitlines()[1:301]
    reactions = [rdChemReactions.ReactionFromSmarts(line.split("\t")[1]) for line in templates]
    rows = make_rows(lines, vectors)
    frames = make_frames(read_lines(40_000), draw)
    tables = [pa.Table.from_pandas(frame, preserve_index=False) for frame in frames]
    as_lists = json_way(
        lambda arrays: [each.tolist() for each in arrays], lambda lists: list(map(np.array, lists))
    )
    as_hits = json_way(
        lambda hits: [vars(hit) for hit in hits], lambda plain: [Hit(**each) for each in plain]
    )
    by_smiles = {
        "CXSMILES, parsed again": SMILES,
        "JSON of SMILES": SMILES_IN_JSON,
        "Arrow of SMILES": SMILES_IN_ARROW,
    }
    by_smarts = Way(
        lambda values: "\n".join(map(rdChemReactions.ReactionToSmarts, values)).encode(),
        lambda body: list(map(rdChemReactions.ReactionFromSmarts, body.decode().split("\n"))),
    )
    as_json = json_way(
        lambda held: [row | {"vector": row["vector"].tolist(), "seen": list(row["seen"])} for row in held]
    )
    register(Hit, "benchmarks.Hit")
    hits = [Hit(name, at * 0.5, at, smiles) for at, (smiles, name) in enumerate(lines)]
    of_tables = arrow_way(pa.concat_tables, list_tables)
    of_frames = arrow_way(
        lambda values: pa.concat_tables(map(pa.Table.from_pandas, values)),
        lambda read: [table.to_pandas() for table in list_tables(read)],
    )
    of_rows = arrow_way(
        lambda values: pa.Table.from_pylist([row | {"seen": list(row["seen"])} for row in values]),
        lambda read: read.to_pylist(),
    )

    def arrays(name: str, values: list[Any]) -> Case:
        return Case(name, values, {"JSON": as_lists, "Arrow": arrays_in_arrow(values)})

    ways = {"JSON, types lost": as_json, "Arrow, sets lost": of_rows}
    mixed = Case("2,000 mixed records of 10 fields", rows, ways, codec=Way(pack_rows, unpack_rows))
    return [
        Case(f"{len(mols):,} molecules, names and computed properties", mols, by_smiles, is_rdkit=True),
        Case(
            "60 molecules with a conformer, hydrogens and charges", make_conformers(mols, 60), is_rdkit=True
        ),
        Case("300 reaction templates", reactions, {"SMARTS, parsed again": by_smarts}, is_rdkit=True),
        Case(f"{len(mols):,} Morgan fingerprints", list(map(morgan.GetFingerprint, mols))),
        Case(f"{len(mols):,} sparse counts", list(map(morgan.GetSparseCountFingerprint, mols))),
        arrays("2,000 vectors of 256 float32", vectors),
        arrays("5,000 sets of 5 points", points),
        arrays("4 matrices of 2 MB", large),
        arrays("fingerprints as 2,048 bytes each", bits),
        mixed,
        Case("2,000 dataclasses", hits, {"JSON": as_hits}),
        Case("2,000 dates and times", [row["at"] for row in rows]),
        Case("2,000 sets of texts", [row["seen"] for row in rows]),
        Case("20 Arrow tables of 2,000 rows", tables, {"Arrow": of_tables}),
        Case("an Arrow table of 2,000 rows, alone", tables[:1], {"Arrow": of_tables}),
        Case("20 pandas frames of 2,000 rows", frames, {"Arrow": of_frames}),
        Case("a pandas frame of 2,000 rows, alone", frames[:1], {"Arrow": of_frames}),
        Case("20 polars frames of 2,000 rows", list(map(pl.from_arrow, tables))),
        Case("a polars frame of 2,000 rows, alone", [pl.from_arrow(tables[0])]),
    ]


# -------------------------------------------------------------------------------------------------- page


def judge(case: Case, measured: dict[str, Measured]) -> tuple[bool, str]:
    """Whether the codec is ahead of pickle in bytes or time and not 10% behind in both, and the figures."""
    rival = measured[KEEPS_ALL if case.is_rdkit else PICKLE]
    own = measured[CODEC]
    of_bytes, of_time = own.n_bytes / rival.n_bytes, own.both_ms / rival.both_ms
    is_ahead = min(of_bytes, of_time) < 1 and not (of_bytes > 1.1 and of_time > 1.1)
    return is_ahead, f"| {case.name} | {of_bytes:.2f} | {of_time:.2f} | {'yes' if is_ahead else '**no**'} |"


def show(case: Case, measured: dict[str, Measured]) -> str:
    """A case's table."""
    lines = [
        f"### {case.name}",
        "",
        "| way | bytes | behind zstd | pack ms | unpack ms |",
        "|---|---|---|---|---|",
    ]
    for name, each in measured.items():
        times = " | ".join(_spread(ms) for ms in (each.pack_ms, each.unpack_ms))
        lines.append(f"| {name} | {each.n_bytes:,} | {each.n_stored:,} | {times} |")
    return "\n".join(lines)


def _spread(ms: list[float]) -> str:
    low, middle, high = statistics.quantiles(ms, n=4)
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def main(arguments: list[str]) -> int:
    """Measure, print, and with --write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="write benchmarks/codec.md")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--only", default="", help="cases whose name holds this")
    asked = parser.parse_args(arguments)
    RDLogger.DisableLog("rdApp.*")  # type: ignore[attr-defined]
    cases = [case for case in make_cases() if asked.only in case.name]
    verdicts, tables = [], []
    for case in cases:
        measured = measure(case, asked.turns)
        verdicts.append(judge(case, measured))
        tables.append(show(case, measured))
        print(tables[-1], verdicts[-1][1], sep="\n", end="\n\n", flush=True)
    if asked.write:
        rdkit_version = f"RDKit {rdBase.rdkitVersion}"
        said = HEAD.format(
            turns=asked.turns,
            versions=f"Python {platform.python_version()}, NumPy {np.__version__}, {rdkit_version}",
            verdicts="\n".join(line for _, line in verdicts),
            tables="\n\n".join(tables),
        )
        (HERE / "codec.md").write_text(said)
    return 0 if all(is_ahead for is_ahead, _ in verdicts) else 1


HEAD = """# The codec beside pickle, cloudpickle, JSON, Arrow IPC and SMILES

`make bench-codec`: {versions}. Each case is the values of one column as a step's rows have
them, on natural products and reaction templates; every way packs and unpacks each in {turns} turns, in
another order each time. Times are CPU milliseconds, medians with quartiles.

RDKit's pickles drop properties and halve coordinates unless they are asked for all of it; the codec keeps
all, so it is judged against the pickles that do ("all of RDKit's"). Those that drop are shown too. JSON and
Arrow hold less than the values where that is said. Columns of RDKit's binaries are squeezed by zstd as they
are packed: "behind zstd" is what any of them takes in a run's objects, where everything is. Tables are
Arrow's own stream in pickles too, so their bytes are level; the codec checks every offset as it reads.

## Codec / pickle 5 that keeps as much

| case | bytes | time, pack and unpack | ahead in one, not 10% behind in both |
|---|---|---|---|
{verdicts}

## Cases

{tables}
"""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
