"""The site: built without a dead link, and read by those who see little or use no mouse."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PAGES = ("index", "docs/tutorial", "docs/comparison", "docs/jobs", "docs/commands", "benchmarks/engine")


@pytest.fixture(scope="module")
def site(project_root: Path) -> Path:
    command = [sys.executable, "scripts/docs.py"]
    done = subprocess.run(command, cwd=project_root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return project_root / "build" / "site"


def test_the_site_is_built_without_a_dead_link_or_a_page_left_out(site: Path) -> None:
    assert "Aliquot" in (site / "index.html").read_text()


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_have_no_violation(site: Path, browser, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = {}
    for name in PAGES:
        page = browser.new_context(color_scheme=scheme).new_page()
        page.goto((site / f"{name}.html").as_uri())
        violations = axe.run(page).response["violations"]
        found |= {(name, each["id"]): each["nodes"][0]["html"][:200] for each in violations}
        page.context.close()
    assert not found
