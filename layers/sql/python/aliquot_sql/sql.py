"""The job `sql`: a query over each chunk of a dataset, and one over all that these gave.

    chunk, an Arrow table, and each --table   --query-->  rows: the result, in order of chunks
                                with --merge: rows --exchange--> `partial` --merge--> the result

Owns the job's declaration and its stages. Imports `queries` and the core's `job`. When it is wrong, a result
is not what one DuckDB says of the same data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from aliquot.errors import JobError
from aliquot.job import Column, Group, Job, Reference, Stage, Stages

_ALL = 0  # the key of all partial rows: there is one group


@dataclass(frozen=True)
class Options:
    """What is asked."""

    query: Annotated[str, "SELECT over `chunk`, the records of one chunk"]
    merge: Annotated[str | None, "SELECT over `partial`, the rows that the query gave of all chunks"] = None
    table: Annotated[
        dict[str, Reference] | None, "a Parquet file as a table beside `chunk`; may be given again"
    ] = field(default=None)
    types: Annotated[
        str | None,
        Column(("types",), "types"),
        "types of columns of text, COLUMN=TYPE with commas, * for the others: "
        "integer, double, text, boolean, date, timestamp, decimal(DIGITS,PLACES)",
    ] = None
    schema: Annotated[str, Column(("schema",), "schema")] = ""


class Partial(NamedTuple):
    """The rows of one chunk on their way to the merge: an Arrow stream."""

    all: int
    rows: bytes


def prepare(options: Options, _folder: Path) -> None:
    """Plan both queries over no rows, so that what is wrong with them is told before the run."""
    try:
        from aliquot_sql.queries import plan
    except ModuleNotFoundError as err:
        raise JobError(
            "sql", f"needs {err.name}, which is not installed: pip install 'aliquot[sql]'"
        ) from err
    plan(options.query, options.merge, options.table or {}, options.schema)


def open_query(options: Options, _prepared: Path) -> Callable[[Any], Any]:
    """The query, as a function from a chunk's table to its rows; with a merge, to one row that holds them."""
    from aliquot_sql.queries import Database, to_bytes

    database = Database(options.table or {}, "--query")

    def answer(chunk: Any) -> Any:
        rows = database.ask(options.query, chunk=chunk)
        return rows if options.merge is None else [Partial(_ALL, to_bytes(rows))]

    return answer


def open_merge(options: Options, _prepared: Path) -> Callable[[Iterable[Group]], Iterator[Any]]:
    """The second query, as a function from the group of all partial rows to the result."""
    from aliquot_sql.queries import Database, join_bytes

    database = Database(options.table or {}, "--merge")

    def answer(groups: Iterable[Group]) -> Iterator[Any]:
        for group in groups:
            yield database.ask(options.merge or "", partial=join_bytes([row.rows for row in group.rows]))

    return answer


def list_stages(options: Options) -> Stages:
    """One stage, or two with a merge."""
    query = Stage("query", open_query, whole=True)
    if options.merge is None:
        return (query,)
    partial = Stage("query", open_query, whole=True, writes=Partial)
    return (partial, Stage("merge", open_merge, exchange="all"))


job = Job(
    "sql",
    version=1,
    options=Options,
    stages=list_stages,
    prepare=prepare,
    example='sales.parquet --query "SELECT max(price) AS dearest FROM chunk"',
    needs=("duckdb", "pyarrow"),
)
