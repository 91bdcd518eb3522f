"""The commands that make indexes: `aliquot index stock | fingerprints`.

Owns their words and what they say at the end; `orchestrator.cli` adds the group. Heavy imports wait until a
command needs them, as there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from orchestrator.flags import json_option, settings_options, split_column

_SHOWN_REASONS = 10
_OF_THE_FILE = {"sections", "parts"}  # where what lies in it, which is its readers' alone


@click.group()
def index() -> None:
    """Make an index of files once, for jobs to map.

    \b
    aliquot index fingerprints library.smi.gz --out library.index
    aliquot index stock building-blocks.smi.gz --out stock
    """  # noqa: D301 - the backspace is for click


@index.command()
@click.argument("data", nargs=-1, required=True, metavar="FILES...")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="The folder that is to be the stock."
)
@click.option(
    "--column", multiple=True, metavar="smiles=NAME", help="The input column that holds the SMILES."
)
@click.option("--workers", type=click.IntRange(min=1), help="Processes.  [default: the physical cores]")
@click.option(
    "--shards",
    type=click.IntRange(min=1),
    metavar="N",
    help="Divide it, so that `retro` sends each molecule to the worker with its part; a power of two.  "
    "[default: 1, so that each worker maps the whole; more past 134 million molecules]",
)
@json_option
def stock(data: tuple[str, ...], out: Path, column: tuple[str, ...], as_json: bool, **words: Any) -> None:
    """Make the stock that `retro` looks molecules up in.

    FILES are files, globs, folders, or - for a pipe: .smi .csv .tsv .jsonl .parquet, also .gz. A molecule is
    known by its canonical SMILES; those that do not parse are left out and counted.

    \b
    aliquot index stock building-blocks.smi.gz zinc/*.csv --out stock
    """  # noqa: D301 - the backspace is for click
    from orchestrator.indexing import make_index
    from orchestrator.readable import write_json
    from orchestrator.without_pandas import leave_pandas_out

    leave_pandas_out()
    figures = make_index("stock", data, out, dict(map(split_column, column)), **words)
    click.echo(write_json(_document("stock", out, figures)) if as_json else _describe_stock(out, figures))


def _document(kind: str, out: Path, figures: Mapping[str, Any]) -> dict[str, Any]:
    reasons = [{"reason": reason, "count": count} for reason, count in figures["reasons"].items()]
    told = {name: value for name, value in figures.items() if name not in _OF_THE_FILE}
    return {"format": "aliquot/index/1", **told, "kind": kind, "path": str(out), "reasons": reasons}


def _describe_stock(out: Path, figures: Mapping[str, Any]) -> str:
    from orchestrator.estimate import describe_bytes

    counts = ", ".join(f"{figures[name]:,} {name}" for name in ("keys", "duplicates", "rejected"))
    lines = [f"{figures['molecules']:,} molecules: {counts}"]
    lines += [f"  {count:,} rejected: {reason}" for reason, count in figures["reasons"].items()]
    parts = "mapped whole" if figures["shards"] == 1 else f"{figures['shards']} shards"
    size = describe_bytes(sum(each.stat().st_size for each in out.iterdir()))
    return "\n".join([*lines, f"{out}: {size}, {parts}, keys' SHA-256 {figures['keys_sha256']}"])


@index.command()
@click.argument("data", nargs=-1, required=True, metavar="LIBRARY...")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="The file that is to be the index."
)
@click.option(
    "--column", multiple=True, metavar="FIELD=NAME", help="The input column that holds `molecule` or `id`."
)
@click.option("--radius", type=int, default=2, show_default=True, help="Of the Morgan fingerprints.")
@click.option("--bits", type=int, default=2048, show_default=True, help="To which fingerprints are folded.")
@settings_options
@click.option("--quiet", is_flag=True, help="No progress.")
@json_option
def fingerprints(
    data: tuple[str, ...], out: Path, column: tuple[str, ...], as_json: bool, **words: Any
) -> None:
    """Compute the fingerprints of a library once, for `screen` to map.

    LIBRARY is files, globs or folders: .smi .sdf .csv .tsv .jsonl .parquet, also .gz. Molecules that do not
    parse are left out, listed with their reasons in the index, and counted. The same command again goes on
    where it was interrupted; an index that is there is not made again.

    \b
    aliquot index fingerprints library.smi.gz --out library.index
    aliquot run screen library.index --queries queries.smi --top 20 --out runs/hits
    """  # noqa: D301 - the backspace is for click
    from orchestrator.indexrun import make_index_by_run
    from orchestrator.readable import write_json
    from orchestrator.without_pandas import leave_pandas_out

    leave_pandas_out()
    options = {name: words.pop(name) for name in ("radius", "bits")}
    columns = dict(map(split_column, column))
    figures = make_index_by_run("fingerprints", data, out, columns, options, **words)
    click.echo(
        write_json(_document("fingerprints", out, figures))
        if as_json
        else _describe_fingerprints(out, figures)
    )


def _describe_fingerprints(out: Path, figures: Mapping[str, Any]) -> str:
    from orchestrator.estimate import describe_bytes
    from orchestrator.progress import describe_count

    held, rejected = figures["fingerprints"], figures["rejected"]
    lines = [f"{describe_count(held, 'fingerprint')}, {describe_count(rejected, 'record')} rejected"]
    lines += [f"  {count:,} {reason}" for reason, count in list(figures["reasons"].items())[:_SHOWN_REASONS]]
    return "\n".join([*lines, f"{out}: {describe_bytes(out.stat().st_size)}, key {figures['key']}"])
