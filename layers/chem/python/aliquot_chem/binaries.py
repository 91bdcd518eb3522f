"""RDKit's values in rows: molecules, reactions and fingerprints as RDKit's own binaries, nothing left out.

    checksum (u32), bytes of `more` (u32), more (JSON), RDKit's binary        little-endian

RDKit's pickles drop properties and halve coordinates; asked for all of it, its binary still loses the ids of
stereo groups and which atoms await their valences. These stand in `more`. What RDKit writes and cannot read
(some queries), and what only Python holds, is refused as it is written. The binary is read by RDKit, which
does not expect it to be forged: the checksum keeps damage from it, and who forges both meets a host, which
its deadline and its memory limit end.

Owns the forms behind the names `rdkit.*`. Imports RDKit, `registry` and `errors`. When it is wrong, a
molecule loses what a stage had put on it.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, cast

from rdkit import Chem, DataStructs
from rdkit.Chem import rdChemReactions

from aliquot.errors import Unencodable
from aliquot.registry import register

_OPTIONS = Chem.PropertyPickleOptions
_FLAGS = int(_OPTIONS.AllProps) | int(_OPTIONS.CoordsAsDouble)
_REACTION = rdChemReactions.ChemicalReaction
_Make = Callable[[bytes], Any]  # as its stubs do not say, RDKit makes values of bytes
_make_reaction = cast(_Make, _REACTION)
_HEAD = struct.Struct("<II")
_VECTORS = (
    DataStructs.ExplicitBitVect,
    DataStructs.SparseBitVect,
    DataStructs.IntSparseIntVect,
    DataStructs.LongSparseIntVect,
    DataStructs.UIntSparseIntVect,
    DataStructs.ULongSparseIntVect,
)


def write_molecule(mol: Chem.Mol) -> bytes:
    """A molecule's bytes; raises Unencodable with the path to what would be lost."""
    _refuse_attributes(mol)
    binary = mol.ToBinary(_FLAGS)
    if mol.HasQuery():
        _compare_queries(mol, _read_back(cast(_Make, Chem.Mol), binary))
    return _seal(binary, _list_more(mol))


def read_molecule(kind: _Make, body: bytes) -> Chem.Mol:
    """The molecule of its bytes; raises ValueError, or what RDKit raises."""
    binary, more = _open(body)
    mol = kind(binary)
    if more:
        read_ids = [read_id for read_id, _ in more.get("groups", ())]
        if _list_read_ids(mol) != read_ids:
            mol = _number_groups(mol, read_ids)
        _complete(mol, more)
    return cast(Chem.Mol, mol)


def write_reaction(reaction: Any) -> bytes:
    """A reaction's bytes; raises Unencodable with the path to what would be lost."""
    _refuse_attributes(reaction)
    binary = reaction.ToBinary(_FLAGS)
    read = _read_back(_make_reaction, binary)
    more = []
    for (path, mol), (_, copy) in zip(_list_templates(reaction), _list_templates(read), strict=True):
        _compare_queries(mol, copy, path)
        if _list_read_ids(mol) != _list_read_ids(copy):
            raise Unencodable(f"{path}.GetStereoGroups()", "ids that RDKit does not store")
        more.append(_list_more(mol))
    params = reaction.GetSubstructParams()
    for name, plain in _PARAMETERS.items():
        if _as_plain(getattr(params, name)) != plain:
            raise Unencodable(f".GetSubstructParams().{name}", "setting that RDKit does not store")
    return _seal(binary, {"templates": more} if any(more) else {})


def read_reaction(body: bytes) -> Any:
    """The reaction of its bytes; raises ValueError, or what RDKit raises."""
    binary, more = _open(body)
    reaction = _make_reaction(binary)
    if more:
        for (_, mol), each in zip(_list_templates(reaction), more["templates"], strict=True):
            _complete(mol, each)
    return reaction


def _seal(binary: bytes, more: dict[str, Any]) -> bytes:
    said = json.dumps(more, separators=(",", ":")).encode() if more else b""
    tail = said + binary
    return _HEAD.pack(zlib.crc32(tail), len(said)) + tail


def _open(body: bytes) -> tuple[bytes, dict[str, Any]]:
    checksum, n_said = _HEAD.unpack_from(body)
    if zlib.crc32(body[_HEAD.size :]) != checksum:
        raise ValueError("its checksum does not fit: it is damaged")
    at = _HEAD.size + n_said
    return body[at:], json.loads(body[_HEAD.size : at]) if n_said else {}


def _list_more(mol: Chem.Mol) -> dict[str, Any]:
    """What RDKit's binary does not hold of a molecule, as plain values."""
    more: dict[str, Any] = {}
    if mol.NeedsUpdatePropertyCache():
        n_atoms, find = mol.GetNumAtoms(), mol.GetAtomWithIdx
        stale = [index for index in range(n_atoms) if find(index).NeedsUpdatePropertyCache()]
        more["stale"] = stale if len(stale) < n_atoms else True
    groups = mol.GetStereoGroups()
    if len(groups):
        more["groups"] = [[group.GetReadId(), group.GetWriteId()] for group in groups]
    brackets = Chem.GetMolSubstanceGroups(mol)
    if len(brackets):
        more["private"] = [_list_private(group) for group in brackets]
    return more


def _list_private(group: Any) -> dict[str, int | str]:
    """A substance group's private properties: whole numbers and texts; others are refused."""
    public = set(group.GetPropNames(False, False))
    held = {
        name: value
        for name, value in group.GetPropsAsDict(True, True, autoConvertStrings=False).items()
        if name not in public and name != "__computedProps"
    }
    for name, value in held.items():
        if type(value) not in (int, str):
            raise Unencodable(f".GetMolSubstanceGroups().{name}", "property that RDKit does not store")
    return held


def _complete(mol: Chem.Mol, more: dict[str, Any]) -> None:
    """Put on a molecule, in its place, what its binary did not hold."""
    for group, (_, write_id) in zip(mol.GetStereoGroups(), more.get("groups", ()), strict=True):
        group.SetWriteId(write_id)
    if "private" in more:
        brackets = list(Chem.GetMolSubstanceGroups(mol))  # copies
        Chem.ClearMolSubstanceGroups(mol)
        for group, held in zip(brackets, more["private"], strict=True):
            for name, value in held.items():
                (group.SetIntProp if type(value) is int else group.SetProp)(name, value)
            Chem.AddMolSubstanceGroup(mol, group)
    stale = more.get("stale", ())
    if stale is True:
        mol.ClearPropertyCache()
        return
    for index in stale:
        mol.GetAtomWithIdx(index).ClearPropertyCache()


def _list_read_ids(mol: Chem.Mol) -> list[int]:
    groups = mol.GetStereoGroups()
    return [group.GetReadId() for group in groups] if len(groups) else []


def _number_groups(mol: Chem.Mol, read_ids: list[int]) -> Chem.Mol:
    """The molecule with its stereo groups made anew, under these ids."""
    made = Chem.RWMol(mol)
    groups = [
        Chem.CreateStereoGroup(
            group.GetGroupType(),
            made,
            [atom.GetIdx() for atom in group.GetAtoms()],
            [bond.GetIdx() for bond in group.GetBonds()],
            read_id,
        )
        for group, read_id in zip(mol.GetStereoGroups(), read_ids, strict=True)
    ]
    made.SetStereoGroups(groups)
    return made if type(mol) is Chem.RWMol else made.GetMol()


def _refuse_attributes(value: Any) -> None:
    """Raise Unencodable where Python code has put attributes on an object of RDKit's."""
    for name, held in value.__dict__.items():
        raise Unencodable(f".{name}", f"{type(held).__name__}, an attribute: give it as a property")


def _read_back(kind: _Make, binary: bytes) -> Any:
    """What RDKit reads of a binary with queries, of which it writes some that it does not read."""
    try:
        return kind(binary)
    except (RuntimeError, ValueError) as err:
        raise Unencodable("", f"query that RDKit cannot read back: {err}") from err


def _compare_queries(mol: Chem.Mol, read: Chem.Mol, path: str = "") -> None:
    """By number: RDKit's sequences of atoms are Python's, and take twice the time."""
    for get, count in (("GetAtomWithIdx", mol.GetNumAtoms()), ("GetBondWithIdx", mol.GetNumBonds())):
        own, other = getattr(mol, get), getattr(read, get)
        for index in range(count):
            if own(index).DescribeQuery() != other(index).DescribeQuery():
                raise Unencodable(f"{path}.{get}({index})", "query that RDKit does not store")


def _list_templates(reaction: Any) -> Iterator[tuple[str, Chem.Mol]]:
    """Each template of a reaction, with its path."""
    for role in ("Reactant", "Product", "Agent"):
        get = f"Get{role}Template"
        for at in range(getattr(reaction, f"GetNum{role}Templates")()):
            yield f".{get}({at})", getattr(reaction, get)(at)


def _as_plain(value: Any) -> Any:
    return list(value) if hasattr(value, "__iter__") else value


def _list_parameters() -> dict[str, Any]:
    """How a reaction matches, as it is unless somebody changes it."""
    params = _REACTION().GetSubstructParams()
    names = [name for name in dir(params) if name[0] != "_" and not name.startswith("set")]
    return {name: _as_plain(getattr(params, name)) for name in names}


_PARAMETERS = _list_parameters()


def _write_vector(vector: Any) -> bytes:
    _refuse_attributes(vector)
    return _seal(vector.ToBinary(), {})


def _read_vector(kind: _Make, body: bytes) -> Any:
    return kind(_open(body)[0])


_register = partial(register, to_bytes=write_molecule)
_register(Chem.Mol, "rdkit.Mol", from_bytes=partial(read_molecule, cast(_Make, Chem.Mol)))
_register(Chem.RWMol, "rdkit.RWMol", from_bytes=partial(read_molecule, cast(_Make, Chem.RWMol)))
register(_REACTION, "rdkit.ChemicalReaction", to_bytes=write_reaction, from_bytes=read_reaction)
for _vector in _VECTORS:
    _read = partial(_read_vector, cast(_Make, _vector))
    register(_vector, f"rdkit.{_vector.__name__}", to_bytes=_write_vector, from_bytes=_read)
