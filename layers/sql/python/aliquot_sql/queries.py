"""Queries put to a DuckDB of this process: one SELECT at a time, over Arrow tables and Parquet files.

A database is opened at its first query, behind the fork of its host, and works on one thread: hosts side by
side are what makes a run parallel. A query sees the tables that it is given and nothing else: no file, no
network, no variable of this program; on a stack it runs beside the worker's rights.

Owns these connections. Imports DuckDB, pyarrow and the core's `errors`. When it is wrong, a query reads what
it was not given, or a run begins with one that cannot be planned.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from aliquot.errors import BadOption, BadReference
from aliquot.job import Reference

CHUNK, PARTIAL = "chunk", "partial"


class Database:
    """A DuckDB with tables of its own.

    Args:
        tables: Parquet files by the name of the table that they are.
        flag: the option that its queries are of.
    """

    def __init__(self, tables: Mapping[str, Reference], flag: str) -> None:
        self._tables, self._flag = tables, flag
        self._connection: Any = None

    def ask(self, query: str, **given: pa.Table) -> pa.Table:
        """The rows of a query over the given tables; raises what DuckDB says."""
        if self._connection is None:
            self._connection = connect(self._tables)
        for name, table in given.items():
            self._connection.register(name, table)
        try:
            rows: pa.Table = self._connection.sql(query).to_arrow_table()
        except duckdb.Error as err:
            raise QueryFailed(f"{self._flag}: {_say(err)}") from None
        finally:
            for name in given:
                self._connection.unregister(name)
        return rows


class QueryFailed(Exception):
    """A query that ended in an error on some rows, with what DuckDB says."""


def connect(tables: Mapping[str, Reference]) -> Any:
    """A connection that sees these tables and nothing else; raises BadReference."""
    paths = {name: str(table.path) for name, table in tables.items()}
    # no folder to spill to: queries may read whatever lies in it
    connection = duckdb.connect(config={"threads": 1, "temp_directory": ""})
    connection.execute("SET python_enable_replacements = false")
    for name, path in paths.items():
        quoted, spelt = name.replace('"', '""'), path.replace("'", "''")
        try:
            connection.execute(f"CREATE VIEW \"{quoted}\" AS FROM read_parquet('{spelt}')")
        except duckdb.Error as err:
            raise BadReference(path, f"is no Parquet file that DuckDB reads: {_say(err)}") from err
    connection.execute("SET allowed_paths = $1", [list(paths.values())])
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def plan(query: str, merge: str | None, tables: Mapping[str, Reference], schema: str) -> None:
    """Plan the queries over a dataset of this schema without rows; raises BadOption, BadReference."""
    _refuse_names(tables)
    if not schema:
        said = "are not known before it is cut: begin the run with `aliquot run`, not in the inbox"
        raise BadOption("--query", f"the dataset's columns {said}")
    connection = connect(tables)
    empty = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(schema))).empty_table()
    rows = _plan_one(connection, "--query", query, [CHUNK, *tables], empty)
    if merge is not None:
        _plan_one(connection, "--merge", merge, [PARTIAL, *tables], rows)


def to_bytes(table: pa.Table) -> bytes:
    """A table as an Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def join_bytes(streams: Sequence[bytes]) -> pa.Table:
    """The tables of streams, one behind the other."""
    return pa.concat_tables(
        [pa.ipc.open_stream(each).read_all() for each in streams], promote_options="default"
    )


def _plan_one(connection: Any, flag: str, query: str, names: Sequence[str], empty: pa.Table) -> pa.Table:
    """The rows that a query gives of none: of an empty table of the first name, beside the others."""
    name = names[0]
    try:
        statements = connection.extract_statements(query)
    except duckdb.Error as err:
        raise BadOption(flag, _say(err)) from err
    found = [each.type.name for each in statements]
    if found != ["SELECT"]:
        raise BadOption(flag, f"takes one SELECT over `{name}`, found {' and '.join(found) or 'none'}")
    connection.register(name, empty)
    try:
        rows: pa.Table = connection.sql(query).to_arrow_table()
    except duckdb.Error as err:
        said = _say(err)
        if "Table with name" in said:  # DuckDB suggests a table of its own
            seen = ", ".join(f"`{each}`" for each in names)
            said = f"{said.split(' Did you mean ')[0]} The query sees {seen}"
        raise BadOption(flag, said) from err
    finally:
        connection.unregister(name)
    return rows


def _refuse_names(tables: Mapping[str, Reference]) -> None:
    for name in tables:
        if name.casefold() in (CHUNK, PARTIAL):
            raise BadOption("--table", f"{name!r} is the name of what the query is over: choose another")


def _say(err: Exception) -> str:
    """What DuckDB says, as one line without its drawing of the place."""
    said = str(err).split("\n\nLINE ")[0]
    return " ".join(said.split())
