"""What the world is told of a run that was published: the detail of an event "Run published".

Keys, counts and dollars, never a record; docs/events.md describes it for those who write rules. It is read
off what was published, so that telling twice tells the same. Owns the detail's fields. Imports the failure
limit and the results' store. When it is wrong, a chain of runs starts on a result that is not whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aliquot.aws import S3Store
from aliquot.envelope import is_count
from aliquot.failure_limit import FailureLimit
from aliquot.ledger import SETTLED
from aliquot.notes import check_fields, is_figure, is_text, read_note
from aliquot.reducer import PUBLISHED

FORMAT = "aliquot/event/1"
COUNTS = ("records", "done", "failed", "not_tried", "rows")


def describe_published(
    run: str, epoch: int, stack: str, manifest: Mapping[str, Any], results: S3Store, address: str
) -> dict[str, Any]:
    """The detail of a run's event.

    Args:
        results: what is under `results/<run>/`.
        address: its URL, ending in a slash.
    Raises:
        StoreError: nothing was published in this epoch.
        Undecodable: what was published is damaged.
    """
    key = f"{PUBLISHED}{epoch:04d}.json"
    pointer = _read(results, key, reason=is_text, prefix=is_text)
    prefix = pointer["prefix"]
    summary = _read(results, f"{prefix}summary.json", **dict.fromkeys(COUNTS, is_count))
    invoice = _read(results, f"{prefix}invoice.json", total=is_figure)
    limit = FailureLimit.parse(manifest["settings"]["max_failed"])
    is_within = limit.allows(summary["failed"], summary["done"] + summary["failed"])
    return {
        "format": FORMAT,
        "stack": stack,
        "run": run,
        "epoch": epoch,
        "job": manifest["job"],
        "request": manifest.get("request", ""),
        "reason": pointer["reason"],
        "ok": pointer["reason"] == SETTLED and is_within,
        "counts": {name: summary[name] for name in COUNTS},
        "cost_usd": invoice["total"],
        "result": {"prefix": f"{address}{prefix}", "rows": f"{address}{prefix}result/"},
    }


def _read(results: S3Store, key: str, **wanted: Callable[[Any], bool]) -> dict[str, Any]:
    """A note of the results; raises Undecodable where a field is not as wanted."""
    note = read_note(key, results.get(key))
    check_fields(key, note, **wanted)
    return note
