"""The path to what cannot be stored, inside a record: `row["mol"].conformer`.

Owns these paths. Imports `registry`. When it is wrong, a user looks at another value than the one at fault.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from aliquot.errors import Unencodable
from aliquot.registry import NotRegistered, find, is_named_tuple

REFUSALS = (TypeError, ValueError, OverflowError, RecursionError, Unencodable, NotRegistered)
_DEEPEST = 16  # steps into a value that a path names


def find_culprit(
    pack: Callable[[Any], bytes], value: Any, path: str, err: BaseException, depth: int = 0
) -> tuple[str, str]:
    """The path to the first thing in `value` that cannot be packed, and what it is.

    Args:
        pack: gives an item's bytes, or raises what `err` is one of.
        err: what packing it raised.
    """
    for child_path, item in _list_children(value, path) if depth < _DEEPEST else ():
        try:
            pack(item)
        except REFUSALS as refused:
            return find_culprit(pack, item, child_path, refused, depth + 1)
    if isinstance(err, Unencodable):
        return path + err.path, err.type_name
    return path, f"{type(value).__name__} ({err})"


def _list_children(value: Any, path: str) -> Iterable[tuple[str, Any]]:
    """The values in a value, each with its path."""
    if isinstance(value, Mapping):
        return ((f"{path}[{_quote(key)}]", item) for key, item in value.items())
    known = find(type(value))
    if known is not None and known.to_bytes is None:
        names = value._fields if is_named_tuple(type(value)) else _list_fields(value)
        return ((f"{path}.{name}", getattr(value, name)) for name in names if hasattr(value, name))
    if known is None and isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
        return ((f"{path}[{place}]", item) for place, item in enumerate(value))
    if isinstance(value, set | frozenset):
        return ((f"{path}{{{item!r}}}", item) for item in value)
    return ()


def _list_fields(value: Any) -> list[str]:
    return [field.name for field in fields(value)] if is_dataclass(value) else []


def _quote(key: Any) -> str:
    return f'"{key}"' if type(key) is str else repr(key)
