"""What a manifest tells of a job, so that whoever writes its tables need not import it.

    job --tell--> {"reads", "writes", "without_rows"}, in the manifest under `tables`
        --make_told--> a job of which the tables are the same

A reducer has fewer packages than a worker (no RDKit), and of a job without a summary it needs no more than
the columns. They are lists of pairs: a manifest's maps are sorted, and columns have an order.

Owns this form. Imports `job` and `loading`. When it is wrong, a stack's tables have other types than a
laptop's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, NamedTuple, Union, get_args

from aliquot.job import Column, Job, read_fields
from aliquot.loading import describe_function

TABLES = "tables"
_make_type: Any = NamedTuple  # as type checkers know it, of constants alone
_SIMPLE = {kind.__name__: kind for kind in (bool, int, float, str, bytes)}


def declare_kinds(job: Job) -> dict[str, set[str]]:
    """The kinds of value that a job's row type declares, by column: of simple types, empty for others."""
    declared: dict[str, set[str]] = {}
    for spec in read_fields(job.writes) if job.writes else ():
        parts = get_args(spec.type) or (spec.type,)
        declared[spec.name] = {name for name, kind in _SIMPLE.items() if kind in parts}
    return declared


def tell(job: Job) -> dict[str, Any] | None:
    """What its tables need; None of a job with a summary, which runs the job's own code."""
    if job.summary is not None:
        return None
    reads = [[spec.name, spec.column.kind] for spec in read_fields(job.reads)] if job.reads else None
    writes = [[name, sorted(kinds)] for name, kinds in declare_kinds(job).items()] if job.writes else None
    return {"reads": reads, "writes": writes, "without_rows": job.without_rows}


def make_told(name: str, told: Mapping[str, Any]) -> Job:
    """The job as far as tables need it; raises what a garbled form leads to."""
    reads, writes = told["reads"], told["writes"]
    job = describe_function(name)
    if reads is not None:
        fields = [(field, Annotated[str, Column((), kind)]) for field, kind in reads]
        job = replace(job, reads=_make_type("Told", fields))
    if writes is not None:
        columns = [(column, _join(kinds)) for column, kinds in writes]
        job = replace(job, writes=_make_type("Told", columns))
    return replace(job, without_rows=told["without_rows"])


def _join(kinds: list[str]) -> Any:
    return Union[tuple(_SIMPLE[kind] for kind in kinds)] if kinds else Any  # noqa: UP007 - of any number
