"""The job `exec`: records go to a program's standard input, rows come from its standard output.

    host --frames or lines--> a program of the user's --frames or lines--> host        docs/record-protocol.md

Owns the job's declaration and its options. Imports the core's `job`, and what starts programs where one is to
run. When it is wrong, `aliquot run exec` promises what it does not do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from aliquot.errors import BadOption
from aliquot.job import LONGEST_STEP_S, STEP_S, Column, Job, Reference, Stage, Stages


@dataclass(frozen=True)
class Options:
    """The command's flags."""

    command: Annotated[
        str, "the program and its arguments, split as a shell does; {program} stands for --program"
    ]
    program: Annotated[
        Reference | None, "file or folder that the command needs; known by its content, and taken to a stack"
    ] = None
    lines: Annotated[
        Literal["json", "tsv"] | None,
        "one line for each record, both ways, instead of the record protocol: for any Unix filter",
    ] = None
    fields: Annotated[
        str | None,
        Column(("fields",), "columns"),
        "columns that the program gets, in this order: id,smiles  [default: all]",
    ] = None
    columns: Annotated[
        str | None, "with --lines tsv, names of the columns that it writes  [default: those that it gets]"
    ] = None


def prepare(options: Options, folder: Path) -> None:
    """Note what the command is, and which files it names."""
    from aliquot_exec.command import note_command

    if options.columns is not None and options.lines != "tsv":
        raise BadOption("--columns", "names the columns of --lines tsv; rows of other forms name their own")
    for flag, names in (
        ("--fields", split_names(options.fields)),
        ("--columns", split_names(options.columns)),
    ):
        if "" in names or len(set(names)) < len(names):
            raise BadOption(flag, f"{','.join(names)!r} has a name that is empty or stands twice")
    note_command(options.command, options.program, folder)


def split_names(text: str | None) -> tuple[str, ...]:
    """The names of a list with commas, none where nothing was told."""
    return () if text is None else tuple(name.strip() for name in text.split(","))


def open_program(options: Options, prepared: Path) -> Callable[[Iterable[Any]], Iterator[Any]]:
    """What passes records to the program; raises BadOption, BadReference where it cannot be started."""
    from aliquot_exec.command import find_command
    from aliquot_exec.lines import Filter, find_form
    from aliquot_exec.records import RecordProgram

    words = find_command(options.program, prepared)
    fields = split_names(options.fields)
    if options.lines is not None:
        return Filter(words, find_form(options.lines, split_names(options.columns)), fields)
    program = RecordProgram(words, fields)
    program.try_out()
    return program


def list_stages(options: Options) -> Stages:
    """One. A filter is a process for each step: in longer ones its start costs less."""
    return (Stage("run", open_program, step_s=STEP_S if options.lines is None else LONGEST_STEP_S),)


job = Job(
    "exec",
    version=1,
    options=Options,
    prepare=prepare,
    stages=list_stages,
    example="""records.jsonl --lines json --command "jq -c '{id, text}'\"""",
)
