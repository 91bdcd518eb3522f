"""The engine's benchmark in short: one case, this engine and the standard library's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.long
def test_a_record_that_kills_its_process_costs_a_pool_the_rest(project_root: Path, tmp_path: Path) -> None:
    engines = "Aliquot;ProcessPoolExecutor;joblib"
    words = ["--only", "f", "--engines", engines, "--turns", "1", "--out", str(tmp_path)]
    no_peers = [*words, "--peers-python", sys.executable]  # joblib is not among what developing needs
    subprocess.run(
        [sys.executable, "-m", "benchmarks.engine", *no_peers], cwd=project_root, check=True, timeout=120
    )
    said = (tmp_path / "engine.md").read_text()
    assert "| f | all other records in | 999 of 999 | yes |" in said
    own, pool, absent = json.loads((tmp_path / "engine.json").read_text())["cases"]["f"]["engines"]
    assert own["samples"][0]["n_rows"] == 999 > pool["samples"][0]["n_rows"]
    assert absent["trouble"] == "ModuleNotFoundError: No module named 'joblib'"
    assert absent["trouble"] in said
