"""What a role's policies allow, as far as a rehearsal asks: may this role list this bucket?

Without s3:ListBucket, S3 answers 403 for a key that does not exist, where it would else answer 404.
https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html

Pure. Conditions and Deny count as if they were met. When it is wrong, a handler that waits for a 404 passes
here and fails in AWS.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from typing import Any

Statement = Mapping[str, Any]


def list_statements(documents: Iterable[Mapping[str, Any]]) -> list[Statement]:
    """Give the statements of some policy documents; one that a condition leaves out is None in moto."""
    found: list[Statement] = []
    for document in documents:
        statements = document.get("Statement", [])
        found += filter(None, statements if isinstance(statements, list) else [statements])
    return found


def is_allowed(statements: Iterable[Statement], action: str, resource: str) -> bool:
    """Say whether one statement allows the action on the resource, and none denies it."""
    effects = {
        each.get("Effect")
        for each in statements
        if _matches(each.get("Action"), action.lower(), fold=True)
        and _matches(each.get("Resource"), resource)
    }
    return effects == {"Allow"}


def _matches(patterns: Any, value: str, *, fold: bool = False) -> bool:
    listed = patterns if isinstance(patterns, list) else [patterns]
    return any(
        fnmatch.fnmatchcase(value, each.lower() if fold else each) for each in listed if isinstance(each, str)
    )
