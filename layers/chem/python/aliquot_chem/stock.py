"""The index `stock`: from files of molecules to the folder that `retro` looks leaves up in.

    records -> key (canonical SMILES) or the reason why there is none -> `stockwriting`

Owns the key of a molecule, which a stock and whoever asks it have to share, and what is counted of the rest.
Imports RDKit inside functions: the command line loads this module to find the index. When it is wrong, leaves
are not found that the stock has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from aliquot.errors import BadOption, BadReference
from aliquot.job import Column, Reference

if TYPE_CHECKING:
    from aliquot_chem.stockfile import Header


class Molecule(NamedTuple):
    """A record: a molecule as SMILES."""

    smiles: Annotated[str | None, Column(("smiles", "SMILES", "canonical_smiles", "molecule"), kind="line")]


reads = Molecule
Batch = tuple[Sequence[str], Sequence[str]]
"""SMILES of some records, and of each of the others why it could not be read."""


class Keys(NamedTuple):
    """The keys of some molecules, and how many had none, by the reason."""

    keys: list[bytes]
    rejected: Counter[str]


Spread = Callable[[Callable[[Batch], Keys], Iterable[Batch]], Iterator[Keys]]


def describe_key() -> str:
    """What the keys are, for a stock's header: they hang on the release of RDKit."""
    from rdkit import rdBase

    return f"canonical SMILES of RDKit {rdBase.rdkitVersion}"


def check_keys(stock: Reference) -> Header:
    """What a stock says of itself; raises BadReference where it is none or its keys are not of this RDKit."""
    from aliquot_chem.stockfile import read_header

    header, own = read_header(stock), describe_key()
    if header.key != own:
        reason = f"its molecules are known by {header.key!r} and this has {own!r}: make it again"
        raise BadReference(str(stock.path), f"{reason} with `aliquot index stock FILES... --out STOCK`")
    return header


def write_key(smiles: str) -> str | None:
    """The molecule's key, its canonical isomeric SMILES without map numbers; None where it is refused."""
    from rdkit import Chem

    mol: Chem.Mol | None = Chem.MolFromSmiles(smiles)
    if mol is None or not mol.GetNumAtoms():
        return None
    if ":" in smiles:
        for atom in mol.GetAtoms():
            atom.SetAtomMapNum(0)
    return Chem.MolToSmiles(mol)


def list_keys(batch: Batch) -> Keys:
    """The keys of molecules as they come, and why the others have none."""
    from rdkit import rdBase

    texts, reasons = batch
    found = Keys([], Counter(reasons))
    with rdBase.BlockLogs():
        for text in texts:
            key = write_key(text)
            if key is None:
                found.rejected[_find_fault(text)] += 1
            else:
                found.keys.append(key.encode())
    return found


def _find_fault(text: str) -> str:
    """Why the molecule has no key."""
    from rdkit import Chem

    mol: Chem.Mol | None = Chem.MolFromSmiles(text, sanitize=False)
    if mol is None:
        return "is not SMILES"
    if not mol.GetNumAtoms():
        return "has no atoms"
    problems = Chem.DetectChemistryProblems(mol)
    return f"does not sanitise: {problems[0].GetType()}" if problems else "does not sanitise"


def build(
    batches: Iterable[Batch], out: Path, spread: Spread = map, shards: int | None = None
) -> dict[str, Any]:
    """Write the stock of the molecules in `batches` to `out`.

    Args:
        batches: the records; a batch is what a worker gets at a time.
        out: the folder that it becomes; a stock that lies there is replaced.
        spread: applies a function to each batch, as `map` does, in whichever processes; in order.
        shards: into how many shards it is divided; see `stockwriting.choose_shards` where None.

    Returns:
        Figures: `molecules` read, `keys` in the stock, `duplicates`, `rejected` and these by `reasons`,
        `shards`, and `keys_sha256`, which depends on the keys alone.

    Raises:
        BadOption: `shards` is no power of two, or something else lies at `out`.
        BadReference: not one molecule has a key.
    """
    from aliquot_chem.stockfile import MOST_SHARDS, are_shards
    from aliquot_chem.stockwriting import StockWriter

    if shards is not None and not are_shards(shards):
        raise BadOption("--shards", f"{shards} is no power of two from 1 to {MOST_SHARDS:,}")
    rejected: Counter[str] = Counter()
    n_taken = 0
    with StockWriter(out, describe_key()) as writer:
        for found in spread(list_keys, batches):
            writer.add(found.keys)
            n_taken += len(found.keys)
            rejected.update(found.rejected)
        if not n_taken:
            raise BadReference(str(out), f"no molecule can be used: {_list_reasons(rejected)}")
        header = writer.finish(shards)
    return {
        "molecules": n_taken + rejected.total(),
        "keys": header.n_keys,
        "duplicates": n_taken - header.n_keys,
        "rejected": rejected.total(),
        "reasons": dict(rejected.most_common()),
        "shards": header.n_shards,
        "keys_sha256": header.keys_sha256,
    }


def _list_reasons(rejected: Counter[str]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in rejected.most_common()) or "there is none"
