"""What the codec is measured on, and what it is measured beside.

Owns the cases and the rivals. Imports RDKit, Arrow, pandas and polars. When it is wrong, the codec is
compared with what holds less than it, or on what no job has.
"""

from __future__ import annotations

import datetime as dt
import decimal
import gzip
import io
import json
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from rdkit import Chem
from rdkit.Chem import AllChem, rdChemReactions, rdFingerprintGenerator

from aliquot.codec import pack, unpack, unpack_late
from aliquot.registry import register
from aliquot.rows import make_block

DATA = Path(os.environ.get("ALIQUOT_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
SEED = 11


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
class Hit:
    """A dataclass as jobs have them."""

    name: str
    score: float
    rank: int
    smiles: str


def read_column(body: bytes) -> list[Any]:
    """A column as a host reads it, all of it."""
    return list(unpack_late(body, "column"))


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


def make_frames(
    lines: Sequence[tuple[str, str]], n_rows: int, draw: np.random.Generator
) -> list[pd.DataFrame]:
    """Frames of so many rows."""
    return [
        pd.DataFrame({"smiles": [smiles for smiles, _ in part], "n": range(n_rows), "x": draw.random(n_rows)})
        for part in (lines[at : at + n_rows] for at in range(0, len(lines), n_rows))
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
    frames, small = (make_frames(read_lines(40_000), n_rows, draw) for n_rows in (2000, 20))
    tables, small_tables = (
        [pa.Table.from_pandas(frame, preserve_index=False) for frame in each] for each in (frames, small)
    )
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
        Case("2,000 Arrow tables of 20 rows", small_tables, {"Arrow": of_tables}),
        Case("20 Arrow tables of 2,000 rows", tables, {"Arrow": of_tables}),
        Case("an Arrow table of 2,000 rows, alone", tables[:1], {"Arrow": of_tables}),
        Case("2,000 pandas frames of 20 rows", small, {"Arrow": of_frames}),
        Case("20 pandas frames of 2,000 rows", frames, {"Arrow": of_frames}),
        Case("a pandas frame of 2,000 rows, alone", frames[:1], {"Arrow": of_frames}),
        Case("2,000 polars frames of 20 rows", list(map(pl.from_arrow, small_tables))),
        Case("20 polars frames of 2,000 rows", list(map(pl.from_arrow, tables))),
        Case("a polars frame of 2,000 rows, alone", [pl.from_arrow(tables[0])]),
    ]
