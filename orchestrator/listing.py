"""The runs below a folder, or in a stack, as lines and as a document.

    folders that hold `ledger/manifest.json` or `cloud.json` --list_runs--> Listed, newest first
    Listed --describe_runs--> a table    --document_runs--> docs/json.md

A stack is not asked how a folder's run stands: `aliquot show` does. Owns where runs are looked for. Imports
`explain` and the two backends' folders; `aws.runs` lists a stack's. When it is wrong, a run is forgotten.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aliquot.errors import AliquotError, DatasetError
from orchestrator.aws.folder import CLOUD, find_address
from orchestrator.explain import State, find_local_state
from orchestrator.local.folder import LEDGER, RunFolder, find_worker
from orchestrator.progress import describe_usd
from orchestrator.request import check_frozen
from orchestrator.results import read_invoice, read_summary
from orchestrator.terminal import escape

FORMAT = "aliquot/runs/1"
_DEEPEST = 5  # folders below the one that is looked through
_COLUMNS = ("run", "state", "records", "failed", "cost", "begun", "job")


@dataclass(frozen=True)
class Listed:
    """One run.

    Args:
        run: its folder, or its address in a bucket.
        place: "local", "rehearsal" or "aws:STACK".
        state: as `explain.State`, "unreadable" where it is damaged, or "begun" on a stack that was not asked.
        said: the state in words.
        records, failed, cost_usd: as far as they are known here.
    """

    run: str
    place: str
    state: str
    said: str
    job: str = ""
    begun: str = ""
    records: int | None = None
    failed: int | None = None
    cost_usd: float | None = None


def list_runs(root: Path) -> list[Listed]:
    """The runs in and below a folder, newest first; raises DatasetError where there is no such folder."""
    if not root.is_dir():
        raise DatasetError(str(root), "is not a folder: name one that holds runs")
    return sort_runs([_describe(folder) for folder in find_folders(root)])


def sort_runs(found: list[Listed]) -> list[Listed]:
    """The newest first."""
    return sorted(found, key=lambda each: (each.begun, each.run), reverse=True)


def find_folders(root: Path, depth: int = 0) -> Iterator[Path]:
    """The folders that hold a run; nothing below one of them is looked at, nor what is hidden or a link."""
    if (root / CLOUD).is_file() or (root / LEDGER / "manifest.json").is_file():
        yield root
        return
    if depth == _DEEPEST:
        return
    try:
        below = sorted(each.name for each in os.scandir(root) if each.is_dir(follow_symlinks=False))
    except OSError:  # not ours to read
        return
    for name in below:
        if not name.startswith("."):
            yield from find_folders(root / name, depth + 1)


def _describe(folder: Path) -> Listed:
    try:
        address = find_address(folder)
        ledger = RunFolder(folder).ledger
        manifest = address.manifest if address is not None else ledger.read_manifest() or {}
        check_frozen(manifest, folder)
        summary = read_summary(folder)
        if address is None:
            place, state = "local", find_local_state(folder, ledger, manifest, find_worker(folder))
        else:
            place, state = address.on, _guess_state(summary)
        return Listed(
            str(folder),
            place,
            state.word,
            state.said,
            manifest["job"],
            manifest["created"],
            summary["records"] if summary else state.n_records,
            summary["failed"] if summary else None,
            read_invoice(folder)["total"] if summary else None,
        )
    except AliquotError as err:
        return Listed(str(folder), "", "unreadable", str(err))


def _guess_state(summary: Mapping[str, Any] | None) -> State:
    """Of a run on a stack, without asking it."""
    if summary is None:
        return State("begun", "not fetched yet: aliquot show asks its stack")
    return State("stopped" if summary["not_tried"] else "finished", "fetched")


def describe_runs(found: Sequence[Listed], width: int | None = None) -> str:
    """A table of runs, fit for a terminal; lines are cut to `width` columns where one would wrap them."""
    rows = [_COLUMNS, *map(_list_cells, found)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(_COLUMNS))]
    is_number = ("records", "failed", "cost")
    lines = [
        "  ".join(
            cell.rjust(width) if name in is_number else cell.ljust(width)
            for name, cell, width in zip(_COLUMNS, row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]
    is_wide = [width is not None and len(line) > width for line in lines]
    return "\n".join(
        f"{line[: (width or 1) - 1]}…" if cut else line for line, cut in zip(lines, is_wide, strict=True)
    )


def _list_cells(run: Listed) -> tuple[str, ...]:
    def count(number: int | None) -> str:
        return "" if number is None else f"{number:,}"

    cost = describe_usd(run.cost_usd) if run.cost_usd else ""
    begun = run.begun[:16].replace("T", " ")
    job = run.job or run.said
    cells = run.run, run.state, count(run.records), count(run.failed), cost, begun, job
    return tuple(escape(" ".join(cell.splitlines())) for cell in cells)


def document_runs(found: Sequence[Listed], n_more: int = 0) -> dict[str, Any]:
    """The same for scripts; `n_more` were left out."""
    return {"format": FORMAT, "runs": [asdict(each) for each in found], "n_more": n_more}
