"""The command line: `aliquot run | plan | resume | watch | attach | cancel | new`.

The commands that look are `orchestrator.lookcli`'s, those of the stack `stackcli`'s, those of indexes
`indexcli`'s, the words that several take `flags`'. Owns exit codes and where output goes: results and tables
to standard output, progress and errors to standard error. Heavy imports wait until a command needs them, so
that help is instant.

Exit codes: 0 finished, 1 what `doctor` looked at is wrong, 2 bad usage or input, 3 too many failed, 4 stopped
by a budget or cancelled, 130 interrupted or not watched on.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import click

from aliquot import __version__
from aliquot.errors import AliquotError
from orchestrator import lookcli, stackcli
from orchestrator.advice import Typed, find_next
from orchestrator.ending import (
    DELIVERED,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    choose_exit,
    describe_error,
    document_end,
    document_error,
)
from orchestrator.flags import (
    RunCommand,
    aws_options,
    budget_options,
    dataset_options,
    folder_argument,
    format_option,
    json_option,
    place_options,
    settings_options,
    split_column,
)
from orchestrator.indexcli import index
from orchestrator.jobflags import split_options
from orchestrator.readable import to_plain, write_json
from orchestrator.terminal import escape

SECTIONS = {
    "Run": ("plan", "run", "resume", "watch", "attach", "cancel"),
    "Look": ("runs", "show", "decode", "jobs"),
    "Set up": ("index", "new", "doctor", "deploy", "destroy", "completion"),
}


class Sections(click.Group):
    """A group that lists its commands by what they are for."""

    def format_commands(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands under their headings, in the order in which people need them."""
        limit = formatter.width - 6 - max(map(len, self.commands))
        for heading, names in SECTIONS.items():
            with formatter.section(heading):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(limit)) for name in names])


@click.group(cls=Sections, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="aliquot")
def cli() -> None:
    """Run one Python function over a dataset too large for one process, and lose nothing.

    \b
    aliquot plan crossref reactions.rsmi.gz --templates templates.csv         # what it would take
    aliquot run crossref reactions.rsmi.gz --templates templates.csv --out runs/june
    aliquot run my_module:my_function molecules.smi --out runs/july
    aliquot run crossref reactions.rsmi.gz --templates templates.csv --out runs/june --on aws:prod
    aliquot resume runs/june                                                  # after Ctrl-C, or a crash

    Every command has its own help with an example: aliquot run --help, aliquot run crossref --help.
    """


@cli.command(cls=RunCommand)
@dataset_options
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="The run's folder: result and ledger."
)
@settings_options
@click.option(
    "--format",
    type=click.Choice(["parquet", "csv"]),
    default="parquet",
    show_default=True,
    help="Of the result and the tables beside it.",
)
@place_options
@budget_options
@click.option("--anyway", is_flag=True, help="Begin although the plan exceeds the budget.")
@click.option("--quiet", is_flag=True, help="No progress.")
@json_option
def run(out: Path, quiet: bool, as_json: bool, **words: Any) -> None:
    """Run JOB over DATA into the folder --out.

    JOB is a name (see `aliquot jobs`) or MODULE:FUNCTION, a plain function of one record. DATA is files,
    globs, folders, or - for a pipe: .csv .tsv .jsonl .parquet .smi .rsmi .fasta .sdf, also .gz; or an index
    (see `aliquot index`). The same command again goes on where a run was interrupted. `aliquot run JOB
    --help` lists the job's own options.

    With --on aws:STACK the run is done by a stack (see `aliquot deploy`) and goes on when this command is
    interrupted; then `aliquot watch` waits for it. A function of your own travels with --code FOLDER: at most
    50 MiB, without hidden files, virtual environments, folders of runs, the dataset and references.

    \b
    aliquot run crossref reactions.rsmi.gz --templates templates.csv --out runs/june
    aliquot run my_module:my_function molecules.smi --out runs/july --on aws:prod --code .
    """
    made = _make_plan(words)
    budget = {name: words[name] for name in ("budget_usd", "budget_time", "anyway")}
    _finish(made.start(out, **budget), quiet, as_json)


@cli.command(cls=RunCommand, short_help="Say what a run would take: time, memory or dollars.")
@dataset_options
@settings_options
@place_options
@budget_options
@click.option(
    "--what-if",
    metavar="concurrency=N,...",
    help="Set side by side what so many tasks at a time (here: workers) would take.",
)
@json_option
def plan(what_if: str | None, as_json: bool, **words: Any) -> None:
    """Say what running JOB over DATA would take: records, chunks, time, and memory or dollars.

    The dataset is counted and a seeded sample of it is run here on one worker; nothing is written. Of a
    dataset in S3 some 64 MiB are read, and the rest is taken to be like them.

    \b
    aliquot plan crossref reactions.rsmi.gz --templates templates.csv
    aliquot plan crossref reactions.rsmi.gz --templates templates.csv --on aws:prod
    aliquot plan my_module:my_function molecules.smi --on aws:prod --budget-time 10m --budget-usd 5
    aliquot plan my_module:my_function molecules.smi --on aws:prod --what-if concurrency=100,1000,10000
    """
    from orchestrator.whatif import parse_what_if

    wanted = parse_what_if(what_if) if what_if else []
    budget = {name: words[name] for name in ("budget_usd", "budget_time")}
    considered = _make_plan(words).consider(**budget, what_if=wanted)
    click.echo(write_json(considered.to_document()) if as_json else considered)


@cli.command()
@folder_argument
@click.option("--retry", type=click.Choice(["failed"]), help="Try the records that failed once more.")
@click.option("--new-code", is_flag=True, help="Go on although the job's code has changed.")
@settings_options
@budget_options
@format_option
@aws_options
@click.option("--quiet", is_flag=True, help="No progress.")
@json_option
def resume(folder: Path, retry: str | None, new_code: bool, quiet: bool, as_json: bool, **words: Any) -> None:
    """Go on with the run in FOLDER: only what is missing is done.

    \b
    aliquot resume runs/june
    aliquot resume runs/june --retry failed --record-timeout 600
    """
    run = _load_engine().resume(folder, retry_failed=retry is not None, new_code=new_code, **words)
    _finish(run, quiet, as_json)


@cli.command()
@folder_argument
@format_option
@click.option("--html", is_flag=True, help="Write the report FOLDER/report.html again as the run goes.")
@aws_options
@click.option("--quiet", is_flag=True, help="No progress.")
@json_option
def watch(folder: Path, quiet: bool, as_json: bool, **words: Any) -> None:
    """Wait for the run on a stack in FOLDER, and fetch its result.

    With --html its report is rewritten as it goes, every ten seconds or so; then a run on this machine, begun
    in another terminal, is watched as well.

    \b
    aliquot watch runs/june
    aliquot watch runs/june --html
    """
    _finish(_load_engine().watch(folder, **words), quiet, as_json)


@cli.command(short_help="Wait for a run that was begun elsewhere, and fetch it.")
@click.argument("address", metavar="s3://BUCKET/runs/RUN")
@folder_argument
@click.option("--on", metavar="aws:STACK", help="The run's stack.  [default: as the run says]")
@format_option
@aws_options
@click.option("--quiet", is_flag=True, help="No progress.")
@json_option
def attach(address: str, folder: Path, quiet: bool, as_json: bool, **words: Any) -> None:
    """Make FOLDER the folder of a run that was begun elsewhere; wait for it and fetch its result.

    \b
    aliquot attach s3://aliquot-runs/runs/20261122-crossref-4f1d09 runs/june
    """
    _finish(_load_engine().attach(address, folder, **words), quiet, as_json)


@cli.command()
@folder_argument
@aws_options
@json_option
def cancel(folder: Path, as_json: bool, **words: Any) -> None:
    """Stop the run on a stack in FOLDER; what finished is kept.

    \b
    aliquot cancel runs/june
    aliquot cancel runs/june --json
    """
    from orchestrator.readable import write_json

    said = _load_engine().cancel(folder, **words)
    if as_json:
        click.echo(write_json({"format": "aliquot/cancel/1", "folder": str(folder), "said": said}))
    else:
        click.echo(said, err=True)


@cli.command()
@click.argument("job")
def new(job: str) -> None:
    """Make a small project around a job of your own in ./JOB.

    A package with a job that runs, its test, its entry point, and what brings it to a stack: a layer and the
    words for its allow-list. README.md in it has the commands.

    \b
    aliquot new demo
    cd demo
    pip install -e '.[dev]'
    pytest
    aliquot run demo texts/notes.csv --terms texts/terms.txt --out runs/first --max-failed 1
    """
    from importlib.util import find_spec

    from orchestrator.catalog import list_jobs
    from orchestrator.starter.project import check_name, read_files, write_project

    check_name(job, list_jobs(), lambda name: find_spec(name) is not None)
    files = read_files(job)
    write_project(Path(job), files)
    click.echo(
        f"{job}/ holds {len(files)} files. Go on with:\n  cd {job}\n  pip install -e '.[dev]'\n  pytest"
    )


for _command in (*lookcli.COMMANDS, *stackcli.COMMANDS, index):
    cli.add_command(_command)


def _load_engine() -> ModuleType:
    """`orchestrator.api`, which only commands that work with runs wait for."""
    from orchestrator import api
    from orchestrator.without_pandas import leave_pandas_out

    leave_pandas_out()
    return api


def _make_plan(words: dict[str, Any]) -> Any:
    """The plan that the words of `run` or `plan` ask for."""
    options, rest = split_options(words)
    columns = dict(map(split_column, rest["column"]))
    return _load_engine().plan(
        rest["job"],
        list(rest["data"]),
        column=columns,
        keep=rest["keep"],
        workers=rest["workers"],
        record_timeout=rest["record_timeout"] or 60.0,
        memory=rest["memory"],
        max_failed=rest["max_failed"] or "5%",
        format=rest.get("format", "parquet"),
        threads=rest["threads"],
        rate=rest["rate"],
        retries=rest["retries"],
        on=rest.get("on", "local"),
        code=rest.get("code"),
        profile=rest.get("profile"),
        region=rest.get("region"),
        **options,
    )


def _finish(run: Any, quiet: bool, as_json: bool) -> None:
    """Wait for a run's end and say what was delivered; raises what ended it early."""
    from orchestrator.show import describe_end

    ended: AliquotError | None = None
    try:
        run.wait(quiet=quiet)
    except DELIVERED as err:
        ended = err
    if not quiet:
        click.echo(escape(describe_end(run.folder)), err=True)
    if as_json:
        following = _find_next(ended) if ended is not None else ""
        click.echo(write_json(to_plain(document_end(run.folder, ended, following))))
    if ended is not None:
        raise ended


def _find_next(err: Exception) -> str:
    return find_next(err, Typed(sys.argv[1:], cli.commands))


def main() -> None:
    """The entry point: runs a command and turns every expected error into its message and exit code."""
    if sys.platform not in ("linux", "darwin"):
        click.echo(
            f"Aliquot runs on Linux and macOS; this is {sys.platform}. On Windows use WSL 2.", err=True
        )
        sys.exit(EXIT_USAGE)
    from aliquot.processes import return_freed_memory

    # pyarrow's own allocator keeps what it frees: writing 1M rows left 135 MB resident, with the system's 84
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    return_freed_memory()
    try:
        cli.main(prog_name="aliquot", standalone_mode=False)
    except click.exceptions.Abort:
        _leave(EXIT_INTERRUPTED)
    except click.exceptions.NoArgsIsHelpError as err:
        err.show()
        _leave(EXIT_USAGE)
    except (click.ClickException, AliquotError) as err:
        _explain(err)
        _leave(choose_exit(err))


def _explain(err: Exception) -> None:
    """Say what went wrong and what to type next; with --json to scripts too, unless they were told."""
    following = _find_next(err)
    click.echo(escape(describe_error(err, following)), err=True)
    if "--json" in sys.argv[1:] and not isinstance(err, DELIVERED):
        click.echo(write_json(document_error(err, following)))


def _leave(code: int) -> NoReturn:
    """End without waiting for a thread that reads a pipe which gives nothing: Python's own exit would."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
