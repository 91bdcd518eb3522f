"""Checks that may be refused: a warning then, and the others go on.

Owns that rule. Imports the core's errors. When it is wrong, who may not look for drift learns nothing else
either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from aliquot.errors import UsageError
from orchestrator.stack.findings import Finding


def try_check(subject: str, check: Callable[..., Finding], *arguments: Any) -> Finding:
    """The check's finding, a warning where AWS or this machine does not let us make it."""
    try:
        return check(*arguments)
    except UsageError as err:
        return Finding("warn", subject, f"not checked: {err}")


def try_each(subject: str, check: Callable[..., Iterable[Finding]], *arguments: Any) -> Iterator[Finding]:
    """The check's findings, ended by a warning where AWS or this machine does not let us go on."""
    try:
        yield from check(*arguments)
    except UsageError as err:
        yield Finding("warn", subject, f"not checked: {err}")
