"""What the chemistry's tests share: the naive loop, and the kernel over templates written in the test."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from aliquot.errors import ParseFailure
from aliquot.job import Reference
from aliquot_chem.crossref import Options, Reaction, build_matcher, open_matcher

Ask = Callable[[str], tuple[list[str], str] | None]
"""From a reaction to (template ids, reactant mode), None where it is a failed record."""


@pytest.fixture(scope="session")
def naive(project_root: Path) -> ModuleType:
    """The naive double loop of the benchmarks."""
    spec = importlib.util.spec_from_file_location(
        "naive_crossref", project_root / "benchmarks/naive_crossref.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def open_kernel(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Ask]:
    """Opens the job over a list of templates, ids t0, t1, ..."""

    def open_over(templates: Sequence[str], **options: Any) -> Ask:
        folder = tmp_path_factory.mktemp("kernel")
        lines = ["id\tsmarts", *(f"t{i}\t{smarts}" for i, smarts in enumerate(templates))]
        (folder / "templates.tsv").write_text("\n".join(lines))
        chosen = Options(templates=Reference(folder / "templates.tsv", ""), **options)
        build_matcher(chosen, folder)
        answer = open_matcher(chosen, folder)

        def ask(reaction: str) -> tuple[list[str], str] | None:
            try:
                rows, note = next(answer([Reaction("r", reaction)]))
            except ParseFailure:
                return None
            return [row.template_id for row in rows], note

        return ask

    return open_over


@pytest.fixture(scope="session")
def ask_naive(naive: ModuleType) -> Callable[..., tuple[list[str], str] | None]:
    """The naive loop's answer in the same form."""

    def ask(reaction: str, templates: Sequence[str], **options: str) -> tuple[list[str], str] | None:
        try:
            hits, mode = naive.explain(reaction, templates, naive.Question(**options))
        except naive.NotAReaction:
            return None
        return [f"t{i}" for i in hits], mode

    return ask
