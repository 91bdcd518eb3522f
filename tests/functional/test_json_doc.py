"""docs/json.md: its commands run as they are printed, and every field that they give stands in it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import pytest

ELSEWHERE = {"aliquot/error/1", "aliquot/cancel/1"}  # errors, and runs on a stack, have tests of their own
OF_THE_JOB_OR_STACK = {"summary", "invoice", "options", "content", "key"}  # what is in them others document


@pytest.fixture
def desk(tmp_path, project_root):
    shutil.copytree(project_root / "examples" / "crossref", tmp_path / "examples" / "crossref")
    return tmp_path


def list_commands(text):
    joined = text.replace("\\\n", " ")
    return [line.split(" | ")[0].split() for line in joined.splitlines() if line.startswith("    aliquot ")]


def list_fields(document):
    """Every field of a document, at any depth, that is ours to document."""
    if isinstance(document, list):
        return {name for each in document for name in list_fields(each)}
    if not isinstance(document, dict):
        return set()
    below = (list_fields(value) for name, value in document.items() if name not in OF_THE_JOB_OR_STACK)
    return set(document).union(*below)


def test_commands_run_and_their_fields_are_documented(desk, project_root):
    text = (project_root / "docs" / "json.md").read_text()
    documented, formats = set(re.findall(r"`([a-z0-9_.]+)`", text)), set()
    commands = list_commands(text)
    assert len(commands) >= 6
    for _, *words in commands:
        ended = subprocess.run(
            [sys.executable, "-m", "orchestrator.cli", *words],
            cwd=desk,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        document = json.loads(ended.stdout)
        formats.add(document["format"])
        assert "error" not in document["format"], ended.stderr
        assert list_fields(document) <= documented, words
    assert formats == set(re.findall(r"`(aliquot/[a-z]+/1)`", text)) - ELSEWHERE
