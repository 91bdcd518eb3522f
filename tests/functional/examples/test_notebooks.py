"""The example notebooks, run from top to bottom by a kernel; what they show of plans, runs and rows."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NAMES = ("crossref", "screen", "retro", "sql", "exec", "own_function")
SHOWN = {
    "crossref": ("<th>dataset</th><td>2,000 records in 1 chunk", "<progress", "1,642 rows", "<svg"),
    "screen": ("filters removed 13 molecules: pains 13", "<progress"),
    "retro": ("'solved': 145", "saponification-ethyl"),
    "sql": ("long",),
    "exec": ("length",),
    "own_function": ("470",),
}


@pytest.mark.filterwarnings("ignore")  # the kernel's packages' own
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "crossref" else pytest.mark.long) for name in NAMES]
)
def test_a_notebook_runs(
    tmp_path: Path, project_root: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    shutil.copytree(project_root / "examples", tmp_path / "examples")
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    folder = tmp_path / "examples" / "notebooks"
    notebook = nbformat.read(folder / f"{name}.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "outputs are not committed"
    client = NotebookClient(notebook, timeout=180, resources={"metadata": {"path": str(folder)}})
    client.execute()
    shown = "".join(_read(output) for cell in notebook.cells for output in cell.get("outputs", ()))
    assert [each for each in SHOWN[name] if each not in shown] == []


def _read(output: Any) -> str:
    data = output.get("data", {})
    return f"{data.get('text/html', '')}{data.get('text/plain', '')}{output.get('text', '')}"
