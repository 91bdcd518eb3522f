"""The commands that look: `aliquot show | runs | decode | jobs | completion`.

Owns their words; `orchestrator.cli` adds COMMANDS to its group. Heavy imports wait until a command needs
them, as there.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from orchestrator.flags import aws_options, json_option
from orchestrator.terminal import escape


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@aws_options
@json_option
def show(folder: Path, as_json: bool, **words: Any) -> None:
    """Explain the run in FOLDER: what ran, how far it came, where time went, what failed, what to type next.

    \b
    aliquot show runs/june
    aliquot show runs/june --json
    """  # noqa: D301 - the backspace is for click
    from orchestrator.explain import explain_run
    from orchestrator.readable import to_plain, write_json
    from orchestrator.show import describe_run

    told = explain_run(folder, **words)
    click.echo(write_json(to_plain(told.to_document())) if as_json else escape(describe_run(told)))


@click.command()
def jobs() -> None:
    """List the jobs and their options.

    \b
    aliquot jobs
    """  # noqa: D301 - the backspace is for click
    from orchestrator.show import describe_jobs

    click.echo(describe_jobs())


@click.command()
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


COMMANDS: list[click.Command] = [show, decode, jobs]
