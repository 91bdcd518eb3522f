"""`aliquot decode`: whatever it is given, and chunks and outcomes whose checksums fit.

Owns this target. Imports `orchestrator.decode`, and the seeds of the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from aliquot.errors import Undecodable
from aliquot.frames import pack_frame
from aliquot.keys import ChunkId
from aliquot.message import TaskMessage
from aliquot.spans import SpanSet
from benchmarks.fuzz.forge import forge, split
from benchmarks.fuzz.objects import BLOCK, OBJECTS
from benchmarks.fuzz.targets import Target, as_it_is
from orchestrator.decode import decode, render_object
from orchestrator.readable import write_json

_PARTS = (("column:id", "kept:k", "bad"), ("block:0", "block:2", "failures"))


def _ask(body: bytes) -> None:
    header, *plains = split(body, 4)
    for names in _PARTS:
        with suppress(Undecodable):
            _show(forge(header, names, plains))
    _show(body)


def _show(body: bytes) -> None:
    document = decode(body, "chunks/00000000.3")
    write_json(document)
    render_object(document)


def _seed() -> Iterator[bytes]:
    for target in OBJECTS:
        if target.name in ("chunk", "outcome"):
            yield from target.seeds()
    part = BLOCK.pack()
    yield pack_frame({"op": "answer", "block": [part.stored, part.crc, part.plain_bytes]})
    yield TaskMessage("june", "work", ChunkId(0, 9), SpanSet.range(2, 5)).to_text().encode()
    yield b'{"format": "aliquot/roster/1", "chunks": [["00000000.3", [], "0-3"]]}'
    yield b'{"Records": [{"body": ""}]}'


DECODING = (
    Target(
        "decode", as_it_is(_ask), _seed, (Undecodable,), ("format", "Records", "body", "block"), n_items=4
    ),
)
