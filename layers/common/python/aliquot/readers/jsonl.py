"""Records of JSON Lines: one object a line, its values of any JSON type.

Owns what a valid line is. Imports its neighbours and the standard library. When it is wrong, one damaged
line ends a run, or two lines become one record.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from aliquot.readers.batch import Batch, list_unclean, make_batch, show_raw
from aliquot.readers.blocks import Block
from aliquot.readers.columns import Wanted
from aliquot.readers.keys import Record, cut_records, refuse_absent, take_columns, take_kept

# Lines are parsed as one array, which takes half as long as one by one, with this number between them. If no
# line holds it, and numbers and objects alternate in what comes out, then every line is one whole object.
SEPARATOR = 720_347_193


def read_jsonl(
    blocks: Iterable[Block], path: str, wanted: Wanted, is_checked: bool = False
) -> Iterator[Batch]:
    """The records of a JSON Lines text, about a batch per block.

    A field is looked up in each record by itself; a record that lacks a required one is at fault.

    Args:
        is_checked: the text's beginning was found to have the wanted columns; the blocks begin behind it.

    Raises:
        DatasetError: a required, chosen or kept column is in none of the first block's records.
    """
    for block in blocks:
        numbers, lines = block.number_records()
        records, reasons = _parse(block, lines)
        is_checked = is_checked or _check(path, records, reasons, wanted)
        for part, keys in cut_records(records, wanted):
            here = {i - part.start: why for i, why in reasons.items() if part.start <= i < part.stop}
            batch = _make_batch(
                records[part], keys, here, numbers[part], lines[part], wanted=wanted, at=block.fraction
            )
            batch.end = block.end if part.stop >= len(records) else None
            yield batch


def check_jsonl(blocks: Iterable[Block], path: str, wanted: Wanted) -> None:
    """Raise DatasetError where `read_jsonl` would for the text's beginning."""
    any(_check(path, *_parse(block, block.number_records()[1]), wanted) for block in blocks)


def _check(path: str, records: list[Record], reasons: dict[int, str], wanted: Wanted) -> bool:
    """Whether there are records to tell the columns by; raises DatasetError where they lack one."""
    if len(reasons) == len(records):
        return False
    refuse_absent(path, [record for i, record in enumerate(records) if i not in reasons], wanted)
    return True


def _make_batch(
    records: list[Record],
    keys: list[str],
    reasons: dict[int, str],
    numbers: list[int],
    lines: list[str],
    *,
    wanted: Wanted,
    at: float | None,
) -> Batch:
    columns, lacking = take_columns(records, keys, wanted)
    return make_batch(
        columns,
        take_kept(records, wanted),
        lines=numbers,
        sizes=list(map(len, lines)),
        bad={index: (why, show_raw(lines[index])) for index, why in (lacking | reasons).items()},
        fraction=at,
        line_field=wanted.line_field,
        get_raw=lines.__getitem__,
    )


def _parse(block: Block, lines: list[str]) -> tuple[list[Record], dict[int, str]]:
    """The records, empty where at fault, and the reasons by index."""
    if block.too_long_bytes:
        return [{}], {0: block.too_long_reason}
    records, reasons = _decode_all(block.text, lines)
    if not block.is_clean:
        reasons |= {index: why for index, (why, _) in list_unclean(lines).items()}
    if "\\ud" in block.text or "\\uD" in block.text:
        for index, record in enumerate(records):
            if not _is_encodable(record):
                reasons.setdefault(index, "holds one half of a surrogate pair, which is no text")
    for index in reasons:
        records[index] = {}
    return records, reasons


def _decode_all(text: str, lines: list[str]) -> tuple[list[Any], dict[int, str]]:
    if str(SEPARATOR) not in text:
        try:
            values = json.loads(f"[{f',{SEPARATOR},'.join(lines)}]")
        except (ValueError, RecursionError):
            return _decode_singly(lines)
        records = values[::2]
        is_alternating = len(records) == len(lines) and values[1::2] == [SEPARATOR] * (len(lines) - 1)
        if is_alternating and set(map(type, records)) <= {dict}:
            return records, {}
    return _decode_singly(lines)


def _decode_singly(lines: list[str]) -> tuple[list[Any], dict[int, str]]:
    values: list[Any] = []
    reasons: dict[int, str] = {}
    for index, line in enumerate(lines):
        try:
            value = json.loads(line)
        except ValueError as err:  # JSONDecodeError, and integers of more digits than Python converts
            value, reasons[index] = {}, f"not JSON: {err}"
        except RecursionError:
            value, reasons[index] = {}, "not readable as JSON: nested too deep"
        if not isinstance(value, dict):
            value, reasons[index] = {}, f"not a JSON object but {type(value).__name__}"
        values.append(value)
    return values, reasons


def _is_encodable(record: Record) -> bool:
    try:
        json.dumps(record, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):
        return False
    return True
