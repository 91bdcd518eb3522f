#!/usr/bin/env python3
"""Build the documentation's site into build/site, strictly: a dead link ends it with status 1.

    python scripts/docs.py

So does a page of docs/ or benchmarks/ that the navigation in mkdocs.yml does not name. Pages are
the Markdown files of the repository, where people read them too; their links are relative and hold in both
places. What a page links to beside pages (a source file, an example) is copied along.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TREE = ROOT / "build" / "docs"
LINK = re.compile(r"\]\(([^)#\s]+)")


def main() -> int:
    """Put the tree together and build it."""
    shutil.rmtree(TREE, ignore_errors=True)
    pages = list(find_pages())
    for page in pages:
        copy(page)
        for target in find_links(page):
            if target.is_file():
                copy(target)
    for extra in (ROOT / "docs" / "site").iterdir():
        copy(extra)
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict"],  # --quiet would pass over every warning
        cwd=ROOT,
        check=False,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    ).returncode


def find_pages() -> Iterator[Path]:
    """The Markdown files that the navigation names, and those that it has to."""
    said = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    yield from (ROOT / name for name in re.findall(r": (\S+\.md)$", said, re.MULTILINE))
    for folder in ("docs", "benchmarks"):
        yield from (ROOT / folder).glob("*.md")


def find_links(page: Path) -> Iterator[Path]:
    """Files of the repository that a page links to."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for link in LINK.findall(text):
        if "://" not in link:
            yield (page.parent / link).resolve()


def copy(file: Path) -> None:
    """One file at its place in the tree."""
    place = TREE / file.relative_to(ROOT)
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, place)


if __name__ == "__main__":
    sys.exit(main())
