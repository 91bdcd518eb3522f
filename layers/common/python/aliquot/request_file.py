"""What a request file `<name>.run.json` says, read strictly: an unknown field is refused by its name.

    {"format": "aliquot/request/1", "job": "crossref", "data": "june/*.rsmi.gz",
     "options": {"templates": "references/templates.csv"}, "budget_usd": 5}

Pure. Owns the fields, their checks and what is said of a wrong one; docs/events.md describes them. Imports
the core's errors, failure limit, `notes` and `spending`. When it is wrong, a file starts another run than it
names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aliquot.errors import AliquotError, BadOption
from aliquot.failure_limit import FailureLimit
from aliquot.notes import is_figure
from aliquot.spending import MOST_TASKS

FORMAT = "aliquot/request/1"
MOST_BYTES = 256 << 10
_SHOWN = 80
_SHA256 = re.compile(r"[0-9a-f]{64}")


class RequestRefused(AliquotError):
    """A request that starts no run: `reason` says what was found at `field`, and what is allowed."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(field, reason)
        self.field, self.reason = field, reason

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}"


@dataclass(frozen=True)
class RunRequest:
    """A request as it was written.

    Args:
        job: a name, or MODULE:FUNCTION within a package.
        data: keys, prefixes and globs of the inbox, and s3:// URLs.
        options: of the job; references as keys of the inbox, or as {"sha256": ...}.
        columns: column by field.
        keep: input columns to carry to the result.
        package: digest of the code, empty where it brings none.
        budget_usd, budget_time_s: ceilings of the whole run; None for no limit.
        record_timeout_s: a record's deadline.
        max_failed: "5%" or "12".
        window: tasks at a time; None for what the stack has.
    """

    job: str
    data: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    keep: tuple[str, ...] = ()
    package: str = ""
    budget_usd: float | None = None
    budget_time_s: float | None = None
    record_timeout_s: float = 60.0
    max_failed: str = "5%"
    window: int | None = None

    @classmethod
    def from_bytes(cls, body: bytes) -> RunRequest:
        """Read a file's content; raises RequestRefused."""
        plain = _read_json(body)
        if plain.get("format") != FORMAT:
            raise RequestRefused("format", f"is {_show(plain.get('format'))}; this release reads {FORMAT!r}")
        unknown = [name for name in plain if name not in _READERS and name != "format"]
        if unknown:
            raise RequestRefused(
                ", ".join(unknown)[:_SHOWN], f"no such field; there are format, {', '.join(_READERS)}"
            )
        missing = [name for name in ("job", "data") if name not in plain]
        if missing:
            raise RequestRefused(missing[0], "is missing: a request names at least format, job and data")
        return cls(**{name: read(name, plain[name]) for name, read in _READERS.items() if name in plain})


def check_size(n_bytes: int) -> None:
    """Raise RequestRefused where a file is too large to be a request."""
    if n_bytes > MOST_BYTES:
        raise RequestRefused("file", f"has {n_bytes:,} bytes; a request has {MOST_BYTES:,} at most")


def _read_json(body: bytes) -> dict[str, Any]:
    """A JSON object in which no name stands twice."""
    check_size(len(body))
    try:
        plain = json.loads(body, object_pairs_hook=_refuse_twice, parse_constant=_refuse_constant)
        json.dumps(plain, ensure_ascii=False).encode()  # half a character, escaped, is no text
    except (ValueError, RecursionError) as err:
        raise RequestRefused("file", f"is not JSON: {err}") from err
    if not isinstance(plain, dict):
        raise RequestRefused("file", f"holds a {_name_type(plain)}; a request is a JSON object")
    return plain


def _refuse_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for place, (name, _) in enumerate(pairs) if name in dict(pairs[:place]))
        raise RequestRefused(twice[:_SHOWN], "stands twice")
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _read_text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise RequestRefused(name, f"is {_show(value)}; it takes a text that is not empty")
    return value


def _read_list(name: str, value: Any) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or not items or not all(isinstance(each, str) and each for each in items):
        raise RequestRefused(name, f"is {_show(value)}; it takes a text, or a list of texts")
    return tuple(items)


def _read_keep(name: str, value: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_read_list(name, value))) if value != [] else ()


def _read_options(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RequestRefused(name, f"is {_show(value)}; it takes an object of options by name")
    return value


def _read_columns(name: str, value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise RequestRefused(name, f"is {_show(value)}; it takes an object of columns by field")
    return value


def _read_package(name: str, value: Any) -> str:
    if not isinstance(value, str) or (value and not _SHA256.fullmatch(value)):
        raise RequestRefused(
            name, f"is {_show(value)}; it takes the SHA-256 of a package, 64 hexadecimal digits"
        )
    return value


def _read_figure(name: str, value: Any) -> float:
    if not is_figure(value) or not value:
        raise RequestRefused(name, f"is {_show(value)}; it takes a number above 0")
    return float(value)


def _read_limit(name: str, value: Any) -> str:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    try:
        FailureLimit.parse(text if isinstance(text, str) else "")
    except BadOption:
        raise RequestRefused(
            name, f'is {_show(value)}; it takes a percentage ("5%") or a count (12)'
        ) from None
    return str(text)


def _read_window(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST_TASKS:
        raise RequestRefused(name, f"is {_show(value)}; it takes a whole number from 1 to {MOST_TASKS:,}")
    return value


_READERS: Mapping[str, Callable[[str, Any], Any]] = {
    "job": _read_text,
    "data": _read_list,
    "options": _read_options,
    "columns": _read_columns,
    "keep": _read_keep,
    "package": _read_package,
    "budget_usd": _read_figure,
    "budget_time_s": _read_figure,
    "record_timeout_s": _read_figure,
    "max_failed": _read_limit,
    "window": _read_window,
}


def _show(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _name_type(value: Any) -> str:
    return {list: "list", str: "text", bool: "truth value", type(None): "null"}.get(type(value), "number")
