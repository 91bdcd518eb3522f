"""The commands that make indexes: `aliquot index stock`.

Owns their words and what they say at the end; `orchestrator.cli` adds the group. Heavy imports wait until a
command needs them, as there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from orchestrator.flags import split_column


@click.group()
def index() -> None:
    """Make an index of files once, for jobs to map."""


@index.command()
@click.argument("data", nargs=-1, required=True, metavar="FILES...")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="The file that is to be the stock."
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
def stock(data: tuple[str, ...], out: Path, column: tuple[str, ...], **words: Any) -> None:
    """Make the stock that `retro` looks molecules up in.

    FILES are files, globs, folders, or - for a pipe: .smi .csv .tsv .jsonl .parquet, also .gz. A molecule is
    known by its canonical SMILES; those that do not parse are left out and counted.

    \b
    aliquot index stock building-blocks.smi.gz zinc/*.csv --out stock
    """  # noqa: D301 - the backspace is for click
    from orchestrator.indexing import make_index

    figures = make_index("stock", data, out, dict(map(split_column, column)), **words)
    click.echo(_describe_stock(out, figures))


def _describe_stock(out: Path, figures: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{figures[name]:,} {name}" for name in ("keys", "duplicates", "rejected"))
    lines = [f"{figures['molecules']:,} molecules: {counts}"]
    lines += [f"  {count:,} rejected: {reason}" for reason, count in figures["reasons"].items()]
    parts = "mapped whole" if figures["shards"] == 1 else f"{figures['shards']} shards"
    size_mb = out.stat().st_size / 1e6
    return "\n".join([*lines, f"{out}: {size_mb:,.1f} MB, {parts}, keys' SHA-256 {figures['keys_sha256']}"])
