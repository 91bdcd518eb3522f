"""The README's function and Python snippets, and that of docs/layout.md, run as they are printed."""

import re
import shutil
import subprocess
import sys
import textwrap

import pytest


@pytest.fixture
def desk(tmp_path, project_root):
    """A folder that looks like the checkout to the snippets."""
    shutil.copytree(project_root / "examples" / "crossref", tmp_path / "examples" / "crossref")
    return tmp_path


def find_block(project_root, heading: str) -> str:
    """The first indented block under a heading of the README."""
    section = (project_root / "README.md").read_text().partition(f"## {heading}\n")[2]
    block = re.search(r"((?:^    .*\n|^\n)+)", section[section.index("\n    ") :], re.MULTILINE)
    return textwrap.dedent(block[1]).strip("\n") + "\n"


def run(desk, *command: str) -> subprocess.CompletedProcess:
    return subprocess.run(command, cwd=desk, capture_output=True, text=True, timeout=120, check=False)


def test_the_function_example_runs_without_a_failure(desk, project_root):
    block = find_block(project_root, "Your own function")
    code, _, command = block.partition("\naliquot ")
    (desk / "my_jobs.py").write_text(code)
    ended = run(desk, sys.executable, "-m", "orchestrator.cli", *command.split())
    assert ended.returncode == 0, ended.stderr
    assert "470 of 470 records done" in ended.stderr
    assert "failed" not in ended.stderr


def test_the_python_example_runs(desk, project_root):
    (desk / "script.py").write_text(find_block(project_root, "From Python"))
    ended = run(desk, sys.executable, "script.py")
    assert ended.returncode == 0, ended.stderr
    assert "2,000 records in 1 chunk" in ended.stdout
    assert (desk / "runs" / "sample" / "templates.parquet").is_file()
    page = (project_root / "docs" / "layout.md").read_text()
    (desk / "read.py").write_text(page.partition("```python\n")[2].partition("```")[0])
    ended = run(desk, sys.executable, "read.py")
    assert ended.stdout.startswith("1642 ['record', "), ended.stderr
