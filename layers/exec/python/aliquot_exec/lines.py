"""Lines to and from unmodified filters: `tr`, `awk`, `jq`. One line in, one line out, for each record.

Filters keep what they write in a buffer until their input ends. So a process gets up to a thousand lines,
then the end of its input, and has to give as many lines. Where it does not, or ends with another status than
0, each half of them gets a process, and so on: the record at fault fails alone.

Owns both forms of a line. Imports `process`. When it is wrong, rows stand at other records than their own.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from aliquot.errors import ParseFailure
from aliquot_exec.fields import pick_fields
from aliquot_exec.process import ProgramFault, filter_bytes, say_end, start
from aliquot_exec.records import refuse

_MOST_LINES = 1000  # of a process: should it hang or be killed, each of its records runs again alone
_LONGEST_SHOWN = 80


class Form(Protocol):
    """How a record is a line, and a line rows."""

    def write(self, record: Mapping[str, Any]) -> str:
        """The line of a record, without its end; raises ParseFailure."""

    def read(self, line: str, record: Mapping[str, Any]) -> Any:
        """The answer that a line is to a record: rows, or a text that says why there are none."""


class JsonLines:
    """A line is an object of the columns; it comes back as an object, a list of them, or null."""

    def write(self, record: Mapping[str, Any]) -> str:
        """Dates as ISO 8601, arrays as lists."""
        try:
            return json.dumps(
                record, ensure_ascii=False, allow_nan=False, default=_plain, separators=(",", ":")
            )
        except (TypeError, ValueError) as err:
            raise ParseFailure(f"cannot be a line of JSON: {err}") from err

    def read(self, line: str, _record: Mapping[str, Any]) -> Any:
        """Text is why the record failed."""
        try:
            return json.loads(line)
        except ValueError as err:
            raise ProgramFault(f"the program wrote a line that is not JSON: {_shorten(line)}") from err


class TsvLines:
    """A line is the values with tabs between them; an empty one gives no row.

    Args:
        columns: what the values that come back are called; as those that went in where none are named.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = columns

    def write(self, record: Mapping[str, Any]) -> str:
        """Nothing for null."""
        values = ["" if value is None else str(_plain_text(value)) for value in record.values()]
        if any(mark in value for value in values for mark in "\t\n\r"):
            raise ParseFailure("has a tab or a line's end in a value: --lines json can hold it")
        return "\t".join(values)

    def read(self, line: str, record: Mapping[str, Any]) -> Any:
        """Text values, None for empty ones."""
        if not line:
            return None
        names, values = self._columns or list(record), line.split("\t")
        if len(values) != len(names):
            raise ProgramFault(
                f"the program wrote {len(values)} values for the columns {', '.join(names)}: {_shorten(line)}"
            )
        return {name: value or None for name, value in zip(names, values, strict=True)}


def find_form(name: str, columns: Sequence[str]) -> Form:
    """The form of `--lines`."""
    return TsvLines(columns) if name == "tsv" else JsonLines()


class Filter:
    """Records through a process for up to a thousand of them.

    Args:
        fields: columns that the program gets, all where none are named.
    """

    def __init__(self, words: Sequence[str], form: Form, fields: Sequence[str]) -> None:
        self._words, self._form, self._fields = words, form, fields

    def __call__(self, records: Iterable[Any]) -> Iterator[Any]:
        """Answers, in order."""
        waiting: list[Mapping[str, Any]] = []
        for record in records:
            waiting.append(pick_fields(record, self._fields))
            if len(waiting) == _MOST_LINES:
                yield from self._answer(waiting)
                waiting = []
        if waiting:
            yield from self._answer(waiting)

    def _answer(self, records: Sequence[Mapping[str, Any]]) -> Iterator[Any]:
        texts = [self._try_write(record) for record in records]
        sent = [text for text in texts if isinstance(text, bytes)]
        lines = iter(self._find_faults(sent) if sent else ())
        for record, text in zip(records, texts, strict=True):
            if isinstance(text, bytes):
                yield _read(self._form, next(lines), record)
            else:
                yield refuse(str(text))

    def _try_write(self, record: Mapping[str, Any]) -> bytes | ParseFailure:
        try:
            return self._form.write(record).encode() + b"\n"
        except UnicodeEncodeError as err:
            return ParseFailure(f"cannot be a line of UTF-8: {err}")
        except ParseFailure as err:
            return err

    def _find_faults(self, lines: list[bytes]) -> list[bytes | ProgramFault]:
        """A line for each, or why there is none. What fails together is halved, down to who is at fault."""
        try:
            return list(self._filter(lines))
        except ProgramFault as err:
            if len(lines) == 1:
                return [err]
        half = len(lines) // 2
        return self._find_faults(lines[:half]) + self._find_faults(lines[half:])

    def _filter(self, lines: list[bytes]) -> list[bytes]:
        """A line for each; raises ProgramFault."""
        process = start(self._words)
        wrote = filter_bytes(process, b"".join(lines), len(lines))
        if process.returncode:
            raise ProgramFault(f"the program {say_end(process.returncode)}")
        got = wrote.removesuffix(b"\n").split(b"\n") if wrote else []
        if len(got) != len(lines):
            raise ProgramFault(f"the program wrote {len(got)} lines for {len(lines)}")
        return got


def _read(form: Form, line: bytes | ProgramFault, record: Mapping[str, Any]) -> Any:
    """The answer in a line. What is wrong with it is raised when its rows are read, and fails it alone."""
    if isinstance(line, ProgramFault):
        return _fail(line)
    try:
        answer = form.read(line.decode(), record)
    except UnicodeDecodeError as err:
        return _fail(ProgramFault(f"the program wrote a line that is not UTF-8: {err}"))
    except ProgramFault as err:
        return _fail(err)
    return refuse(answer) if isinstance(answer, str) else answer


def _fail(err: Exception) -> Iterator[Any]:
    raise err
    yield  # which makes it a generator


def _plain(value: Any) -> Any:
    """What JSON has for a value that it has not; raises TypeError."""
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a value of type {type(value).__name__}")


def _plain_text(value: Any) -> Any:
    """What stands for a value in TSV; raises ParseFailure."""
    if isinstance(value, str | int | float):
        return value
    try:
        return str(_plain(value))
    except TypeError as err:
        raise ParseFailure(f"cannot be a line of TSV: {err}") from err


def _shorten(line: str) -> str:
    return repr(line if len(line) <= _LONGEST_SHOWN else f"{line[:_LONGEST_SHOWN]}...")
