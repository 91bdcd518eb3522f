"""The commands of an example's README, run as they are printed in a copy of its folder."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.functional.desk import Desk, Said

N_LINES = 5  # of a library: a conformer takes up to seconds


class Example(Desk):
    """A copy of an example, beside its neighbours' data."""

    def follow(self) -> Iterator[tuple[str, Said]]:
        """Each command of the README that needs no account, and how it ended."""
        readme = (self.folder / "README.md").read_text()
        for line in re.findall(r"^    aliquot (.+)$", readme, re.MULTILINE):
            if "--on" not in line:
                yield line, self.type(line)

    def type(self, line: str) -> Said:
        """The command with the words of a line."""
        return self.aliquot(*shlex.split(line, comments=True))


@pytest.fixture
def lay_out(tmp_path: Path, project_root: Path) -> Callable[[str], Example]:
    """Copy the examples, their libraries of molecules cut short, and sit down in one."""

    def copy(name: str) -> Example:
        shutil.copytree(
            project_root / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("runs")
        )
        for library in (tmp_path / "examples").glob("*/*.smi"):
            library.write_text("".join(library.read_text().splitlines(keepends=True)[:N_LINES]))
        return Example(tmp_path / "examples" / name)

    return copy
