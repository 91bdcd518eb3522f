#!/usr/bin/env python3
"""Write docs/commands.md and docs/contract.md: what commands take and jobs declare, as the code says it.

    python scripts/reference.py

A test holds the pages to what this writes, so that neither says what another release did.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import click

import aliquot
from aliquot import job
from orchestrator.catalog import find_job, list_jobs
from orchestrator.cli import SECTIONS, cli
from orchestrator.jobflags import make_flag
from orchestrator.options import list_told

ROOT = Path(__file__).resolve().parent.parent
CONTRACT = (
    job.Job,
    job.Stage,
    job.Group,
    job.Best,
    job.Reference,
    job.Column,
    job.Needs,
    job.Answer,
    job.Summary,
    job.NoteSummary,
    job.Glimpse,
    job.Picture,
)
_METHODS: dict[type, Sequence[str]] = {
    job.Reference: ("file",),
    job.Summary: ("__init__", "add", "partial", "merge", "figures", "tables"),
    job.NoteSummary: ("add_note",),
}
_GENERATED = "Written by `scripts/reference.py` out of the code."


def main() -> None:
    """Write both pages."""
    for name, text in (("commands", write_commands()), ("contract", write_contract())):
        (ROOT / "docs" / f"{name}.md").write_text(text, encoding="utf-8")


# ------------------------------------------------------------------------------------------ commands


def write_commands() -> str:
    """The page of the commands: what each is for, an example, its options."""
    parts = ["# Commands", _GENERATED, "Every command also says this itself: `aliquot COMMAND --help`."]
    for section, names in SECTIONS.items():
        parts.append(f"## {section}")
        for name in names:
            parts.extend(_describe_command(cli.commands[name], f"aliquot {name}"))
    parts.append("## Options of the jobs")
    parts.append("`run` and `plan` take the options of the job that they are about.")
    for name in list_jobs():
        parts.append(f"### {name}")
        parts.append(_tabulate(map(make_flag, list_told(find_job(name).job))))
    return "\n\n".join(parts) + "\n"


def _describe_command(command: click.Command, path: str) -> Iterator[str]:
    context = click.Context(command, info_name=path)
    yield f"### {path}"
    yield f"    {' '.join([path, *command.collect_usage_pieces(context)])}"
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        yield _write_paragraph(paragraph)
    options = [each for each in command.params if isinstance(each, click.Option)]
    if options:
        yield _tabulate(options)
    if isinstance(command, click.Group):
        for name, each in command.commands.items():
            yield from _describe_command(each, f"{path} {name}")


def _write_paragraph(text: str) -> str:
    """Prose on one line; what follows click's mark for kept lines as a block of commands."""
    if text.startswith("\b\n"):
        return textwrap.indent(text.removeprefix("\b\n"), "    ")
    return " ".join(text.split())


def _tabulate(options: Iterable[click.Option]) -> str:
    rows = ["| option | what |", "|---|---|"]
    for option in options:
        record = option.get_help_record(click.Context(click.Command("run"), terminal_width=10_000))
        if record is not None:
            flags, said = (_escape(text) for text in record)
            rows.append(f"| `{flags}` | {said} |")
    return "\n".join(rows) if len(rows) > 2 else "It has none."


def _escape(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


# ------------------------------------------------------------------------------------------ contract


def write_contract() -> str:
    """The page of the job contract: the classes that a job is declared with, and its errors."""
    parts = [
        "# The job contract",
        _GENERATED,
        "What a job declares, and what a run may raise. [Write your own job](jobs.md) leads there in steps.",
    ]
    for each in CONTRACT:
        parts.append(f"## {each.__name__}")
        parts.extend(_describe_class(each))
    parts.append("## Errors")
    parts.append("All are `AliquotError`s; each says what was found, what is allowed and what to do.")
    rows = ["| error | when |", "|---|---|"]
    for name in aliquot.__all__:
        kind = getattr(aliquot, name)
        if inspect.isclass(kind) and issubclass(kind, aliquot.AliquotError):
            rows.append(
                f"| `{name}` | {_escape(inspect.cleandoc(kind.__doc__ or '').partition(chr(10) * 2)[0])} |"
            )
    parts.append("\n".join(rows))
    return "\n\n".join(parts) + "\n"


def _describe_class(kind: type) -> Iterator[str]:
    fields = (
        [] if kind in (job.Summary, job.NoteSummary) else list(inspect.signature(kind).parameters.values())
    )
    if fields:
        yield f"    {kind.__name__}({', '.join(map(_write_field, fields))})"
    yield from _write_docstring(kind.__doc__ or "")
    for name, method in vars(kind).items():
        if inspect.isfunction(method) and name in _METHODS.get(kind, ()):
            yield f"### {kind.__name__}.{name}"
            yield from _write_docstring(method.__doc__ or "")


def _write_field(field: inspect.Parameter) -> str:
    has_default = field.default is not inspect.Parameter.empty
    return f"{field.name}={field.default!r}" if has_default else field.name


def _write_docstring(text: str) -> Iterator[str]:
    """Its paragraphs; `Args:` and `Raises:` as lists."""
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        head, *lines = re.split(r"^(Args|Raises):\n", paragraph, flags=re.MULTILINE)
        if head.strip():
            yield " ".join(head.split())
        for _, items in zip(lines[::2], lines[1::2], strict=True):
            entries = re.split(r"\n(?=\S)", textwrap.dedent(items).rstrip())
            yield "\n".join(_write_item(entry) for entry in entries)


def _write_item(entry: str) -> str:
    name, _, said = " ".join(entry.split()).partition(": ")
    return f"- `{name}`: {said}"


if __name__ == "__main__":
    main()
