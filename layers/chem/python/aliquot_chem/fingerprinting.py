"""The index `fingerprints`: the job that computes them, and from its rows to the file that `screen` maps.

    library --run of `job`--> id, SMILES and bits of each molecule --write--> the index

Owns what is taken of a library's record, and what an index says of its making. Imports RDKit and NumPy inside
functions: the command line loads this module. When it is wrong, an index holds other molecules than its key
says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from aliquot.errors import BadOption
from aliquot.job import Column, Job, Stage

ADDRESS = f"{__name__}:job"
ID_NAMES = ("id", "compound_id", "molecule_id", "chembl_id", "zinc_id", "name", "ID", "title")
MOLECULE_NAMES = (
    *("smiles", "canonical_smiles", "isomeric_smiles", "cxsmiles", "smi", "structure", "molecule"),
    *("mol", "molblock"),
)
_MOST_RADIUS, _LEAST_BITS, _MOST_BITS = 10, 64, 16_384


class Molecule(NamedTuple):
    """A record: a molecule as SMILES or as a mol block."""

    id: Annotated[str | None, Column(ID_NAMES, kind="id")]
    molecule: Annotated[str | None, Column(MOLECULE_NAMES, kind="line")]


class Print(NamedTuple):
    """A row: a molecule's SMILES, and the bits of its fingerprint that are set, as little-endian uint16."""

    id: str
    smiles: str
    bits: bytes


@dataclass(frozen=True)
class Options:
    """How fingerprints are made."""

    radius: Annotated[int, "of the Morgan fingerprints"] = 2
    bits: Annotated[int, "to which fingerprints are folded"] = 2048


def check_options(options: Options, into: Path) -> None:  # noqa: ARG001 - as every `prepare` is called
    """Raise BadOption where no such fingerprints are made."""
    check_settings(options.radius, options.bits)


def check_settings(radius: int, bits: int) -> None:
    """Raise BadOption where no such fingerprints are made."""
    if not 0 <= radius <= _MOST_RADIUS:
        raise BadOption("--radius", f"{radius} is not within 0 to {_MOST_RADIUS}")
    if not _LEAST_BITS <= bits <= _MOST_BITS:
        raise BadOption("--bits", f"{bits} is not within {_LEAST_BITS} to {_MOST_BITS:,}")


def open_printer(options: Options, prepared: Path) -> Callable[[Iterable[Molecule]], Iterator[list[Print]]]:  # noqa: ARG001
    """A function from molecules to one row each; raises ParseFailure for one that cannot be read."""
    from rdkit import Chem

    from aliquot_chem.fingerprints import Settings, open_fingerprints
    from aliquot_chem.molecule_text import is_mol_block, read_molecule

    list_bits = open_fingerprints(Settings(options.radius, options.bits))

    def describe(record: Molecule) -> list[Print]:
        text = record.molecule or ""
        mol = read_molecule(text)
        smiles = Chem.MolToSmiles(mol) if is_mol_block(text) else text
        smiles = smiles if Chem.MolFromSmiles(smiles) else text  # RDKit may write what it refuses
        return [Print(record.id or "", smiles, list_bits(mol).tobytes())]

    return lambda records: map(describe, records)


job = Job(
    "fingerprints",
    version=1,
    options=Options,
    reads=Molecule,
    writes=Print,
    prepare=check_options,
    stages=(Stage("fingerprint", open_printer),),
    needs=("rdkit",),
)


def derive_key(library: Sequence[str], options: Mapping[str, Any]) -> str:
    """What the index of a library is known by: the SHA-256 of its files, in order, and the options."""
    from aliquot_chem import fingerprint_index

    return fingerprint_index.derive_key(library, _describe_settings(options))


def read_key(path: Path) -> str:
    """The key of the index at `path`; raises BadReference where there is none."""
    from aliquot_chem.fingerprint_index import read_header

    return str(read_header(path)["key"])


def write(
    path: Path,
    rows: Iterable[Mapping[str, Any]],
    failures: Iterable[Mapping[str, Any]],
    key: str,
    options: Mapping[str, Any],
) -> None:
    """Write the index of what a run of `job` gave: its rows, and its failures as the rejected records."""
    from aliquot_chem.fingerprint_index import Entry, Rejected
    from aliquot_chem.index_writing import write_index

    entries = (Entry(row["record"], row["id"], row["smiles"], row["bits"]) for row in rows)
    rejected = [Rejected(f["record"], f["id"] or "", f["kind"], f["message"]) for f in failures]
    write_index(path, entries, rejected, key, _describe_settings(options))


def describe(path: Path) -> dict[str, Any]:
    """What the index holds: figures, and how many records were rejected by reason, most of all first."""
    from collections import Counter

    from aliquot_chem.fingerprint_index import FingerprintIndex

    index = FingerprintIndex(path)
    reasons = Counter(f"{each.kind}: {each.reason}" for each in index.read_rejected())
    return {**index.header, "reasons": dict(reasons.most_common())}


def _describe_settings(options: Mapping[str, Any]) -> dict[str, Any]:
    from aliquot_chem.fingerprints import Settings

    return Settings(options["radius"], options["bits"]).to_plain()
