"""The pages for newcomers, walked, and the pages that are written out of the code."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.aws.rehearsal import Drain
from orchestrator.installed_layers import assemble_layers, find_cache
from orchestrator.rehearsal import rehearse
from scripts import reference
from tests.functional.docs.walk import find_blocks, walk

WALKED = ("tutorial", "laptop-to-stack", "workflows")
NOT_RUN = {
    "the tests have an environment already",
    "it makes a stack in an account",
    "it deletes a stack in an account",
}


@pytest.fixture
def desk(tmp_path: Path, project_root: Path) -> Path:
    """A folder that looks like the checkout to a page."""
    for name in ("crossref", "screen"):
        shutil.copytree(project_root / "examples" / name, tmp_path / "examples" / name)
    return tmp_path


@pytest.mark.long
def test_the_tutorial(desk: Path, project_root: Path) -> None:
    assert walk(project_root / "docs" / "tutorial.md", desk) == 8


@pytest.mark.long
def test_from_laptop_to_stack(desk: Path, project_root: Path) -> None:
    """Whoever follows the page has an account; the tests have a rehearsed stack of the same template."""
    layers = assemble_layers(project_root, find_cache())
    with rehearse(project_root / "template.yaml", code=layers, concurrency=2) as stack, Drain(stack):
        assert walk(project_root / "docs" / "laptop-to-stack.md", desk, has_account=True) == 9


@pytest.mark.skipif(shutil.which("snakemake") is None, reason="snakemake is not installed")
def test_the_recipe_for_snakemake(desk: Path, project_root: Path) -> None:
    assert walk(project_root / "docs" / "workflows.md", desk) == 1
    assert (desk / "top.txt").read_text().startswith('54 "williamson-iodide"\n')


@pytest.mark.long
def test_the_recipe_for_nextflow(desk: Path, project_root: Path) -> None:
    """Its script, as Nextflow would fill it in, in a folder of the task's."""
    blocks = find_blocks(project_root / "docs" / "workflows.md")
    (recipe,) = (block.text for block in blocks if block.language == "groovy")
    script = recipe.split('"""')[1]
    values = {
        "$reactions": f"{desk}/examples/crossref/reactions.rsmi",
        "$templates": f"{desk}/examples/crossref/templates.csv",
        "${params.runs}": f"{desk}/runs",
        "${task.cpus}": "2",
    }
    for name, value in values.items():
        script = script.replace(name, value)
    work = desk / "work"
    work.mkdir()
    program = shutil.which("aliquot", path=str(Path(sys.executable).parent))
    subprocess.run(["bash", "-euc", script.replace("aliquot run", f"{program} run")], cwd=work, check=True)
    assert (work / "templates.parquet").is_file()


@pytest.mark.parametrize("page", WALKED)
def test_what_is_not_run_says_why(project_root: Path, page: str) -> None:
    marks = [block.mark for block in find_blocks(project_root / "docs" / f"{page}.md")]
    reasons = {mark.removeprefix("not run: ") for mark in marks if mark.startswith("not")}
    assert reasons <= NOT_RUN


@pytest.mark.parametrize(("page", "write"), [("commands", "write_commands"), ("contract", "write_contract")])
def test_reference_says_what_the_code_says(project_root: Path, page: str, write: str) -> None:
    """`python scripts/reference.py` writes both again."""
    assert (project_root / "docs" / f"{page}.md").read_text() == getattr(reference, write)()
