"""The commands that look: `aliquot show | runs | decode | jobs | completion`.

Owns their words; `orchestrator.cli` adds COMMANDS to its group. Heavy imports wait until a command needs
them, as there.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import click

from aliquot.errors import BadOption
from orchestrator.completion import SHELLS, complete_folders, write_script
from orchestrator.flags import aws_options, folder_argument, json_option
from orchestrator.terminal import escape


@click.command(short_help="Explain a run: time, failures, what to type next.")
@folder_argument
@click.option("--html", is_flag=True, help="Write the report FOLDER/report.html anew, and say where it is.")
@click.option("--open", "is_opened", is_flag=True, help="With --html: show it in the browser.")
@aws_options
@json_option
def show(folder: Path, html: bool, is_opened: bool, as_json: bool, **words: Any) -> None:
    """Explain the run in FOLDER: what ran, how far it came, where time went, what failed, what to type next.

    Every run writes its report, FOLDER/report.html, at its end; --html writes it as things stand now.

    \b
    aliquot show runs/june
    aliquot show runs/june --json
    aliquot show runs/june --html --open
    """  # noqa: D301 - the backspace is for click
    if html and not as_json:
        _show_page(folder, words, is_opened)
        return
    if html or is_opened:
        raise BadOption(
            *("--html", "is a page: leave out --json") if html else ("--open", "goes with --html")
        )
    from orchestrator.explain import explain_run
    from orchestrator.readable import to_plain, write_json
    from orchestrator.show import describe_run

    told = explain_run(folder, **words)
    click.echo(write_json(to_plain(told.to_document())) if as_json else escape(describe_run(told)))


def _show_page(folder: Path, words: dict[str, Any], is_opened: bool) -> None:
    import webbrowser

    from orchestrator.report.asking import write_now

    path = write_now(folder, **words)
    click.echo(path)
    if is_opened and not webbrowser.open(path.resolve().as_uri()):
        click.echo(f"no browser was found: open {path} in one", err=True)


@click.command(short_help="List the runs of a folder, or of a stack.")
@click.argument("folder", type=click.Path(path_type=Path), required=False, shell_complete=complete_folders)
@click.option("--on", metavar="aws:STACK", help="List the runs of a stack, whoever began them.")
@click.option(
    "--most", type=click.IntRange(min=1), default=50, show_default=True, help="Of a stack's, the newest."
)
@aws_options
@json_option
def runs(
    folder: Path | None, on: str | None, most: int, profile: str | None, region: str | None, as_json: bool
) -> None:
    """List the runs in and below FOLDER (here, where none is named), or those of a stack.

    \b
    aliquot runs
    aliquot runs runs/2026
    aliquot runs --on aws:aliquot --most 10
    """  # noqa: D301 - the backspace is for click
    from orchestrator.aws.folder import refuse_place
    from orchestrator.listing import describe_runs, document_runs, list_runs
    from orchestrator.readable import write_json

    n_more = 0
    if on is None:
        refuse_place(profile, region)
        found = list_runs(folder or Path())
    elif folder is not None:
        raise BadOption("--on", f"lists a stack's runs, and FOLDER {folder} those of this machine: name one")
    else:
        from orchestrator import api

        found, n_more = api.list_stack_runs(on, most, profile, region)
    if as_json:
        click.echo(write_json(document_runs(found, n_more)))
        return
    if not found:
        click.echo("no runs here: `aliquot run ... --out DIR` begins one", err=True)
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    click.echo(describe_runs(found, width))
    more = f"; {n_more:,} older ones: --most {n_more + most}" if n_more else ""
    following = "aliquot show RUN explains one" if on is None else "aliquot attach RUN DIR fetches one"
    click.echo(f"\n{following}{more}", err=True)


@click.command()
@json_option
def jobs(as_json: bool) -> None:
    """List the jobs and their options.

    \b
    aliquot jobs
    aliquot jobs --json
    """  # noqa: D301 - the backspace is for click
    from orchestrator.readable import to_plain, write_json
    from orchestrator.show import describe_jobs, document_jobs

    click.echo(write_json(to_plain(document_jobs())) if as_json else describe_jobs())


@click.command(short_help="Print any object of a run for a person.")
@click.argument("file", type=click.Path(allow_dash=True))
@json_option
def decode(file: str, as_json: bool) -> None:
    """Print any object of a run for a person: FILE, or - for what is piped in.

    Chunks, outcomes, rosters, manifests, stops, markers, published pointers, messages of a queue (base64),
    frames of a host. Nothing of it is executed.

    \b
    aliquot decode runs/june/ledger/chunks/00000000.2000
    aws s3 cp s3://aliquot-runs/runs/RUN/manifest.json - | aliquot decode -
    aliquot decode runs/june/ledger/roster/match/0000.json --json
    """  # noqa: D301 - the backspace is for click
    from orchestrator.decode import decode as read
    from orchestrator.decode import read_object_of, render_object
    from orchestrator.readable import write_json

    document = read(read_object_of(file, sys.stdin.buffer), "standard input" if file == "-" else file)
    click.echo(write_json(document) if as_json else escape(render_object(document)))


@click.command(short_help="Print what completes commands at TAB.")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script by which SHELL completes commands, options, jobs and their options at TAB.

    \b
    echo 'eval "$(aliquot completion bash)"' >> ~/.bashrc       # bash 4.4 or newer
    echo 'eval "$(aliquot completion zsh)"' >> ~/.zshrc
    aliquot completion fish > ~/.config/fish/completions/aliquot.fish
    """  # noqa: D301 - the backspace is for click
    click.echo(write_script(context.find_root().command, shell))


COMMANDS: list[click.Command] = [show, runs, decode, jobs, completion]
