"""RDKit's values come back as they were, by every accessor; what RDKit would lose is refused."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import AllChem, rdChemReactions, rdFingerprintGenerator, rdqueries

from aliquot.codec import pack, unpack
from aliquot.errors import Undecodable, Unencodable

_ACCESSORS = ("Get", "Has", "Is", "Needs", "Describe")
_PROPERTIES = ("GetProp", "GetIntProp", "GetDoubleProp", "GetBoolProp", "GetUnsignedProp")


def read_back(value: Any) -> Any:
    """The value alone, and as one of a column."""
    alone, (first, none, second) = (unpack(pack(each), opens=True) for each in (value, [value, None, value]))
    assert none is None
    assert type(alone) is type(first) is type(second) is type(value)
    return random.Random(1).choice([alone, first, second])


def ask(get: Callable[..., Any], *words: Any) -> Any:
    """What an accessor gives, or raises."""
    try:
        return get(*words)
    except (RuntimeError, ValueError, KeyError, AttributeError, TypeError, SystemError) as err:
        return type(err).__name__


def spell(value: Any) -> Any:
    """A value as one that can be compared."""
    if value is None or isinstance(value, str | int | float | bool):
        return type(value).__name__, repr(value)
    if hasattr(value, "ToBitString"):
        return value.ToBitString()
    return [spell(each) for each in value] if hasattr(value, "__iter__") else str(value)


def list_properties(owner: Any) -> dict[str, Any]:
    said: dict[str, Any] = {
        f"names {private} {computed}": sorted(owner.GetPropNames(private, computed))
        for private in (False, True)
        for computed in (False, True)
    }
    for name in owner.GetPropNames(True, True):
        gets = [*_PROPERTIES, "GetExplicitBitVectProp"]
        said[name] = [spell(ask(getattr(owner, get), name)) for get in gets if hasattr(owner, get)]
    typed = owner.GetPropsAsDict(True, True, autoConvertStrings=False)
    return said | {f"typed {name}": spell(value) for name, value in typed.items()}


def list_accessors(owner: Any) -> dict[str, Any]:
    """What each accessor without arguments says, where that is a plain value or an enum's."""
    said = {name: ask(getattr(owner, name)) for name in dir(owner) if name.startswith(_ACCESSORS)}
    return {
        name: spell(value)
        for name, value in said.items()
        if isinstance(value, str | int | float | bool | None) or hasattr(value, "numerator")
    }


def list_monomer(atom: Any) -> Any:
    info = atom.GetMonomerInfo()
    return None if info is None else [type(info).__name__, list_accessors(info)]


def describe(mol: Chem.Mol) -> dict[str, Any]:
    """All that can be asked of a molecule."""
    rings = mol.GetRingInfo()
    return {
        "type": type(mol),
        "own": [list_properties(mol), list_accessors(mol)],
        "atoms": [[list_accessors(a), list_properties(a), list_monomer(a)] for a in mol.GetAtoms()],
        "bonds": [[list_accessors(b), list_properties(b), list(b.GetStereoAtoms())] for b in mol.GetBonds()],
        "conformers": [
            [c.GetId(), c.Is3D(), c.GetPositions().tobytes(), list_properties(c)] for c in mol.GetConformers()
        ],
        "groups": [
            [list_accessors(g), [a.GetIdx() for a in g.GetAtoms()], [b.GetIdx() for b in g.GetBonds()]]
            for g in mol.GetStereoGroups()
        ],
        "brackets": [
            [
                list_properties(s),
                *(list(part) for part in (s.GetAtoms(), s.GetBonds(), s.GetParentAtoms())),
                [[tuple(point) for point in bracket] for bracket in s.GetBrackets()],
                [(state.bondIdx, tuple(state.vector)) for state in s.GetCStates()],
                [(point.aIdx, point.lvIdx, point.id) for point in s.GetAttachPoints()],
            ]
            for s in Chem.GetMolSubstanceGroups(mol)
        ],
        "rings": [spell(ask(get)) for get in (rings.AtomRings, rings.BondRings, rings.AtomRingFamilies)],
        "text": [ask(Chem.MolToCXSmiles, mol), ask(Chem.MolToSmarts, mol)],
    }


def make_rich() -> Chem.Mol:
    """A molecule with something in every place that there is."""
    mol = Chem.AddHs(Chem.MolFromSmiles("C[C@H](F)/C=C/Cl"))
    AllChem.EmbedMultipleConfs(mol, 3, randomSeed=1)
    mol.RemoveConformer(1)
    AllChem.ComputeGasteigerCharges(mol)
    bits = DataStructs.ExplicitBitVect(8)
    bits.SetBit(3)
    mol.GetAtomWithIdx(0).SetExplicitBitVectProp("bits", bits)
    for owner in (mol, mol.GetConformer(0), mol.GetAtomWithIdx(1), mol.GetBondWithIdx(2)):
        owner.SetProp("digits", "12")
        owner.SetProp("_private", "é")
        owner.SetIntProp("n", -3)
        owner.SetUnsignedProp("u", 3)
        owner.SetDoubleProp("d", 0.1)
        owner.SetBoolProp("b", True)
    mol.SetProp("known", "again", computed=True)
    return mol


def make_forwarded() -> Chem.Mol:
    mol = Chem.MolFromSmiles("C[C@H](O)C[C@H](F)Cl |o3:1,&2:4|")
    Chem.ForwardStereoGroupIds(mol)
    return mol


def make_grown() -> Chem.Mol:
    mol = Chem.RWMol(Chem.MolFromSmiles("CCO"))
    mol.AddAtom(Chem.Atom(6))  # which alone awaits its valence
    return mol


def make_property_query() -> Chem.Mol:
    mol = Chem.RWMol(Chem.MolFromSmiles("CCO"))
    mol.ReplaceAtom(0, rdqueries.HasStringPropWithValueQueryAtom("p", "v"))
    return mol


def make_fast_rings() -> Chem.Mol:
    mol = Chem.MolFromSmiles("C1CC1CC2CC2", sanitize=False)
    Chem.FastFindRings(mol)
    return mol


MOLECULES: dict[str, Callable[[], Chem.Mol]] = {
    "rich": make_rich,
    "empty": Chem.Mol,
    "changeable": lambda: Chem.RWMol(Chem.MolFromSmiles("c1ccccc1")),
    "groups": lambda: Chem.MolFromSmiles("C[C@H](O)C[C@H](F)Cl |o3:1,&2:4|"),
    "forwarded": make_forwarded,
    "unsanitised": lambda: Chem.MolFromSmiles("c1ccccc1C[NH3+]", sanitize=False),
    "grown": make_grown,
    "query": lambda: Chem.MolFromSmarts("[C;R2;$(C=O),N&H1:7]~[!#6:3]-;@[*]"),
    "query of numbers": lambda: Chem.MolFromSmarts("[#6]1:[#6]=,:[#7;H0,H1;r5;x2;^2;v4;+0;D{2-3}]:1"),
    "property query": make_property_query,
    "sequence": lambda: Chem.MolFromSequence("ACDK"),
    "radical": lambda: Chem.MolFromSmiles("[CH2]C"),
    "dative": lambda: Chem.MolFromSmiles("[NH3]->[Pt](<-[NH3])(Cl)Cl"),
    "isotope": lambda: Chem.MolFromSmiles("[13CH3][C@@]12CCC[C@H]1CC2"),
    "brackets": lambda: Chem.MolFromSmiles("*C(C)C* |$star_e;;;;star_e$,Sg:n:1,2,3::ht|"),
    "fast rings": make_fast_rings,
}


@pytest.mark.parametrize("name", MOLECULES)
def test_a_molecule_is_the_same_by_every_accessor(name: str) -> None:
    mol = MOLECULES[name]()
    read = read_back(mol)  # first: RDKit notes what it is asked
    assert describe(read) == describe(mol)


def test_a_library_is_the_same(shared_data: Any) -> None:
    with gzip.open(shared_data / "molecules/natural-products-50k.smi.gz", "rt") as file:
        lines = file.readlines()
    for line in random.Random(5).sample(lines, 12):
        mol = Chem.MolFromSmiles(line.split()[0])
        mol.SetProp("_Name", line.split()[1])
        read = read_back(mol)
        assert describe(read) == describe(mol)


def list_templates(reaction: Any) -> Iterator[Chem.Mol]:
    for role in ("Reactant", "Product", "Agent"):
        for at in range(getattr(reaction, f"GetNum{role}Templates")()):
            yield getattr(reaction, f"Get{role}Template")(at)


@pytest.mark.parametrize("is_initialized", [False, True])
@pytest.mark.parametrize(
    "text",
    ["[C:1](=[O:2])O.[N;H2:3]>[Na]>[C:1](=[O:2])[N:3]", "[C@:1]([F:2])([Cl:3])O>>[C@@:1]([F:2])[Cl:3]"],
)
def test_a_reaction_is_the_same_by_every_accessor(text: str, *, is_initialized: bool) -> None:
    reaction = rdChemReactions.ReactionFromSmarts(text)
    reaction.SetProp("k", "v")
    reaction.SetIntProp("_private", 1)
    reaction.GetReactantTemplate(0).SetProp("q", "1")
    reaction.GetReactantTemplate(0).GetAtomWithIdx(0).SetIntProp("n", 4)
    if is_initialized:
        reaction.Initialize()
    read = read_back(reaction)
    assert list_properties(read) == list_properties(reaction)
    assert list_accessors(read) == list_accessors(reaction)
    assert list(map(describe, list_templates(read))) == list(map(describe, list_templates(reaction)))
    assert rdChemReactions.ReactionToSmarts(read) == rdChemReactions.ReactionToSmarts(reaction)


def test_fingerprints_are_the_same() -> None:
    mol = Chem.MolFromSmiles("CC(=O)Oc1ccccc1C(=O)O")
    morgan = rdFingerprintGenerator.GetMorganGenerator()
    sparse = DataStructs.SparseBitVect(100)
    sparse.SetBit(99)
    for made in (morgan.GetFingerprint(mol), sparse):
        read = read_back(made)
        assert (read.GetNumBits(), list(read.GetOnBits())) == (made.GetNumBits(), list(made.GetOnBits()))
    kinds = (DataStructs.IntSparseIntVect, DataStructs.LongSparseIntVect, DataStructs.ULongSparseIntVect)
    counts = [kind(1000) for kind in kinds]
    for vector in counts:
        vector[999] = -3
    for count in (*counts, morgan.GetCountFingerprint(mol), morgan.GetSparseCountFingerprint(mol)):
        read = read_back(count)
        assert (read.GetLength(), read.GetNonzeroElements()) == (
            count.GetLength(),
            count.GetNonzeroElements(),
        )


def with_attribute() -> Chem.Mol:
    mol = Chem.MolFromSmiles("CC")
    mol.conformer = object()
    return mol


def with_unreadable_query() -> Chem.Mol:
    mol = Chem.RWMol(Chem.MolFromSmiles("CCO"))
    mol.ReplaceAtom(0, rdqueries.AtomNumGreaterQueryAtom(6))
    return mol


def with_setting() -> Any:
    reaction = rdChemReactions.ReactionFromSmarts("[C:1]>>[C:1]O")
    reaction.GetSubstructParams().useChirality = not reaction.GetSubstructParams().useChirality
    return reaction


@pytest.mark.parametrize(
    ("make", "path"),
    [
        (with_attribute, 'row["mol"].conformer'),
        (with_unreadable_query, 'row["mol"]'),
        (with_setting, 'row["mol"].GetSubstructParams().useChirality'),
    ],
)
def test_what_rdkit_would_lose_is_refused_with_its_path(make: Callable[[], Any], path: str) -> None:
    with pytest.raises(Unencodable) as caught:
        pack({"mol": make()}, "row")
    assert caught.value.path == path


def test_damage_does_not_reach_rdkit() -> None:
    """Which takes its own binaries at their word."""
    body = bytearray(pack(make_rich()))
    for place in random.Random(2).sample(range(40, len(body)), 60):
        damaged = bytearray(body)
        damaged[place] ^= 0x55
        with pytest.raises(Undecodable, match="checksum"):
            unpack(bytes(damaged), opens=True)
