"""The session of scripts/cast.py, played: its rows have to be identical once more."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.dom import minidom

import pytest


@pytest.mark.skipif(
    sys.platform != "linux", reason="it finds a worker by its zygote, which macOS has none of"
)
def test_the_session_ends_with_identical_rows(project_root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "scripts/cast.py", "--molecules", "200", "--quick", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=project_root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    head, *events = map(json.loads, (tmp_path / "session.cast").read_text().splitlines())
    assert head["version"] == 2
    shown = "".join(text for _, _, text in events)
    assert "not finished" in shown
    assert "usage" not in shown
    drawn = minidom.parse(str(tmp_path / "session.svg"))  # noqa: S318 - our own
    assert drawn.documentElement.tagName == "svg"
