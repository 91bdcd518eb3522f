"""How a command ends: its exit code, and what an error or a run's end says to people and to scripts.

Owns exit codes and the documents of `--json` (docs/json.md). The command to type next is `advice`'s. Imports
the tree of errors. When it is wrong, scripts take a failure for a success.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from aliquot.errors import AliquotError, BudgetReached, Detached, Interrupted, Stopped, TooManyFailed
from orchestrator.results import find_table, read_invoice, read_object

EXIT_USAGE, EXIT_FAILED, EXIT_STOPPED, EXIT_INTERRUPTED = 2, 3, 4, 130
DELIVERED = (BudgetReached, Stopped, TooManyFailed)  # raised by a run's end: what finished is in its folder


def choose_exit(err: Exception) -> int:
    """The exit code of an error."""
    if isinstance(err, TooManyFailed):
        return EXIT_FAILED
    if isinstance(err, BudgetReached | Stopped):
        return EXIT_STOPPED
    return EXIT_INTERRUPTED if isinstance(err, Detached | Interrupted) else EXIT_USAGE


def tell_error(err: Exception) -> str:
    """What an error says, without advice."""
    return err.format_message() if isinstance(err, click.ClickException) else str(err)


def describe_error(err: Exception, following: str) -> str:
    """An error for people: what it says, and a line with the command to type, unless it ends in that."""
    said = f"aliquot: {tell_error(err)}"
    return said if said.rstrip("`.").endswith(following) else f"{said}\nnext: {following}"


def document_error(err: Exception, following: str) -> dict[str, Any]:
    """An error for scripts: the document of a command that gives no other."""
    return {"format": "aliquot/error/1", **_put_error(err, following)}


def document_end(folder: Path, err: AliquotError | None, following: str) -> dict[str, Any]:
    """What a run delivered, for scripts; raises StoreError where it is damaged.

    Args:
        err: one of DELIVERED that ended it; None where it finished.
    """
    state = "finished" if err is None else "too many failed" if isinstance(err, TooManyFailed) else "stopped"
    files = {name: find_table(folder, name) for name in ("failures", "not_tried")}
    return {
        "format": "aliquot/end/1",
        "folder": str(folder),
        "state": state,
        "result": str(folder / "result"),
        **{name: None if path is None else str(path) for name, path in files.items()},
        "summary": read_object(folder / "summary.json"),
        "invoice": read_invoice(folder),
        **_put_error(err, following),
    }


def _put_error(err: Exception | None, following: str) -> dict[str, Any]:
    if err is None:
        return {"error": None, "exit_code": 0}
    said = {"type": type(err).__name__, "message": tell_error(err), "next": following}
    return {"error": said, "exit_code": choose_exit(err)}
