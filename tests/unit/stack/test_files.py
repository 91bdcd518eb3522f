"""The stack's files, from a checkout and put together from an installation."""

import tomllib
from pathlib import Path

import pytest

from orchestrator.stack import files
from orchestrator.stack.errors import MissingTool
from orchestrator.stack.files import PACKAGES, assemble, stack_files
from orchestrator.stack.parameters import read_template

ROOT = Path(__file__).parents[3]
PREFIX = "orchestrator/stack/files/"
CARRIED = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"][
    "force-include"
]


def list_places(value):
    """Every path that the template names."""
    for resource in value["Resources"].values():
        for name in ("CodeUri", "ContentUri", "DefinitionUri"):
            if name in resource["Properties"]:
                yield resource["Properties"][name]


def test_checkout_is_used_as_it_is():
    with stack_files() as folder:
        assert folder == ROOT


def test_wheel_carries_all_that_the_template_names():
    """What is missing would be noticed by the first who deploys from a wheel."""
    ours = {place.removesuffix("/python") for place in PACKAGES}
    for place in list_places(read_template(ROOT)):
        if place == "layers":  # a Makefile, what it calls, and a folder for each layer
            wanted = {str(each.relative_to(ROOT)) for each in (ROOT / "layers").iterdir()}
            wanted -= {*ours, "layers/exec", "layers/sql", "layers/__pycache__"}
            assert wanted <= CARRIED.keys()
        else:
            assert place in ours or any(place == each or place.startswith(f"{each}/") for each in CARRIED)


def test_each_file_is_carried_to_its_own_place():
    assert {name: PREFIX + name for name in CARRIED} == CARRIED


def test_put_together_it_has_the_layout_of_the_template(tmp_path):
    carried = tmp_path / "carried"
    for name in CARRIED:
        (carried / name).parent.mkdir(parents=True, exist_ok=True)
        (carried / name).symlink_to(ROOT / name)
    made = tmp_path / "made"
    assemble(made, carried)
    for place in list_places(read_template(made)):
        assert (made / place).exists()
    for layer in ("common", "chem"):
        assert (made / "layers" / layer / "Makefile").is_file()
    assert (made / "layers/common/python/aliquot/job.py").is_file()
    assert (made / "layers/chem/python/aliquot_chem/crossref.py").is_file()
    assert not list(made.rglob("__pycache__"))


def test_installation_without_the_files_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(files, "_CHECKOUT", tmp_path)
    monkeypatch.setattr(files, "_CARRIED", tmp_path / "files")
    with pytest.raises(MissingTool, match="install Aliquot from its wheel"), stack_files():
        pass
