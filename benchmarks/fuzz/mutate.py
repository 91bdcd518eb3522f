"""Mutations that keep an input readable: one value of its JSON or msgpack becomes an odd one, or goes.

Bytes that are mutated blindly seldom parse; what lies behind the parser is reached by these. Owns the odd
values. Pure: randomness is an argument.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from aliquot.codec import pack, unpack
from aliquot.errors import CodecError
from benchmarks.fuzz.forge import dump_json, join, split

ODD: tuple[Any, ...] = (
    None,
    True,
    0,
    1,
    -1,
    2**31,
    2**63,
    -(2**70),
    10**400,
    0.5,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "0",
    "0-3",
    "../x",
    "a/b",
    "\ud800",
    "\0",
    "x" * 300,
    [],
    [0],
    [[0, 0, 0]],
    [None, None],
    {},
    {"": {}},
)
_LONGEST_ITEM = (1 << 16) - 1


def mutate(body: bytes, n_items: int, chance: random.Random) -> bytes | None:
    """The input with one value of one of its items changed; None where that item is none of those forms.

    Args:
        n_items: that are joined in it; 1 where it is one as a whole.
    """
    items = split(body, n_items) if n_items > 1 else [body]
    place = chance.randrange(len(items))
    for read, write in ((json.loads, dump_json), (unpack, pack)):
        try:
            value = read(items[place])  # type: ignore[operator]
            items[place] = _write(write, _change(value, chance))
        except (CodecError, ValueError, TypeError, RecursionError):
            continue
        return join(*items) if n_items > 1 else items[0]
    return None


def _write(write: Callable[[Any], bytes], value: Any) -> bytes:
    written = write(value)
    if len(written) > _LONGEST_ITEM:
        raise ValueError("too long to be joined")
    return written


def _change(value: Any, chance: random.Random) -> Any:
    """A copy in which something, at any depth, is another."""
    if not isinstance(value, dict | list) or not value or chance.random() < 0.1:
        return chance.choice(ODD) if chance.random() < 0.8 else [value]
    places = list(value) if isinstance(value, dict) else list(range(len(value)))
    place, act = chance.choice(places), chance.random()
    copy = value.copy()
    if act < 0.1:
        del copy[place]
    elif act < 0.15 and isinstance(copy, list):
        copy.insert(place, copy[place])
    elif act < 0.2 and isinstance(copy, dict):
        copy[str(chance.choice(ODD))] = copy[place]
    else:
        copy[place] = _change(copy[place], chance)
    return copy
