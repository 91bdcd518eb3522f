"""Whether too many records of a run failed: what both backends raise once a run's files are in its folder.

Owns this judgement and the failure that it quotes. Imports the core's failure limit, and `results` for the
table of failures. When it is wrong, a run beyond its limit ends well, or the two backends end it differently.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aliquot.errors import TooManyFailed
from aliquot.failure_limit import FailureLimit
from orchestrator.results import list_failures


def judge(folder: Path, summary: Mapping[str, Any], limit: FailureLimit) -> None:
    """Raise TooManyFailed where more failed than was allowed; what finished is in the folder."""
    if not limit.allows(summary["failed"], summary["done"] + summary["failed"]):
        raise too_many(folder, summary, limit, is_stopped=False)


def too_many(
    folder: Path, summary: Mapping[str, Any], limit: FailureLimit, *, is_stopped: bool
) -> TooManyFailed:
    """The error of a run with too many failures, with the first of those in its folder.

    Args:
        is_stopped: the run was given up for it, before its end.
    """
    example = next((str(row.get("message", "")) for row in list_failures(folder, 1)), "")
    tried = summary["done"] + summary["failed"]
    return TooManyFailed(summary["failed"], tried, str(limit), is_stopped, example)
