"""What a dataset and its failures say reaches a terminal spelt out, whichever command shows it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HOSTILE = "\x1b[2J\x1b]0;owned\x07\u202e"


def test_hostile_text_reaches_no_terminal(tmp_path: Path) -> None:
    """Control characters in ids, in file names and in what a job says of them."""
    (tmp_path / "jobs.py").write_text("def fail(record):\n    raise ValueError(record['id'])\n")
    name = f"data{HOSTILE}.csv"
    (tmp_path / name).write_text(f"id\nr0{HOSTILE}\n")
    said = ""
    for words in (
        ["run", "jobs:fail", name, "--out", "out"],
        ["show", "out"],
        ["runs"],
        ["decode", "out/ledger/chunks/00000000.1"],
        ["decode", "out/ledger/manifest.json", "--json"],
        ["run", "jobs:fail", f"no{HOSTILE}"],
    ):
        out = ["--out", "other"] if words[-1].startswith("no") else []
        command = [sys.executable, "-m", "orchestrator.cli", *words, *out]
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, timeout=120)
        said += ended.stdout.decode() + ended.stderr.decode()
    assert "ValueError: r0\\x1b[2J" in said
    assert "data\\x1b[2J" in said
    assert "id r0\\x1b[2J" in said
    assert "no\\x1b[2J" in said
    assert not [c for c in said if c in HOSTILE and not c.isprintable()]
