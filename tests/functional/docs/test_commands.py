"""The commands of pages that are no walk: typed in the order in which they stand, as they stand.

In an account a rehearsed stack of the same template stands for the stack `aliquot`. What is not typed here is
listed, with who holds it or why nobody does.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import boto3
import click
import pytest

from orchestrator.aws.rehearsal import Drain
from orchestrator.catalog import find_job, list_jobs
from orchestrator.cli import cli
from orchestrator.installed_layers import assemble_layers, find_cache
from orchestrator.options import list_told, name_flag
from orchestrator.rehearsal import rehearse
from tests.functional.docs.walk import type_words

_BLOCK = re.compile(r"(?:^    .*\n|^\n(?=    ))+", re.MULTILINE)
_WORD = re.compile(r"(?:aliquot|make|pip|sam|python|cd|export|eval|aws|\.) ")
ACCOUNT = re.compile(r"aws:aliquot|runs/june")
NOT_TYPED = {
    r"make |\. \.venv|pip install": "sets up what the tests have already",
    r"aliquot new |aliquot run demo ": "tests/unit/orchestrator/test_starter.py runs it",
    r"aliquot deploy|sam |aws |aliquot destroy|aliquot doctor$": "is for an account; tests/functional/stack",
    r"aliquot run conformers:embed .*aws:": "tests/functional/cloud/test_examples.py does that",
    r"aliquot doctor --on|export AWS_REGION": "docs/laptop-to-stack.md has it, and is walked",
}


def list_commands(page: Path) -> Iterator[str]:
    """The commands of a page's indented blocks; of a function that stands above its command a file."""
    for block in _BLOCK.findall(page.read_text(encoding="utf-8")):
        text = dedent(block).strip("\n").replace("\\\n", " ")
        named = re.match(r"# (\w+\.py)\n", text)
        if named:
            code, _, text = text.partition("\naliquot ")
            yield f"cat > {named[1]} <<'END'\n{code}\nEND"
            text = f"aliquot {text}"
        yield from (line for line in text.splitlines() if _WORD.match(line))


def is_typed(command: str) -> bool:
    return not any(re.match(pattern, command) for pattern in NOT_TYPED)


@pytest.fixture
def desk(tmp_path: Path, project_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like the checkout, of a user whose browser shows nothing."""
    for name in ("crossref", "screen", "conformers"):
        shutil.copytree(project_root / "examples" / name, tmp_path / "examples" / name)
    library = tmp_path / "examples" / "conformers" / "library.smi"
    library.write_text("".join(library.read_text().splitlines(keepends=True)[:5]))
    monkeypatch.setenv("BROWSER", "true")
    return tmp_path


def list_flags(words: list[str]) -> set[str]:
    """The flags that a command takes, with its job's where one that is installed is named."""
    command, job = cli, None
    for word in words:
        if isinstance(command, click.Group) and word in command.commands:
            command = command.commands[word]
        elif word in list_jobs():
            job = find_job(word).job
    own = [flag for parameter in command.params for flag in parameter.opts]
    return {*own, *(name_flag(option.name) for option in (list_told(job) if job is not None else ()))}


def test_examples_of_help_have_flags_that_there_are(project_root: Path) -> None:
    """Their files are nobody's, so they are not typed; docs/commands.md has the text of all help."""
    page = (project_root / "docs" / "commands.md").read_text()
    lines = re.findall("^    aliquot (.+)$", page, re.MULTILINE)
    examples = [shlex.split(line, comments=True) for line in lines if not line.startswith("run demo ")]
    assert len(examples) > 40
    for words in examples:
        assert {word for word in words if word.startswith("--")} <= list_flags(words), words


@pytest.mark.long
@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
@pytest.mark.parametrize(("page", "n_least"), [("README.md", 15), ("docs/sql.md", 1)])
def test_commands_of_this_machine(desk: Path, project_root: Path, page: str, n_least: int) -> None:
    typed = [
        each for each in list_commands(project_root / page) if is_typed(each) and not ACCOUNT.search(each)
    ]
    assert len(typed) >= n_least
    folder = desk
    for command in typed:
        if command.startswith("cd "):
            folder = desk / command.removeprefix("cd ")
        else:
            type_words(command, folder)


@pytest.mark.long
def test_commands_of_an_account(desk: Path, project_root: Path) -> None:
    """Of the README and of what a report is: data in S3, code that travels, a run watched and cancelled."""
    pages = [project_root / page for page in ("README.md", "docs/report.md")]
    typed = [
        each for page in pages for each in list_commands(page) if is_typed(each) and ACCOUNT.search(each)
    ]
    assert len(typed) >= 4
    words = (
        "\n".join(typed)
        .replace("aws:aliquot", "aws:rehearsal")
        .replace("templates.csv", "examples/crossref/templates.csv")
    )
    layers = assemble_layers(project_root, find_cache())
    with rehearse(project_root / "template.yaml", code=layers, concurrency=2) as stack, Drain(stack):
        bucket = boto3.client("s3")
        bucket.create_bucket(Bucket="my-bucket")
        bucket.upload_file(str(desk / "examples/crossref/reactions.rsmi"), "my-bucket", "reactions/a.rsmi")
        type_words(words, desk)
