"""What a notebook shows where there is nothing to show yet."""

from __future__ import annotations

from pathlib import Path

from orchestrator.results import Result
from orchestrator.run import Run


def test_what_has_no_result_yet_says_so_in_a_cell(tmp_path: Path) -> None:
    """Jupyter would print a traceback in place of what a cell gives."""
    assert "has no result yet: `aliquot resume` finishes the run" in Result(tmp_path)._repr_html_()
    assert "<p>" in Run(tmp_path)._repr_html_()
