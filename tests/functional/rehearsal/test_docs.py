"""The example of the documentation runs as it is printed."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys


def test_example_of_the_documentation_passes(tmp_path, project_root):
    text = (project_root / "docs/rehearsal.md").read_text()
    blocks = re.findall(r"```\w+\n# (\S+)\n(.*?)```", text, flags=re.DOTALL)
    assert [name for name, _ in blocks] == ["template.yaml", "worker/app.py", "test_orders.py"]
    for name, body in blocks:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(body)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    if "rehearsal" not in importlib.metadata.entry_points(group="pytest11").names:
        command += ["-p", "orchestrator.rehearsal.plugin"]
    variables = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    done = subprocess.run(
        command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
