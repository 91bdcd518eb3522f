"""What a manifest tells of a job gives the tables that the job itself gives."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Annotated, Any, NamedTuple

import pytest

from aliquot.delivery import find_fields
from aliquot.job import Column, Job
from aliquot.loading import describe_function
from aliquot.notes import decoding
from aliquot.told import declare_kinds, make_told, tell


class Read(NamedTuple):
    text: Annotated[str, Column(("t",), "line")]
    name: Annotated[str, Column(("n",), "id")]


class Row(NamedTuple):
    z: int | None
    a: str
    mol: Any
    both: int | str


@pytest.mark.parametrize(
    "job",
    [
        describe_function("plain"),
        replace(describe_function("full"), reads=Read, writes=Row, without_rows="empty"),
    ],
    ids=["plain", "full"],
)
def test_a_told_job_has_the_columns_of_the_job(job: Job) -> None:
    """In their order, though a manifest sorts its maps."""
    told = json.loads(json.dumps(tell(job), sort_keys=True))
    made = make_told(job.name, told)
    assert list(declare_kinds(made).items()) == list(declare_kinds(job).items())
    assert find_fields(made) == find_fields(job)
    assert (made.name, made.without_rows, made.summary) == (job.name, job.without_rows, None)
    assert getattr(made.writes, "_fields", None) == getattr(job.writes, "_fields", None)


def test_a_job_with_a_summary_is_not_told() -> None:
    assert tell(replace(describe_function("summed"), summary=lambda *_: None)) is None  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize(
    "told",
    [
        {},
        [],
        {"reads": [["a"]]},
        {"reads": None, "writes": [["class", []]]},
        {"reads": None, "writes": [["a", ["x"]]]},
    ],
)
def test_a_garbled_form_is_told_of(told: Any) -> None:
    with pytest.raises(Exception, match="garbles"), decoding("manifest.json"):
        make_told("job", told)
