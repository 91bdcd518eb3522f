"""References among a request's options, in plain form: one as an option's value, or several by name.

    {"templates": {"path": ..., "sha256": ...}, "table": {"names": {"path": ..., "sha256": ...}}}

Pure. Imports the standard library alone. When it is wrong, a run goes without a file that its job maps, or
two runs with other files pass for one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any


def is_reference(value: Any) -> bool:
    """Whether an option's value is one reference."""
    return isinstance(value, Mapping) and isinstance(value.get("sha256"), str)


def walk_references(options: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The references of all options, each with its option's name, or `option.name` of several."""
    for option, value in options.items():
        if is_reference(value):
            yield option, value
        elif isinstance(value, Mapping):
            yield from ((f"{option}.{name}", each) for name, each in value.items() if is_reference(each))


def map_references(value: Any, change: Callable[[Mapping[str, Any]], Any]) -> Any:
    """An option's value with each of its references changed; another value as it is."""
    if is_reference(value):
        return change(value)
    if isinstance(value, Mapping):
        return {name: map_references(each, change) for name, each in value.items()}
    return value
