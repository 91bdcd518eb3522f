"""The words that several commands take: limits, budgets, a dataset, a place, a format.

Owns these options, their help and their order. Imports click, and of the core what bounds them. When it is
wrong, two commands take one word for two things.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from aliquot.errors import BadOption
from aliquot.job import MOST_RETRIES, MOST_THREADS
from orchestrator.completion import complete_files, complete_folders, complete_job, complete_place
from orchestrator.jobflags import JobCommand

Command = Callable[..., None]


def settings_options(command: Command) -> Command:
    """Limits of a run."""
    for option in reversed(
        [
            click.option(
                "--workers",
                type=click.IntRange(min=1),
                help="Processes; on a stack tasks at a time.  [default: the physical cores; all it has]",
            ),
            click.option(
                "--record-timeout",
                type=click.FloatRange(min=0, min_open=True),
                help="Seconds that one record may take.  [default: 60]",
            ),
            click.option(
                "--memory",
                type=click.IntRange(min=1),
                help="MiB of private memory a worker.  [default: 80% of what is free, shared out]",
            ),
            click.option("--max-failed", help="Records that may fail: 5% or 12.  [default: 5%]"),
        ]
    ):
        command = option(command)
    return command


def budget_options(command: Command) -> Command:
    """Ceilings of a run."""
    for option in reversed(
        [
            click.option(
                "--budget-usd",
                type=click.FloatRange(min=0, min_open=True),
                help="Dollars that the whole run may cost: it stops before it would cost more.",
            ),
            click.option("--budget-time", metavar="TIME", help="Wall time that it may take: 90s, 10m, 2h."),
        ]
    ):
        command = option(command)
    return command


def dataset_options(command: Command) -> Command:
    """The job, its dataset, and how it is read."""
    for option in reversed(
        [
            click.argument("job", shell_complete=complete_job),
            click.argument("data", nargs=-1, required=True, shell_complete=complete_files),
            click.option(
                "--column", multiple=True, metavar="FIELD=NAME", help="The input column that holds a field."
            ),
            click.option(
                "--keep", multiple=True, metavar="NAME", help="An input column to carry to the result."
            ),
            click.option(
                "--threads",
                type=click.IntRange(min=1, max=MOST_THREADS),
                help="Of each worker, for records that wait.  [default: what the job declares, or 1]",
            ),
            click.option(
                "--rate",
                metavar="RATE",
                help="Records begun in a time by the whole run: 50/s, 600/min, 2000/h.  [default: the job's]",
            ),
            click.option(
                "--retries",
                type=click.IntRange(min=0, max=MOST_RETRIES),
                help="Of a record whose failure may pass.  [default: what the job declares, or 3]",
            ),
        ]
    ):
        command = option(command)
    return command


def split_column(text: str) -> tuple[str, str]:
    """The field and the column of `--column FIELD=NAME`; raises BadOption."""
    field, equals, name = text.partition("=")
    if not equals or not field or not name:
        raise BadOption("--column", f"{text!r} is not of the form FIELD=NAME")
    return field, name


def _find_code(args: Sequence[str]) -> str | None:
    """The folder that `--code` names, looked for before anything is parsed."""
    for place, word in enumerate(args):
        if word == "--code" and place + 1 < len(args):
            return args[place + 1]
        if word.startswith("--code="):
            return word.removeprefix("--code=")
    return None


class RunCommand(JobCommand):
    """`run`: the job that gives it its options may lie in the folder of `--code`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Let the job be found there, then parse."""
        code = _find_code(args)
        if code is not None:
            sys.path.insert(0, str(Path(code).resolve()))
        return super().parse_args(ctx, args)


_code_option = click.option(
    "--code",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="The folder with the job's module; it goes to the stack with the run.",
)
format_option = click.option(
    "--format", type=click.Choice(["parquet", "csv"]), help="Deliver in this format.  [default: as before]"
)
folder_argument = click.argument("folder", type=click.Path(path_type=Path), shell_complete=complete_folders)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON document on standard output (docs/json.md)."
)


def aws_options(command: Command) -> Command:
    """Which account and region of AWS."""
    for word in ("--region", "--profile"):
        command = click.option(word, help="Of AWS.  [default: as the AWS CLI chooses]")(command)
    return command


def place_options(command: Command) -> Command:
    """Where a run is done."""
    place = click.option(
        "--on",
        default="local",
        metavar="PLACE",
        shell_complete=complete_place,
        show_default=True,
        help="local, aws:STACK, or rehearsal: the stack on this machine.",
    )
    return place(_code_option(aws_options(command)))
