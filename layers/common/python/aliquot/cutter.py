"""A dataset that lies in buckets, cut into a run's chunks by many invocations at once.

    plan    which stretches of the objects are to be counted
    count   (many at once) the records, lines and chunks of some stretches
    number  every part's first record, line and chunk; or a list of what has to be counted another way
    cut     (many at once) the chunks of some parts, put
    seal    everything is there: the run is sealed

A step answers {"epoch", "next", "parts_key"}: which items to hand out, which step follows; `count` and `cut`
answer {"again"}: whether the same item has to be handed out once more, since the invocation's time was over.
Each may be called twice, or killed and called again: decisions are put once, chunks and counts come out the
same. A dataset that cannot be cut (an object has changed, a column is missing) stops the run with the reason.

Under the run's prefix: `cut/plan-<round>.json`, `cut/counts/`, `cut/streams/` (counted half way),
`cut/numbers.json`, `cut/done/`, and the lists of items: `cut/count-<round>.json` and `cut/parts.json`.

Owns these objects. What opens an object of the dataset is an argument. Imports the core only. When it is
wrong, a run is sealed without all of its records, or never.
"""

from __future__ import annotations

import json
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, astuple
from functools import cached_property
from typing import Any, TypeVar

from aliquot.counting import SourceCutter, refuse_other_count
from aliquot.cutting import encode_chunk
from aliquot.envelope import is_count, is_texts
from aliquot.errors import AlreadyPut, DatasetError, Undecodable
from aliquot.job import Column, read_fields
from aliquot.keys import MANIFEST
from aliquot.ledger import Ledger
from aliquot.notes import check_event, check_fields, decoding, is_epoch, is_span, read_note
from aliquot.ranges import (
    PART_BYTES,
    Counted,
    Part,
    Stretch,
    group_items,
    list_streamed,
    number_parts,
    plan_stretches,
)
from aliquot.readers import Limits, Source
from aliquot.readers.columns import Wanted
from aliquot.readers.objects import is_object
from aliquot.readers.sources import FORMATS
from aliquot.readers.streams import Opener

Item = TypeVar("Item")

REFUSED = "dataset refused"  # why an epoch ended
NUMBERS = "cut/numbers.json"
_ROOM_S = 60.0  # kept of an invocation's time: what is at hand is finished, and its object put
_READERS = 10  # as many connections as a client of boto3 keeps
ITEMS = ("count", "cut")  # the steps that take parts
_STEPS = ("plan", "number", "seal", *ITEMS)
_ROUNDS = 2  # ranges, then streams of what cannot be cut in ranges


def describe_reads(reads: type | None) -> dict[str, Any] | None:
    """What a job reads of a dataset, as it stands in a manifest under `reads`; None for all columns.

    It travels with the run, so that whoever cuts needs no job.
    """
    if reads is None:
        return None
    specs = read_fields(reads)
    return {
        "columns": {spec.name: asdict(spec.column) for spec in specs},
        "optional": [spec.name for spec in specs if not spec.is_required],
    }


def _read_wanted(manifest: Mapping[str, Any]) -> Wanted:
    reads, identity = manifest["reads"], manifest["identity"]
    columns = (reads or {}).get("columns", {})
    fields = {name: Column(tuple(each["names"]), each["kind"]) for name, each in columns.items()} or None
    optional = frozenset((reads or {}).get("optional", ()))
    return Wanted(fields, tuple(identity["keep"]), dict(identity["columns"]), optional)


class Cutter:
    """Cuts the dataset of one run.

    Args:
        ledger: the run's.
        run: its id; part of every item.
        prefix: the bucket's keys under which the ledger lies; part of every `parts_key`.
        opener: gives an object of the dataset.
        part_bytes: about how much text makes a part.
        now: seconds.
    """

    def __init__(
        self,
        ledger: Ledger,
        run: str,
        prefix: str,
        opener: Opener,
        *,
        part_bytes: int = PART_BYTES,
        limits: Limits | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger, self._store, self._run, self._prefix = ledger, ledger.store, run, prefix
        self._opener, self._part_bytes, self._limits = opener, part_bytes, limits or Limits()
        self._now, self._until = now, 0.0
        self._at: tuple[int, SourceCutter] | None = None
        self.n_items = 0  # that were handed out

    def take(self, event: Mapping[str, Any], remaining_s: float) -> dict[str, Any]:
        """One step.

        Args:
            event: {"run", "step", "epoch"}; of an item also "parts", half-open; of `count` "round".
            remaining_s: of the invocation.
        Raises:
            StoreError: the step is to be tried again.
        """
        self._until = self._now() + remaining_s - _ROOM_S
        step = event["step"]
        epoch = self._ledger.epoch if event.get("epoch") is None else event["epoch"]
        is_item = step in ITEMS
        if not self._ledger.is_stopped(epoch):
            try:
                return self._count(event) if step == "count" else self._take(step, event, epoch)
            except DatasetError as err:
                self._ledger.stop(epoch, REFUSED, {"message": str(err)})
        return {"again": False} if is_item else _answer(epoch, "done")

    def _take(self, step: str, event: Mapping[str, Any], epoch: int) -> dict[str, Any]:
        if step == "plan":
            return self._plan(epoch)
        if step == "number":
            return self._number(epoch)
        if step == "seal":
            return self._seal(epoch)
        return self._cut(event)

    # -------------------------------------------------------------------------------------- counting

    def _plan(self, epoch: int) -> dict[str, Any]:
        if self._ledger.is_sealed:
            return _answer(epoch, "done")
        for source in self._sources:
            if not is_object(source.path) or source.etag is None or source.size_bytes is None:
                raise DatasetError(source.path, "is no object that was pinned by its ETag: submit it again")
        self._decide(_name_plan(0), {"part_bytes": self._part_bytes, "streamed": []})
        return self._hand_out_counts(epoch, 0)

    def _hand_out_counts(self, epoch: int, number: int) -> dict[str, Any]:
        """Items of what a round has to count: the first all, neighbours together, the second what it adds."""
        stretches, plan = self._read_plan(number)
        if number:
            spans = [(i, i + 1) for i, each in enumerate(stretches) if each.source in plan["streamed"]]
        else:
            sizes = [0 if each.kind == "rows" else each.end - each.begin for each in stretches]
            spans = group_items(sizes, plan["part_bytes"])
        items = [{"step": "count", "round": number, "parts": span} for span in spans]
        return _answer(epoch, "number", self._put_items(f"cut/count-{number}.json", epoch, items))

    def _count(self, event: Mapping[str, Any]) -> dict[str, Any]:
        stretches, _ = self._read_plan(event.get("round") or 0)
        begin, end = event["parts"]
        for stretch in _choose(stretches, begin, end):
            if self._store.has(_name_count(stretch)):
                continue
            if self._must_stop() or not self._count_one(stretch):
                return {"again": True}
        return {"again": False}

    def _count_one(self, stretch: Stretch) -> bool:
        """Count a stretch, a stream from where it was left; gives whether it is counted to its end."""
        key = _name_count(stretch)
        left = key.replace("counts", "streams")
        so_far = self._read_count(left) if self._store.has(left) else None
        counted, is_whole = self._cutter(stretch.source).count(stretch, so_far, self._must_stop)
        if is_whole:
            self._decide(key, counted.to_plain())
        else:
            self._store.put(left, _to_json(counted.to_plain()))
        return is_whole

    def _number(self, epoch: int) -> dict[str, Any]:
        last = max((number for number in range(_ROUNDS) if self._store.has(_name_plan(number))), default=0)
        stretches, plan = self._read_plan(last)
        names = [_name_count(each) for each in stretches]
        if not set(names) <= set(self._store.list_keys("cut/counts/")):
            return self._hand_out_counts(epoch, last)
        with ThreadPoolExecutor(_READERS) as readers:
            counted = list(readers.map(self._read_count, names))
        if streamed := list_streamed(stretches, counted):
            self._decide(_name_plan(last + 1), {**plan, "streamed": sorted(streamed)})
            return self._hand_out_counts(epoch, last + 1)
        parts = number_parts(stretches, counted)
        if not parts:
            raise DatasetError(", ".join(each.path for each in self._sources[:3]), "holds no records")
        self._decide(NUMBERS, {"parts": [astuple(part) for part in parts]})
        sizes = [_estimate_bytes(part, self._sources[part.source], plan["part_bytes"]) for part in parts]
        items = [{"step": "cut", "parts": span} for span in group_items(sizes, plan["part_bytes"])]
        return _answer(epoch, "seal", self._put_items("cut/parts.json", epoch, items))

    # --------------------------------------------------------------------------------------- cutting

    def _cut(self, event: Mapping[str, Any]) -> dict[str, Any]:
        parts = self._read_parts()
        begin, end = event["parts"]
        for index, part in enumerate(_choose(parts, begin, end), begin):
            if not self._cut_one(index, part):
                return {"again": True}
        return {"again": False}

    def _cut_one(self, index: int, part: Part) -> bool:
        """Put a part's chunks from where it was left; gives whether all are there."""
        key = f"cut/done/{index:08d}.json"
        left = self._read(key) if self._store.has(key) else {"chunks": 0}
        if left.get("is_whole"):
            return True
        check_fields(key, left, chunks=is_count)
        n_chunks = n_records = 0
        for cut in self._cutter(part.source).cut(part):
            n_chunks, n_records = n_chunks + 1, n_records + cut.id.n_records
            if n_chunks <= left["chunks"]:
                _refuse_endless(self._sources[part.source], is_over=self._must_stop())
                continue
            if n_chunks > part.n_chunks:
                break
            self._ledger.put_chunk(cut.id, encode_chunk(cut.chunk))
            if self._must_stop():
                self._store.put(key, _to_json({"chunks": n_chunks, "is_whole": False}))
                return False
        refuse_other_count(self._sources[part.source], part, n_records, n_chunks)
        self._store.put(key, _to_json({"chunks": n_chunks, "is_whole": True}))
        return True

    def _seal(self, epoch: int) -> dict[str, Any]:
        chunks, parts = self._ledger.list_chunks(), self._read_parts()
        n_records = [0] * len(parts)
        starts = [part.seq for part in parts]
        for chunk in chunks:
            n_records[bisect_right(starts, chunk.seq) - 1] += chunk.n_records
        n_torn = sum(part.n_records != found for part, found in zip(parts, n_records, strict=True))
        if n_torn:
            raise DatasetError("dataset", f"of its {len(parts):,} parts {n_torn:,} are not there whole")
        self._ledger.seal(len(chunks), sum(n_records))
        return _answer(epoch, "done")

    # --------------------------------------------------------------------------------------- objects

    @cached_property
    def _manifest(self) -> dict[str, Any]:
        manifest = self._ledger.read_manifest()
        if manifest is None:
            raise Undecodable("item", f"names the run {self._run!r}, which is not there")
        return manifest

    @cached_property
    def _sources(self) -> list[Source]:
        with decoding(MANIFEST):
            sources = [Source(**source) for source in self._manifest["identity"]["sources"]]
            if not all(map(_is_source, sources)):
                raise ValueError("sources are paths, sizes and ETags")
            return sources

    @cached_property
    def _planned_bytes(self) -> int:
        """About how much text makes a part, as the run was planned."""
        return self._read_plan(0)[1]["part_bytes"]  # type: ignore[no-any-return]

    def _cutter(self, source: int) -> SourceCutter:
        """What counts and cuts a source, kept for the next part of the same one."""
        if self._at is None or self._at[0] != source:
            with decoding(MANIFEST):
                found, wanted = self._sources[source], _read_wanted(self._manifest)
            cutter = SourceCutter(source, found, wanted, self._opener, self._limits, self._planned_bytes)
            self._at = (source, cutter)
        return self._at[1]

    def _must_stop(self) -> bool:
        return self._now() >= self._until

    def _read_plan(self, number: int) -> tuple[tuple[Stretch, ...], dict[str, Any]]:
        plan = self._read(_name_plan(number))
        with decoding(_name_plan(number)):
            if not (
                is_count(plan["part_bytes"]) and plan["part_bytes"] and all(map(is_count, plan["streamed"]))
            ):
                raise ValueError("sizes and sources are whole numbers")
            return plan_stretches(self._sources, plan["part_bytes"], plan["streamed"]), plan

    def _read_parts(self) -> list[Part]:
        with decoding(NUMBERS):
            parts = [Part.of(values) for values in self._read(NUMBERS)["parts"]]
        self._check_parts(NUMBERS, parts)
        return parts

    def _read(self, key: str) -> dict[str, Any]:
        return read_note(key, self._store.get(key))

    def _read_count(self, key: str) -> Counted:
        with decoding(key):
            counted = Counted.from_plain(self._read(key))
        self._check_parts(key, counted.parts)
        return counted

    def _check_parts(self, key: str, parts: Sequence[Part]) -> None:
        """Raise Undecodable where parts are of a source that the dataset has not."""
        if not all(part.source < len(self._sources) for part in parts):
            raise Undecodable(key, f"has parts of more than the {len(self._sources)} sources of the dataset")

    def _decide(self, key: str, value: Mapping[str, Any]) -> None:
        """Put once: what was put first counts, and is the same but for what two callers saw of the clock."""
        try:
            self._store.put_once(key, _to_json(value))
        except AlreadyPut:
            return

    def _put_items(self, key: str, epoch: int, items: Sequence[Mapping[str, Any]]) -> str:
        """Put a list of what to hand out; gives its key in the bucket."""
        self.n_items += len(items)
        self._store.put(key, _to_json([{"run": self._run, "epoch": epoch, **item} for item in items]))
        return self._prefix + key


def check_step(event: Mapping[str, Any]) -> None:
    """Raise Undecodable where an event asks for no step, or for what cannot be of one."""
    check_event(event, step=lambda step: step in _STEPS, epoch=lambda epoch: epoch is None or is_epoch(epoch))
    if event["step"] in ITEMS:
        check_event(event, parts=is_span, round=lambda number: number is None or number in range(_ROUNDS))


def _choose(items: Sequence[Item], begin: int, end: int) -> Sequence[Item]:
    """Those that an event asks for; raises Undecodable where there are fewer."""
    if end > len(items):
        raise Undecodable("event", f"asks for parts up to {end} of {len(items)}")
    return items[begin:end]


def _is_source(source: Source) -> bool:
    texts = is_texts([source.path, source.format, source.etag or ""])
    return texts and source.format in FORMATS.values() and is_count(source.size_bytes or 0)


def _refuse_endless(source: Source, *, is_over: bool) -> None:
    """Raise DatasetError where an invocation's time is over before it is where the last one ended."""
    if is_over:
        raise DatasetError(source.path, "takes longer to read to one place than a function may run: split it")


def _answer(epoch: int, following: str, parts_key: str = "") -> dict[str, Any]:
    return {"epoch": epoch, "next": following, "parts_key": parts_key}


def _name_count(stretch: Stretch) -> str:
    return f"cut/counts/{stretch.source:08d}-{stretch.kind}-{stretch.begin}.json"


def _name_plan(number: int) -> str:
    return f"cut/plan-{number}.json"


def _estimate_bytes(part: Part, source: Source, most: int) -> int:
    """About the size of a part; of a Parquet file's, which is told in rows, at most the file's."""
    return min(most, source.size_bytes or 0) if source.format == "parquet" else part.end - part.begin


def _to_json(value: Any) -> bytes:
    return json.dumps(value).encode()
