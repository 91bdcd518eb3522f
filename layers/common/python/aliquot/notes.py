"""JSON that handlers and sessions leave for each other, and events of the state machine: read, or refused.

    a marker, a note, a pointer --read_note--> a JSON object --check_fields--> its fields are as wanted
    the same, where what it holds is made of it at once: within `decoding`
    an event --check_event--> its fields are what the handler may be asked for

Whatever is not as it should be is one error, Undecodable, with the object's name. Owns these checks. Imports
`envelope`, `errors` and `keys`. When it is wrong, a damaged note ends a handler with an error that names
nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from sys import float_info
from typing import Any

from aliquot.envelope import is_count
from aliquot.errors import Undecodable
from aliquot.keys import is_name

_MOST_EPOCHS = 10**9  # the key of an epoch's end has nine digits
_HALF = re.compile(r"[\ud800-\udfff]")  # of a character, which JSON may spell and nothing can write


def read_note(key: str, body: bytes) -> dict[str, Any]:
    """A JSON object; raises Undecodable."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as err:
        raise Undecodable(key, str(err)) from err
    if not isinstance(value, dict):
        raise Undecodable(key, f"is a {type(value).__name__}, not an object")
    return value


@contextmanager
def decoding(what: str) -> Iterator[None]:
    """Raise Undecodable where what was read lacks a field, or has one of another kind."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as err:
        raise Undecodable(what, f"lacks or garbles a field ({type(err).__name__}: {err})") from err


def check_fields(what: str, found: Mapping[str, Any], /, **wanted: Callable[[Any], bool]) -> None:
    """Raise Undecodable unless an object's fields are as wanted; absent ones are None."""
    for name, is_sound in wanted.items():
        if not is_sound(found.get(name)):
            raise Undecodable(what, f"lacks or garbles {name!r}")


def check_event(event: Any, /, **wanted: Callable[[Any], bool]) -> None:
    """Raise Undecodable unless an event is a JSON object whose fields are as wanted; absent ones are None."""
    if not isinstance(event, Mapping):
        raise Undecodable("event", f"is a {type(event).__name__}, not an object")
    check_fields("event", event, **wanted)


def is_text(value: Any) -> bool:
    """Whether a value is a text that can be written."""
    return isinstance(value, str) and not _HALF.search(value)


def is_epoch(value: Any) -> bool:
    """Whether an epoch can have this number."""
    return is_count(value) and value < _MOST_EPOCHS


def is_span(value: Any) -> bool:
    """Whether these are the first of some items and where they end."""
    return (
        isinstance(value, list | tuple)
        and len(value) == 2
        and all(map(is_count, value))
        and value[0] <= value[1]
    )


def is_figure(value: Any) -> bool:
    """Whether a value is a finite number from 0 on (seconds, dollars): JSON has NaN, and endless integers."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= float_info.max


def tell_run(event: Any, field: str = "run") -> str:
    """The run that an event names, for a log; empty where it names none, since it may then be any text."""
    name = event.get(field) if isinstance(event, Mapping) else None
    return str(name) if is_name(name) else ""
