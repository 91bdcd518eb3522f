"""Filters pass the molecules that plain RDKit calls pass."""

from __future__ import annotations

from pathlib import Path

import pytest
from rdkit import Chem
from rdkit.Chem import QED, Crippen, Descriptors, FilterCatalog, Lipinski, rdMolDescriptors

from aliquot.errors import BadOption, BadReference, ParseFailure
from aliquot_chem.filters import Filters, read_patterns
from aliquot_chem.molecule_text import read_molecule
from aliquot_chem.properties import parse_properties


@pytest.fixture(scope="module")
def mols(project_root: Path) -> list[Chem.Mol]:
    """Of the examples, with some that catalogs know."""
    text = (project_root / "examples/crossref/molecules.smi").read_text()
    text += (project_root / "examples/conformers/library.smi").read_text()
    smiles = [line.split()[0] for line in text.splitlines()[:250]]
    smiles += ["O=C1NC(=S)SC1=Cc1ccccc1", "CCCCCCCCCCCCCCCCCC", "O=C1C=CC(=O)C=C1", "Oc1ccccc1O"]
    return [mol for mol in map(Chem.MolFromSmiles, smiles) if mol is not None]


def keep(mols: list[Chem.Mol], smarts: Path | None = None, catalog: str = "", window: str = "") -> list[bool]:
    filters = Filters(smarts, catalog, window)
    return [not filters.find_fault(mol) for mol in mols]


@pytest.mark.parametrize("names", [["PAINS"], ["BRENK"], ["PAINS", "BRENK"]])
def test_catalogs_are_rdkits(mols: list[Chem.Mol], names: list[str]) -> None:
    params = FilterCatalog.FilterCatalogParams()
    for name in names:
        params.AddCatalog(getattr(FilterCatalog.FilterCatalogParams.FilterCatalogs, name))
    catalog = FilterCatalog.FilterCatalog(params)
    plain = [not catalog.HasMatch(mol) for mol in mols]
    assert keep(mols, catalog=", ".join(names).lower()) == plain
    assert 0 < sum(plain) < len(mols)


def test_windows_are_rdkits(mols: list[Chem.Mol]) -> None:
    def is_kept(mol: Chem.Mol) -> bool:
        return (
            Descriptors.MolWt(mol) <= 500
            and Crippen.MolLogP(mol) <= 5
            and Lipinski.NumHDonors(mol) <= 5
            and Lipinski.NumHAcceptors(mol) <= 10
            and rdMolDescriptors.CalcNumRotatableBonds(mol) <= 10
            and rdMolDescriptors.CalcTPSA(mol) <= 140
            and QED.qed(mol) >= 0.5
        )

    plain = [is_kept(mol) for mol in mols]
    assert keep(mols, window="lipinski,veber,qed>=0.5") == plain
    assert 0 < sum(plain) < len(mols)


@pytest.mark.parametrize(
    ("term", "wanted"),
    [
        ("rings>1", [False, False, True]),
        ("rings<1", [True, False, False]),
        ("RINGS <= 1", [True, True, False]),
    ],
)
def test_bounds_hold_or_not_at_their_value(term: str, wanted: list[bool]) -> None:
    assert keep([Chem.MolFromSmiles(s) for s in ("C", "C1CC1", "C1CC1C1CC1")], window=term) == wanted


@pytest.mark.parametrize(
    "term", ["", "qed", "qed=0.5", "weight<5", "lipinski<5", "qed>=half", "lipinski,,veber"]
)
def test_what_is_no_window_is_refused(term: str) -> None:
    with pytest.raises(BadOption, match="it takes lipinski, veber, or mass, "):
        parse_properties(term)


def test_a_bound_that_a_shell_took_is_told() -> None:
    with pytest.raises(BadOption, match=r"'qed' is no property window.*; quote it, or a shell takes > and <"):
        parse_properties("lipinski,qed")


def test_what_is_no_catalog_is_refused() -> None:
    with pytest.raises(BadOption, match="'paint' is not one of all, brenk, "):
        Filters(None, "pains,paint", None)


def test_patterns_are_wanted_or_unwanted(mols: list[Chem.Mol], tmp_path: Path) -> None:
    path = tmp_path / "filters.smarts"
    path.write_text("# a comment\n[#6]\n\n!C(=O)[OH]  acids\n!\tc1ccccc1\tbenzene\n")
    assert [(p.name, p.is_wanted) for p in read_patterns(path)] == [
        ("[#6]", True),
        ("acids", False),
        ("benzene", False),
    ]
    acid, benzene = Chem.MolFromSmarts("C(=O)[OH]"), Chem.MolFromSmarts("c1ccccc1")
    plain = [not mol.HasSubstructMatch(acid) and not mol.HasSubstructMatch(benzene) for mol in mols]
    assert keep(mols, path) == plain
    assert 0 < sum(plain) < len(mols)
    assert Filters(path, None, None).find_fault(Chem.MolFromSmiles("CC(=O)O")) == "acids"


@pytest.mark.parametrize(
    ("text", "said"),
    [("C\n\n[C\n", r"line 3: '\[C' is no SMARTS"), ("!\n", "line 1"), ("# none\n", "holds no SMARTS")],
)
def test_bad_smarts_are_refused_by_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "f").write_text(text)
    with pytest.raises(BadReference, match=said):
        read_patterns(tmp_path / "f")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense", "not SMILES"),
        ("C(C)(C)(C)(C)C", "Explicit valence"),
        ("c1cccc1", "kekulize"),
        ("title\n\n\nnothing\n", "not a mol block"),
    ],
)
def test_a_rejected_molecule_has_a_reason(text: str, said: str) -> None:
    with pytest.raises(ParseFailure, match=said):
        read_molecule(text)
