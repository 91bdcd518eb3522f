"""Values of records, rows and notes made fit to be read: as JSON by programs, cut short by people.

    any value of the codec --to_plain--> what JSON has --render--> lines of a width, long ones cut

Owns which JSON stands for what JSON has not, and where lines are cut. Imports the standard library; arrays
are told by what they can do. When it is wrong, a person reads another value than a record has.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

MOST_ITEMS, LONGEST_LINE = 10, 88  # with its indent and what is said of a cut, within 120 columns
_INDENT = 11
_DEEPEST = 100


def to_plain(value: Any, depth: int = 0) -> Any:
    """What JSON has in place of a value: numbers that it lacks as text, bytes as a map with their base64.

    Raises RecursionError where it is nested deeper than can be shown.
    """
    if depth > _DEEPEST:
        raise RecursionError
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {_name_key(key): to_plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item, depth + 1) for item in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return {"base64": base64.b64encode(value).decode()}
    return _replace(value)


def write_json(document: Mapping[str, Any]) -> str:
    """A document as JSON that a terminal may be sent: without characters beyond ASCII."""
    return json.dumps(document, indent=1, allow_nan=False)


def render(document: Mapping[str, Any]) -> tuple[str, bool]:
    """A plain map as lines, a list in as many as it has items, and whether anything was cut."""
    cutter = _Cutter()
    lines = [line for name, value in document.items() for line in cutter.render_field(name, value)]
    return "\n".join(lines), cutter.has_cut


class _Cutter:
    """Cuts, and remembers that it did."""

    def __init__(self) -> None:
        self.has_cut = False

    def render_field(self, name: str, value: Any) -> list[str]:
        """A field's lines, its name before the first."""
        head = f"{name} ".ljust(_INDENT)
        if isinstance(value, list) and any(isinstance(each, list | dict) for each in value):
            return self._list_items(head, [_spell_item(each) for each in value[:MOST_ITEMS]], len(value))
        if isinstance(value, dict) and len(_spell_item(value)) > LONGEST_LINE:
            items = list(value.items())[:MOST_ITEMS]
            return self._list_items(head, [f"{key} {_spell(each)}" for key, each in items], len(value))
        return [head + self.cut(_spell_item(value))]

    def cut(self, text: str) -> str:
        """A line of it; what is cut off is counted."""
        if len(text) <= LONGEST_LINE:
            return text
        self.has_cut = True
        return f"{text[:LONGEST_LINE]}... ({len(text) - LONGEST_LINE:,} more)"

    def _list_items(self, head: str, lines: list[str], n_items: int) -> list[str]:
        if n_items > len(lines):
            self.has_cut = True
            lines = [*lines, f"and {n_items - len(lines):,} more"]
        return [f"{head}{n_items:,}", *(" " * _INDENT + self.cut(line) for line in lines)]


def _spell_item(value: Any) -> str:
    """A map as its names, each with its value; the rest in a line as JSON has it, text without quotes."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_spell(each)}" for name, each in value.items()) or "none"
    return _spell(value) if value != [] else "none"


def _spell(value: Any) -> str:
    if isinstance(value, str):
        return " ".join(value.splitlines()) or '""'
    return json.dumps(value, ensure_ascii=False)


def _name_key(key: Any) -> str:
    return key if isinstance(key, str) else str(to_plain(key))


def _replace(value: Any) -> Any:
    """Arrays and sets as lists, complex numbers as pairs, times and decimals as text."""
    as_list: Callable[[], Any] | None = getattr(value, "tolist", None)
    if as_list is not None:
        plain = as_list()
        return str(value) if type(plain) is type(value) else to_plain(plain)  # long doubles stay themselves
    if isinstance(value, set | frozenset):
        return sorted(map(to_plain, value), key=str)
    if isinstance(value, complex):
        return [to_plain(value.real), to_plain(value.imag)]
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    return str(value)
