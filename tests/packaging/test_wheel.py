"""What ships works where it is installed: the wheel in a bare venv, the checkout out of reach.

Everything stays offline: the wheel is built without isolation, the bare venv finds the dependencies through
a `.pth` to the development venv. Such a folder's own `.pth` files are not read, so the editable install
there does not lead back to the checkout.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import sysconfig
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pyarrow.dataset
import pyarrow.parquet
import pytest

PACKAGES = {
    "aliquot": "layers/common/python/aliquot",
    "aliquot_chem": "layers/chem/python/aliquot_chem",
    "aliquot_exec": "layers/exec/python/aliquot_exec",
    "aliquot_sql": "layers/sql/python/aliquot_sql",
    "orchestrator": "orchestrator",
}
CARRIED = "orchestrator/stack/files/"
STACK = ("template.yaml", "functions", "statemachine", "layers")
REACTIONS = """\
id,rxn_smiles
amide-1,[CH3:1][C:2](=[O:3])[OH:9].[NH2:4][c:5]1[cH:6][cH:7][cH:8][cH:10][cH:11]1>>[CH3:1][C:2](=[O:3])[NH:4][c:5]1[cH:6][cH:7][cH:8][cH:10][cH:11]1
boc-1,CC(C)(C)OC(=O)NCc1ccccc1>OC(=O)C(F)(F)F>NCc1ccccc1
broken,CC(=O)O.NCc1ccccc1>>CC(=O)NCc1ccccc
amide-2,OC(=O)c1ccccc1.C1COCCN1>>O=C(c1ccccc1)N1CCOCC1
bromination,COc1ccccc1>O=C1CCC(=O)N1Br>COc1ccc(Br)cc1
"""
TEMPLATES = """\
id,smarts
amide,[C:1](=[O:2])-[N:3]>>[C:1](=[O:2])-O.[N:3]
boc,"[N;X3;H1,H2:1]>>[N:1]-C(=O)-O-C(C)(C)C"
"""


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The finished process; neither the checkout's folder nor its environment reaches it."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=inherited,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done


def refuse(*command: str | Path, cwd: Path) -> str:
    """What a command says that ends with the status of bad usage."""
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2, done.stdout
    return done.stderr


@pytest.fixture(scope="module")
def wheel(project_root, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=project_root)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def metadata(wheel) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


@pytest.fixture(scope="module")
def bare(wheel, tmp_path_factory) -> Path:
    """The `bin` folder of a venv that holds the wheel and nothing else of its own."""
    venv = tmp_path_factory.mktemp("bare") / "venv"
    away = venv.parent
    run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=away)
    python = venv / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python)
    run(*pip, "install", "--no-deps", "--no-index", wheel, cwd=away)
    (site,) = venv.glob("lib/python*/site-packages")
    ours = sysconfig.get_paths()
    folders = dict.fromkeys((ours["purelib"], ours["platlib"]))
    (site / "development-venv.pth").write_text("".join(f"{folder}\n" for folder in folders))
    return venv / "bin"


def list_files(folder: Path) -> set[str]:
    """The paths of all files beneath a folder, or the file itself, but for caches."""
    files = [folder] if folder.is_file() else folder.rglob("*")
    return {
        file.relative_to(folder).as_posix()
        for file in files
        if file.is_file() and "__pycache__" not in file.parts
    }


def test_wheel_holds_the_packages_and_nothing_else(names, project_root):
    """Tests, caches, benchmarks or a module left out would only show at a user's."""
    expected = {
        f"{package}/{name}"
        for package, folder in PACKAGES.items()
        for name in list_files(project_root / folder)
    }
    held = {name for name in names if ".dist-info/" not in name and not name.startswith(CARRIED)}
    assert held == expected
    starter = "orchestrator/starter/files/"
    assert {Path(name).suffix for name in expected if not name.startswith(starter)} <= {
        ".py",
        ".pyi",
        ".typed",
        ".css",  # of the report, as the script
        ".js",
    }
    assert {Path(name).suffix for name in expected if name.startswith(starter)} == {".in"}


def test_wheel_carries_the_stack(names, project_root):
    """All of it but our layers' packages, which are installed as packages."""
    ours = {f"layers/{name}/python" for name in ("common", "chem", "exec", "sql")}
    expected = {Path(part, name).as_posix() for part in STACK for name in list_files(project_root / part)}
    expected = {name for name in expected if not any(name.startswith(f"{each}/") for each in ours)}
    carried = {name.removeprefix(CARRIED) for name in names if name.startswith(CARRIED)}
    assert carried == expected


def test_stack_is_put_together_away_from_the_checkout(bare, tmp_path, project_root):
    """What is deployed from a wheel is what a checkout deploys."""
    copy = (
        "import shutil; from orchestrator.stack.files import stack_files\n"
        "with stack_files() as folder: shutil.copytree(folder, 'stack')"
    )
    run(bare / "python", "-c", copy, cwd=tmp_path)
    for part in STACK:
        held = {name for name in list_files(project_root / part) if not name.startswith(("exec/", "sql/"))}
        assert list_files(tmp_path / "stack" / part) == held
    build = tmp_path / "stack" / "layers" / "build.py"
    assert "chem-deps" in run(sys.executable, build, "--help", cwd=tmp_path).stdout


def test_wheel_carries_its_types_and_its_licence(names):
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_wheel_declares_the_command_and_the_jobs(wheel, names):
    (entry_points,) = (name for name in names if name.endswith(".dist-info/entry_points.txt"))
    with zipfile.ZipFile(wheel) as archive:
        lines = archive.read(entry_points).decode().splitlines()
    assert "aliquot = orchestrator.cli:main" in lines
    assert "crossref = aliquot_chem.crossref:job" in lines


def test_version_is_the_packages_own(metadata, bare, tmp_path):
    """One place says the version."""
    done = run(bare / "python", "-c", "import aliquot; print(aliquot.__version__)", cwd=tmp_path)
    assert metadata["Version"] == done.stdout.strip()


def test_chemistry_is_an_extra(metadata):
    """Who runs functions of their own needs no RDKit."""
    needed = metadata.get_all("Requires-Dist")
    assert [line for line in needed if line.startswith("rdkit")] == ["rdkit>=2024.3.5; extra == 'chem'"]
    assert {line.partition(">")[0] for line in needed if "extra" not in line} == {
        "click", "msgpack", "numpy", "plotly", "psutil", "pyarrow", "rich", "zstandard",
    }  # fmt: skip


@pytest.mark.parametrize("package", PACKAGES)
def test_bare_venv_imports_the_installed_package(bare, tmp_path, project_root, package):
    """Were the checkout reachable, every other test here would test the checkout."""
    code = f"import {package}, sys; print({package}.__file__); print(*sys.path, sep='\\n')"
    file, *path = run(bare / "python", "-c", code, cwd=tmp_path).stdout.splitlines()
    assert Path(file).is_relative_to(bare.parent)
    checkout = {project_root, *((project_root / folder).parent for folder in PACKAGES.values())}
    assert not checkout & {Path(folder) for folder in path if folder}


def test_command_helps_itself(bare, tmp_path):
    done = run(bare / "aliquot", "--help", cwd=tmp_path)
    assert "run" in done.stdout
    assert "resume" in done.stdout


def test_crossref_runs_away_from_the_checkout(bare, tmp_path):
    """The way of a first user: two files, one command, a table."""
    (tmp_path / "reactions.csv").write_text(REACTIONS)
    (tmp_path / "templates.csv").write_text(TEMPLATES)
    options = ("--templates", "templates.csv", "--out", "out", "--workers", "1", "--max-failed", "1")
    run(bare / "aliquot", "run", "crossref", "reactions.csv", *options, cwd=tmp_path)

    out = tmp_path / "out"
    found = pyarrow.dataset.dataset(out / "result").to_table().to_pylist()
    assert [(row["record"], row["reaction_id"], row["template_id"]) for row in found] == [
        (0, "amide-1", "amide"),
        (1, "boc-1", "boc"),
        (3, "amide-2", "amide"),
    ]
    (failed,) = pyarrow.parquet.read_table(out / "failures.parquet").to_pylist()
    assert (failed["record"], failed["id"], failed["kind"]) == (2, "broken", "parse")
    (unexplained,) = pyarrow.parquet.read_table(out / "unexplained.parquet").to_pylist()
    assert (unexplained["record"], unexplained["id"]) == (4, "bromination")
    summary = json.loads((out / "summary.json").read_text())
    assert [summary[name] for name in ("records", "done", "failed", "not_tried", "rows")] == [5, 4, 1, 0, 3]


def read_commands(readme: Path) -> list[list[str]]:
    """The commands of a project's README that need no account, without `aliquot` before them."""
    said = re.findall(r"^    aliquot (.+)$", readme.read_text(), re.MULTILINE)
    return [shlex.split(line) for line in said if "aws:" not in line and not line.startswith("deploy")]


@pytest.mark.long
def test_new_project_is_tested_and_run_as_its_readme_says(bare, tmp_path):
    """From `aliquot new` to the same rows on a rehearsed stack, with nothing written in between."""
    run(bare / "aliquot", "new", "demo", cwd=tmp_path)
    project = tmp_path / "demo"
    assert "is there already" in refuse(bare / "aliquot", "new", "demo", cwd=tmp_path)
    run(
        bare / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-e",
        ".",
        cwd=project,
    )
    assert "4 passed" in run(bare / "python", "-m", "pytest", "-p", "no:cacheprovider", cwd=project).stdout
    commands = read_commands(project / "README.md")
    assert [words[0] for words in commands] == ["jobs", "plan", "run", "run"]
    for words in commands:
        run(bare / "aliquot", *words, cwd=project)
    here, there = (
        pyarrow.dataset.dataset(project / "runs" / out / "result").to_table()
        for out in ("first", "rehearsed")
    )
    assert there.equals(here)
    assert here["term"].to_pylist() == ["acid", "catalyst", "acid", "base", "solvent"]
    assert "there is a job of this name" in refuse(bare / "aliquot", "new", "demo", cwd=project)


def test_new_project_makes_its_layer(bare, tmp_path):
    """What `sam deploy` takes up: the package, as functions import it."""
    run(bare / "aliquot", "new", "demo_layer", cwd=tmp_path)
    run("make", "layer", f"PYTHON={bare / 'python'}", cwd=tmp_path / "demo_layer")
    python = tmp_path / "demo_layer" / "build" / "layer" / "python"
    assert list_files(python) == {"demo_layer/__init__.py", "demo_layer/job.py"}
