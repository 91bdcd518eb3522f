"""Values that C++ reads, of sound bytes and forged ones: RDKit's, Arrow's, pandas' and polars'.

Damage to RDKit's binaries meets their checksum, as in a run; what Aliquot itself says of a molecule beside
its binary is given here with a checksum that fits. Without RDKit there is nothing of it.

Owns these seeds and the target `molecule`. Imports the packages as they are there.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

from aliquot.codec import pack, unpack
from aliquot.errors import Undecodable
from benchmarks.fuzz.forge import dump_json, join, split
from benchmarks.fuzz.targets import JSON, Target, as_it_is

HAS_RDKIT = find_spec("rdkit") is not None


def list_tables() -> list[Any]:
    """Tables and frames, alone and in columns."""
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    table = pa.table({"n": [1, None], "s": ["a", "bc"], "b": [True, None]})
    nested = pa.table({"l": [[1], [2, 3]], "d": pa.array(["x", "y"]).dictionary_encode()})
    plain = pd.DataFrame({"n": [1, 2], "s": ["a", None]})
    return [
        *(table, nested, table.to_batches()[0], plain, plain["s"], plain.set_index("s")),
        *([table, None, table.slice(1)], [nested, nested], [plain, None, plain.iloc[1:]]),
        *(pl.DataFrame({"n": [1, None], "s": ["a", "b"]}), [pl.Series("x", [1.5])]),
    ]


def list_chemistry() -> list[Any]:
    """Values of RDKit's, alone and in columns; none where it is not installed."""
    if not HAS_RDKIT:
        return []
    from rdkit import DataStructs
    from rdkit.Chem import rdChemReactions

    mols, bits = _list_molecules(), DataStructs.ExplicitBitVect(64)
    reaction = rdChemReactions.ReactionFromSmarts("[C:1]O.[N:2]>>[C:1][N:2]")
    return [*mols, [mols[0], None, mols[0]], [reaction], {"f": bits}, [bits, bits]]


def _list_molecules() -> list[Any]:
    from rdkit import Chem

    mol = Chem.MolFromSmiles("C[C@H](O)C[C@H](F)Cl |o1:1,&2:4|")
    mol.SetProp("_Name", "name")
    bracket = Chem.CreateMolSubstanceGroup(mol, "SRU")
    bracket.SetIntProp("_n", 3)
    Chem.AddMolSubstanceGroup(mol, bracket)
    unready = Chem.MolFromSmiles("CCO", sanitize=False)
    return [mol, unready, Chem.MolFromSmarts("[C;R2;$(C=O)]~[N:3]")]


def _seed_molecule() -> Iterator[bytes]:
    group = {"groups": [[1, 2], [3, 4]], "private": [{"_n": 3}], "stale": [0, 2]}
    for more in ({}, group, {"stale": True}, {"templates": [group, {}]}):
        for place in range(3):
            yield join(bytes((place,)), dump_json(more))


def _ask_molecule(body: bytes) -> None:
    """A sound binary beside which anything is said."""
    place, said = split(body, 2)
    mols = _list_molecules()
    stored = unpack(pack(mols[int.from_bytes(place[:1]) % len(mols)]))
    at = 2 + stored.payload[1]
    n_said = struct.unpack_from("<I", stored.payload, at + 4)[0]
    tail = said + stored.payload[at + 8 + n_said :]
    stored.payload = stored.payload[:at] + struct.pack("<II", zlib.crc32(tail), len(said)) + tail
    with suppress(Undecodable):
        pack(stored.open())


BINARIES = (
    (Target("molecule", as_it_is(_ask_molecule), _seed_molecule, (Undecodable,), JSON, n_items=2),)
    if HAS_RDKIT
    else ()
)
