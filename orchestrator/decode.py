"""Any object of a run, told by its bytes and its name, as a document that people and programs read.

    ALQT...           -> a chunk, or an outcome        {...}          -> manifest, roster, stop, pointer, ...
    base64            -> a task's message              lengths, maps  -> frames between supervisor and host
    nothing at all    -> a marker: its name says what there is to say

Whatever it is given it reads without executing any of it, or raises Undecodable. Owns which object is which.
Imports the core's forms of bytes. When it is wrong, whoever looks for a fault is sent astray.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path, PurePath
from typing import Any, BinaryIO

from aliquot.chunk import ChunkReader
from aliquot.codec import unpack
from aliquot.envelope import MAGIC, Envelope, Part
from aliquot.errors import DatasetError, Undecodable
from aliquot.keys import CHUNKS, OUTCOMES, TOMBSTONE, VOIDS, ChunkId, OutcomeKey, PaidKey, parse_stop
from aliquot.message import TaskMessage
from aliquot.outcome import OutcomeReader
from aliquot.roster import FORMAT as ROSTER
from aliquot.roster import Roster
from aliquot.rows import Block
from orchestrator.readable import render, to_plain

FORMAT = "aliquot/decode/1"
MOST_BYTES = 1 << 28  # of a file, and of what it unpacks to: what a run writes has some MiB
_EXCHANGED = ("fates", "run", "compacted", "index")  # what lies between two legs
_LENGTH = struct.Struct(">I")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]+={0,2}")
_WANTED = "a chunk, an outcome, a roster, a manifest, a stop, a message, a published pointer or frames"


def decode(body: bytes, name: str) -> dict[str, Any]:
    """What an object is (`type`), what its name says (`key`), and what it holds (`content`).

    Args:
        name: its path or key, as far as known; what it says is checked against the bytes.
    Raises:
        Undecodable: it is none of a run's objects, or damaged.
    """
    try:
        _check_size(len(body))
        kind, content = _read(body, name)
        return {"format": FORMAT, "type": kind, "key": _read_key(name), "content": to_plain(content)}
    except Undecodable as err:
        raise Undecodable(name, f"{err.what}: {err.reason}") from err
    except (RecursionError, MemoryError) as err:
        raise Undecodable(name, "is nested deeper, or larger, than can be shown") from err


def _read(body: bytes, name: str) -> tuple[str, Any]:
    if not body:
        return "marker", {}
    if body.startswith(MAGIC):
        return _read_envelope(body, name)
    text = body.strip()
    if text[:1] in (b"{", b"["):
        return _read_json(text)
    if _BASE64.fullmatch(text):
        return "message", _read_message(text.decode())
    if body.startswith(b"PAR1"):
        raise Undecodable("file", "it is Parquet, which pyarrow, pandas, polars, DuckDB and R read")
    return "frames", list(_read_frames(body))


def _read_envelope(body: bytes, name: str) -> tuple[str, Any]:
    readers = {"chunk": _read_chunk, "outcome": _read_outcome, **dict.fromkeys(_EXCHANGED, _read_header)}
    for kind, read in readers.items():
        try:
            envelope = Envelope.from_bytes(body, kind)
        except Undecodable as err:
            refused = err
            continue
        _check_size(sum(part.plain_bytes for part in envelope.parts.values()))
        return kind, read(body, envelope, name)
    raise refused


def _read_header(_: bytes, envelope: Envelope, __: str) -> dict[str, Any]:
    """Of what exchanges leave: what its header says, and how large its parts are."""
    sizes = {name: part.plain_bytes for name, part in envelope.parts.items()}
    said = {name: value for name, value in envelope.header.items() if name not in ("type", "parts")}
    return {**said, "part_bytes": sizes}


def _read_chunk(body: bytes, envelope: Envelope, name: str) -> dict[str, Any]:
    known = _find_key(name, lambda key: ChunkId.parse(key) if key.startswith(CHUNKS) else None)
    chunk = known or ChunkId(0, envelope.read("records", int, lambda n: 0 <= n <= MOST_BYTES))
    reader = ChunkReader(body, chunk)
    columns = {name: reader.column(name) for name in reader.column_names}
    kept = {name: reader.kept(name) for name in reader.kept_kinds}
    bad = {str(index): asdict(row) for index, row in reader.bad().items()}
    n_records = chunk.n_records if columns or kept else 0
    return {
        "n_records": chunk.n_records,
        "first": reader.first,
        "columns": reader.column_names,
        "kept": reader.kept_kinds,
        "provenance": [dict(zip(("index", "source", "line"), run, strict=True)) for run in reader.provenance],
        "records": [_take(columns, place) | _take(kept, place) for place in range(n_records)],
        "bad": bad,
    }


def _read_outcome(body: bytes, _: Envelope, __: str) -> dict[str, Any]:
    reader = OutcomeReader(body)
    return {
        "n_rows": reader.n_rows,
        "failed": str(reader.failed),
        "cpu_ms": reader.cpu_ms,
        "retries": reader.n_retries,
        "peak_mib": reader.peak_mib,
        "kinds": reader.kinds,
        "records": [answer for block in reader.blocks(0, 1 << 48) for answer in _list_answers(block)],
        "failures": [asdict(failure) for failure in reader.failures()],
    }


def _list_answers(block: Block) -> Iterator[dict[str, Any]]:
    """Each record's rows; rows without a column are counted only, since nothing bounds how many are said."""
    at = 0
    for place, count in enumerate(block.counts):
        answer: dict[str, Any] = {"record": block.first + place}
        rows = range(at, at + count)
        answer["rows"] = [_take(block.columns, row) for row in rows] if block.columns else count
        if block.notes and block.notes[place] is not None:
            answer["note"] = block.notes[place]
        yield answer
        at += count


def _read_json(text: bytes) -> tuple[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as err:
        raise Undecodable("JSON", str(err)) from err
    if not isinstance(value, dict):
        return "list", value
    kind = _name_note(value)
    if kind == "roster":
        value = _read_roster(Roster.from_json(text))
    if kind == "event" and isinstance(value["Records"], list):
        value["messages"] = [_read_message(each["body"]) for each in value["Records"] if _has_body(each)]
    return kind, value


def _name_note(value: Mapping[str, Any]) -> str:
    """Which of a run's JSON objects this is: by its format, else by its fields."""
    by_format = {"aliquot/run/1": "manifest", "aliquot/cloud/1": "address", ROSTER: "roster"}
    said = value.get("format")
    if isinstance(said, str) and said in by_format:
        return by_format[said]
    for kind, wanted in _FIELDS.items():
        if wanted <= value.keys():
            return kind
    return "note"


_FIELDS = {
    "published": {"epoch", "prefix", "files"},
    "event": {"Records"},
    "stop": {"reason"},
    "summary": {"records", "done", "failed"},
    "sealed": {"chunks", "records"},
    "invoice": {"currency", "total"},
}


def _read_roster(roster: Roster) -> dict[str, Any]:
    chunks = [
        {
            "chunk": str(chunk),
            "shares": [{"records": str(each.spans), "outcome": str(each.outcome)} for each in shares],
            "not_tried": str(roster.not_tried.get(chunk, "")),
        }
        for chunk, shares in roster.shares.items()
    ]
    return {"format": ROSTER, "chunks": chunks}


def _read_message(text: str) -> dict[str, Any]:
    message = TaskMessage.from_text(text)
    source = None if message.source is None else str(message.source)
    return {**_shallow(message), "chunk": str(message.chunk), "spans": str(message.spans), "source": source}


def _has_body(record: Any) -> bool:
    return isinstance(record, dict) and isinstance(record.get("body"), str)


def _read_frames(body: bytes) -> Iterator[dict[str, Any]]:
    at = 0
    while at < len(body):
        head = body[at : at + _LENGTH.size]
        length = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else 0
        end = at + _LENGTH.size + length
        if not 0 < length <= len(body) - at - _LENGTH.size:
            found = f"it begins with {body[:8]!r}" if not at else f"at byte {at:,} no frame begins"
            raise Undecodable("object", f"{found}; decode reads {_WANTED}")
        frame = unpack(body[at + _LENGTH.size : end], f"frame at byte {at:,}")
        if not isinstance(frame, dict):
            raise Undecodable(f"frame at byte {at:,}", f"is a {type(frame).__name__}, not a map")
        yield _open_frame(frame)
        at = end


def _open_frame(frame: dict[str, Any]) -> dict[str, Any]:
    """A frame with the chunk, or the rows, that it carries packed."""
    carried, block = frame.get("body"), frame.get("block")
    if isinstance(carried, bytes) and carried.startswith(MAGIC):
        return {**frame, "body": _read_envelope(carried, f"{CHUNKS}{frame.get('chunk')}")[1]}
    if isinstance(block, list) and [type(each) for each in block] == [bytes, int, int]:
        _check_size(block[2])
        return {**frame, "block": list(_list_answers(Block.unpack(Part(*block))))}
    return frame


def read_object_of(path: str, stdin: BinaryIO) -> bytes:
    """The bytes of a file, or of standard input where it is -; raises DatasetError."""
    if path == "-":
        return stdin.read(MOST_BYTES + 1)
    try:
        with Path(path).open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except IsADirectoryError as err:
        raise DatasetError(path, "is a folder; `aliquot show` reads a run's") from err
    except OSError as err:
        raise DatasetError(path, (err.strerror or str(err)).lower()) from err


def render_object(document: Mapping[str, Any]) -> str:
    """The same for a person: long lists and lines cut, with a note where that was done."""
    content = document["content"]
    said = content if isinstance(content, dict) else {"items": content}
    text, has_cut = render({"type": document["type"], **(document["key"] or {}), **said})
    return f"{text}\n\nlong values are cut; --json prints all" if has_cut else text


def _read_key(name: str) -> dict[str, Any] | None:
    """What an object's name says; None where it says nothing of a run."""
    said: dict[str, Any] | None = _find_key(name, _parse_key)
    return said


def _parse_key(key: str) -> dict[str, Any] | None:
    if key.startswith(CHUNKS):
        return {"kind": "chunk", **asdict(ChunkId.parse(key))}
    if key.startswith((OUTCOMES, VOIDS)):
        outcome = OutcomeKey.parse(key.removeprefix(VOIDS))
        kind = "void" if key.startswith(VOIDS) else "tombstone" if outcome.rung == TOMBSTONE else "outcome"
        said = {**_shallow(outcome), "chunk": str(outcome.chunk), "spans": str(outcome.spans)}
        return {"kind": kind, **said}
    if key.startswith("paid/"):
        return {**_shallow(PaidKey.parse(key)), "of": PaidKey.parse(key).kind, "kind": "paid"}
    if key.startswith("stop/"):
        return {"kind": "stop", "epoch": parse_stop(key)}
    match = re.fullmatch(r"(redelivered|open_failed/\d{4,9})/([a-z]+)-[0-9a-f]{32}", key)
    return {"kind": match[1].partition("/")[0], "of": match[2]} if match else None


def _find_key(name: str, parse: Callable[[str], Any]) -> Any:
    """What the longest end of a path says that is a key; None where none is."""
    parts = PurePath(name).parts
    for place in range(len(parts)):
        try:
            said = parse("/".join(parts[place:]))
        except ValueError:
            continue
        if said is not None:
            return said
    return None


def _take(columns: Mapping[str, Any], place: int) -> dict[str, Any]:
    return {name: values[place] for name, values in columns.items()}


def _shallow(item: Any) -> dict[str, Any]:
    return {name: getattr(item, name) for name in item.__dataclass_fields__}


def _check_size(n_bytes: int) -> None:
    if n_bytes > MOST_BYTES:
        raise Undecodable("object", f"is {n_bytes:,} bytes; decode reads up to {MOST_BYTES:,}")
