"""Pictures for reports: the centre that is lit is where the template changes something, faults are found."""

from __future__ import annotations

from hashlib import sha256
from types import SimpleNamespace

import pytest
from rdkit import Chem
from rdkit.Chem import rdChemReactions

from aliquot.errors import BadReference
from aliquot.job import Glimpse, Reference
from aliquot_chem.fingerprint_index import Entry
from aliquot_chem.index_writing import write_index
from aliquot_chem.pictures import draw_crossref, draw_retro, draw_screen, find_centre
from aliquot_chem.screen import Molecule

AMIDE = "[C:1](=[O:2])-[N:3]>>[C:1](=[O:2])-[OH].[N:3]"


def glimpse(**seen):
    options = SimpleNamespace(direction="retro", queries=None, index=None)
    nothing = {"options": options, "rows": [], "records": {}, "tables": {}}
    return Glimpse(**{**nothing, "failures": [], **seen})


def test_the_centre_is_what_changes_in_the_molecules_that_there_are():
    """Two amides in the product: only the one that this reaction made is lit."""
    product = Chem.MolFromSmiles("CC(=O)NCCNC(=O)c1ccccc1")
    reactants = [Chem.MolFromSmiles(smiles) for smiles in ("OC(=O)c1ccccc1", "CC(=O)NCCN")]
    template = rdChemReactions.ReactionFromSmarts(AMIDE)
    left, (shown, lit) = find_centre(template, product, reactants)
    amide = Chem.MolFromSmarts("c1ccccc1C(=O)N")
    place = shown.GetSubstructMatch(amide)
    assert set(lit) == {place[6], place[8]}
    assert {Chem.MolToSmiles(mol) for mol, _ in left} == {Chem.MolToSmiles(mol) for mol in reactants}
    assert [len(lit) for mol, lit in left if mol.HasSubstructMatch(Chem.MolFromSmarts("C(=O)[OH]"))] == [2]


def test_each_job_draws_what_its_chemists_look_at():
    seen = glimpse(
        rows=[{"record": 0, "reaction_id": "a", "template_id": "amide"}],
        records={0: SimpleNamespace(reaction="CC(=O)O.NC>>CC(=O)NC")},
        tables={"templates": [{"template_id": "amide", "smarts": AMIDE, "reactions": 1}]},
        failures=[
            {"id": "x", "kind": "parse", "message": "no", "input": '{"reaction": "C>>C(C)(C)(C)(C)C"}'}
        ],
    )
    headings = [picture.heading for picture in draw_crossref(seen)]
    assert headings == ["Top templates", "Explained reactions", "Failed molecules"]
    hit = {"query_id": "q", "rank": 1, "score": 0.5, "id": "m", "record": 3}
    (picture,) = draw_screen(glimpse(rows=[hit], records={3: Molecule("m", "c1ccccc1")}))
    assert (picture.heading, picture.caption) == ("Hits of q", "rank 1, similarity 0.500")
    route = {"record": 0, "rank": 1, "score": 1.5, "steps": 2, "target_id": "t", "target": "CC(=O)NC"}
    route |= {"leaves": "CC(=O)OC.CN", "reactions": "CC(=O)O.CN>>CC(=O)NC CC(=O)OC>>CC(=O)O"}
    (picture,) = draw_retro(glimpse(rows=[route]))
    assert picture.svg.count("in stock") == 2
    assert picture.svg.count("<rect") == 2


def test_hits_of_an_index_are_drawn_under_their_query(tmp_path):
    """Of the molecule that stands there under the same id alone: another index may lie there by now."""
    index, queries = tmp_path / "lib.index", tmp_path / "queries.smi"
    entries = [Entry(7, "a", "c1ccccc1O", b"\1\0"), Entry(2, "b", "CCO", b"\1\0\2\0")]
    entries.append(Entry(5, "z", "CCN", b"\1\0\3\0"))
    write_index(index, entries, [], "key", {"bits": 64})
    queries.write_text("Oc1ccccc1 phenol\n")
    asked = Reference(queries, sha256(queries.read_bytes()).hexdigest())
    options = SimpleNamespace(queries=asked, index=Reference(index, ""))
    found = [("a", 7), ("b", 2), ("not z", 5), ("gone", 9)]
    rows = [{"query_id": "phenol", "rank": 1, "score": 0.5, "id": name, "record": at} for name, at in found]
    seen = glimpse(options=options, rows=rows)
    assert [picture.title for picture in draw_screen(seen)] == ["phenol", "a", "b"]
    assert all("<path" in picture.svg for picture in draw_screen(seen))
    index.unlink()
    (query,) = draw_screen(seen)
    assert query.caption.startswith("the query; its hits are not drawn")
    queries.write_text("CC phenol\n")
    with pytest.raises(BadReference):
        list(draw_screen(seen))


def test_what_cannot_be_drawn_is_left_out():
    rows = [{"record": 0, "reaction_id": "a", "template_id": "gone"}]
    seen = glimpse(rows=rows, records={0: SimpleNamespace(reaction="no reaction")})
    assert list(draw_crossref(seen)) == []
    failures = [
        {"kind": "parse", "input": text} for text in ("", "C1CC", "%%%", '{"reaction": 3}', "C" * 500)
    ]
    assert list(draw_screen(glimpse(failures=failures))) == []
