"""The types of which values are stored under a name: those that users register, and what comes with Aliquot.

    aliquot.register(Grid, "acme.grid", to_bytes=Grid.dump, from_bytes=Grid.load)   # any type: two functions
    aliquot.register(Pose, "acme.pose")           # dataclass, NamedTuple, enum: its fields, its member's name

What is read becomes a type that is registered here, and no other: nothing is imported because bytes name it.
A family that comes with Aliquot is registered when the first value of its package is met.

Owns this list of types. Imports the standard library alone, because jobs import it. When it is wrong, a value
is read as another type than it was written as.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from importlib import import_module
from typing import Any, get_args, get_type_hints

LONGEST_NAME = 200
_HOMES = {"rdkit": "aliquot_chem.binaries"}  # by the package of a type, and the first word of its name


@dataclass(frozen=True)
class Known:
    """A registered type.

    Args:
        version: of what is written; read are this one and those in `older`.
        to_bytes, from_bytes: None where fields, or a member's name, are stored.
        older: readers of earlier versions: of bytes, or of a map of fields; of an enum of a member's name.
    """

    kind: type
    name: str
    version: int
    to_bytes: Callable[[Any], bytes] | None
    from_bytes: Callable[[bytes], Any] | None
    older: Mapping[int, Callable[[Any], Any]]


class NotRegistered(LookupError):
    """A name or version under which nothing can be read here; its text says what to do."""


_by_kind: dict[type, Known] = {}
_by_name: dict[str, Known] = {}


def register(
    kind: type,
    name: str,
    *,
    version: int = 1,
    to_bytes: Callable[[Any], bytes] | None = None,
    from_bytes: Callable[[bytes], Any] | None = None,
    older: Mapping[int, Callable[[Any], Any]] | None = None,
) -> None:
    """Have values of exactly this type stored in rows, under `name`, and read as this type again.

    Call it where the job's module is imported: every process that reads such values imports that. Without
    `to_bytes` the type is a dataclass, of which all fields are stored and set again without running its
    `__init__`, a NamedTuple, or an enum.

    Args:
        name: what stands in the bytes; keep it when the type moves. `rdkit.` begins Aliquot's own.
        version: 1 to 255, raised when the form of the bytes changes.
        to_bytes: raises ValueError or TypeError where a value cannot be stored, or `Unencodable` with the
            path to the part that cannot, from the value on (`.conformer`).
        from_bytes: gives the value; what it raises makes the bytes unreadable. They may be damaged, or
            anybody's: check what you read, and execute nothing of it.
        older: by version, functions that read what earlier versions of the type wrote: bytes, or a map of
            fields, or a member's name.

    Raises:
        ValueError, TypeError: the name is taken or is none, or the type needs the two functions.
    """
    if not (name.isprintable() and 0 < len(name) <= LONGEST_NAME):
        raise ValueError(f"{name!r} cannot name a type: give 1 to {LONGEST_NAME} printable characters")
    if not (type(version) is int and 1 <= version <= 255):
        raise ValueError(f"type {name!r} has version {version!r}; it is a whole number from 1 to 255")
    if (to_bytes is None) != (from_bytes is None):
        raise TypeError(f"type {name!r} needs both to_bytes and from_bytes")
    if to_bytes is None and not is_plain_form(kind):
        raise TypeError(f"type {name!r} is no dataclass, NamedTuple or enum: give to_bytes and from_bytes")
    for taken in (_by_name.get(name), _by_kind.get(kind)):
        if taken is not None and (taken.name != name or _name(taken.kind) != _name(kind)):
            raise ValueError(
                f"{_name(kind)} cannot be registered as {name!r}: {_name(taken.kind)} is as {taken.name!r}"
            )
    if name in _by_name:
        _by_kind.pop(_by_name[name].kind, None)  # the module was imported again, the type made anew
    known = Known(kind, name, version, to_bytes, from_bytes, dict(older or {}))
    _by_kind[kind] = _by_name[name] = known


def is_plain_form(kind: type) -> bool:
    """Whether this is a type whose values are their fields, or a member's name."""
    return is_named_tuple(kind) or is_dataclass(kind) or issubclass(kind, enum.Enum)


def is_named_tuple(kind: type) -> bool:
    """Whether this is a NamedTuple's type."""
    return issubclass(kind, tuple) and hasattr(kind, "_fields")


def declare(record: type | None) -> None:
    """Register the dataclasses, NamedTuples and enums that a row's type names in its annotations.

    They are known by module and name. What was registered by hand keeps its name, and enums of text and
    numbers stay what tables can hold: text and numbers.
    """
    for kind in _list_declared(record, set()) if record is not None else ():
        if kind not in _by_kind and not issubclass(kind, str | int | float):
            register(kind, _name(kind))


def find(kind: type) -> Known | None:
    """How values of a type are stored; None where it is not registered."""
    known = _by_kind.get(kind)
    if known is None and _load_home(kind.__module__):
        known = _by_kind.get(kind)
    return known


def find_reader(name: str, version: int) -> tuple[Known, Callable[[Any], Any] | None]:
    """The type of a name, and what reads an older version; None for the one that is written today.

    Raises NotRegistered.
    """
    if name not in _by_name:
        _load_home(name)
    known = _by_name.get(name)
    if known is None:
        raise NotRegistered(
            f"a value of type {name!r}, which is not registered in this process: "
            "import the module that calls aliquot.register for it"
        )
    if version == known.version:
        return known, None
    if version in known.older:
        return known, known.older[version]
    read = ", ".join(str(each) for each in sorted([known.version, *known.older]))
    raise NotRegistered(f"a value of type {name!r} in version {version}; this release reads {read}")


def is_current(name: str, version: int) -> bool:
    """Whether values of this version are read by no function of a user's; raises NotRegistered."""
    known, older = find_reader(name, version)
    return known.from_bytes is None and older is None


def _load_home(name: str) -> bool:
    """Register the family of a type's package, which is there where its values were made."""
    home = _HOMES.get(name.partition(".")[0])
    if home is None or home in sys.modules:
        return home is not None
    try:
        import_module(home)
    except ModuleNotFoundError as err:
        raise NotRegistered(
            f"a value of type {name!r}, for which {err.name!r} is not installed here"
        ) from err
    return True


def _list_declared(kind: Any, seen: set[Any]) -> Iterator[type]:
    """The types beneath a type's annotations, not itself."""
    try:
        hints = get_type_hints(kind)
    except (NameError, TypeError):  # a name that is not there at run time: nothing is declared by it
        return
    waiting = list(hints.values())
    while waiting:
        each = waiting.pop()
        waiting += get_args(each)
        if isinstance(each, type) and each not in seen and is_plain_form(each):
            seen.add(each)
            yield each
            if not issubclass(each, enum.Enum):
                yield from _list_declared(each, seen)


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
