"""A settled stage merged in parts: groups of its roster side by side, then one publication of them all.

    roster --begin--> groups --reduce (each)--> tables in results/, a note of figures, columns and summary
      --publish--> the groups' columns agree? no: again, with the columns of all frozen
                   yes: what is of all records, then `published/<epoch>.json`, which readers follow

A group's tables are typed by the kinds of value in that group; where the whole result needs other types,
those groups are written once more. Every step may be repeated. Owns the objects under `merge/<epoch>/` of a
run and under `results/<run>/`. Imports `delivery` (and with it pyarrow) where tables are written. When it is
wrong, readers see parts of a result, or parts of two.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aliquot.crossing import SettledLeg
from aliquot.envelope import is_count, is_texts
from aliquot.errors import AlreadyPut
from aliquot.fates import Fates, gather_legs
from aliquot.keys import is_leg
from aliquot.ledger import Ledger
from aliquot.notes import check_fields, decoding, is_epoch, read_note
from aliquot.roster import Roster, split_roster

if TYPE_CHECKING:
    from aliquot.aws import S3Store
    from aliquot.delivery import Subject
    from aliquot.figures import Columns, Figures
    from aliquot.job import Summary
    from aliquot.stages import Leg

OUTCOMES_PER_GROUP = 256  # some 100 MB of rows and a minute of work
PUBLISHED = "published/"
_ENDING = "parquet"


@dataclass(frozen=True)
class _Group:
    """What a group noted of itself; one of records has no columns."""

    columns: Columns | None
    written: Columns | None
    figures: Figures
    summary: Any
    files: Sequence[dict[str, Any]]
    wall_ms: int


class Reducer:
    """Merges one epoch of a run.

    Args:
        results: what is under `results/<run>/`.
    """

    def __init__(self, run: str, epoch: int, ledger: Ledger, results: S3Store) -> None:
        self._run, self._epoch, self._ledger, self._results = run, epoch, ledger, results
        self._prefix = f"result-{epoch:04d}/"

    def begin(self, settled: Sequence[SettledLeg], n_legs: int) -> str:
        """Put the groups to be merged, and the list of them; gives the list's key in the run's ledger.

        Of a run with exchanges: groups of the last leg for the rows, then of the first for the records.

        Args:
            settled: the legs that were reached, of `n_legs`.
        Raises:
            UnreadableOutcome: an outcome is damaged.
        """
        rosters, leg = [settled[0][2]], settled[-1][1].prefix
        if n_legs > 1:
            fates = gather_legs(settled, n_legs)
            self._ledger.store.put(self._name("fates"), fates.to_bytes())
            rosters.insert(0, Roster({}, {}) if fates.is_cut else settled[-1][2])
        split = [split_roster(roster, OUTCOMES_PER_GROUP) for roster in rosters]
        groups = [group for part in split for group in part]
        for number, group in enumerate(groups):
            self._put(f"{number:05d}.roster", group.to_json())
        self._put("groups", _to_json({"n_groups": len(groups), "n_rows": len(split[0]), "leg": leg}))
        return self._list_groups(range(len(groups)), "items")

    def reduce(self, number: int, subject: Subject, legs: Sequence[Leg]) -> Figures:
        """Write the tables of one group, and note what it is; raises UnreadableOutcome."""
        began_ns = time.monotonic_ns()
        group = Roster.from_json(self._get(f"{number:05d}.roster"))
        with tempfile.TemporaryDirectory() as folder:
            into = Path(folder)
            written = self._write(number, group, subject, legs, into)
            files = [self._upload(path, into, number) for path in _list_files(into)]
        own, columns, figures, summary = written
        note = {
            "columns": own and own.to_plain(),
            "written": columns and columns.to_plain(),
            "figures": figures.to_plain(),
            "summary": summary.partial() if summary is not None else None,
            "files": files,
            "wall_ms": (time.monotonic_ns() - began_ns) // 1_000_000,
        }
        self._put(f"{number:05d}", _to_json(note))
        return figures

    def _write(
        self, number: int, group: Roster, subject: Subject, legs: Sequence[Leg], into: Path
    ) -> tuple[Columns | None, Columns | None, Figures, Summary | None]:
        """Write a group's tables: its columns, those it was written with, figures, the job's summary."""
        from aliquot.delivery import gather_columns, write_tables
        from aliquot.grouped_delivery import write_fates, write_rows

        listed = self._read_groups()
        ledger, fates = self._ledger, None
        if len(legs) > 1:
            fates = Fates.from_bytes(self._ledger.store.get(self._name("fates")))
            if number >= listed["n_rows"]:
                return None, None, *write_fates(subject, ledger, group, fates, into, _ENDING)
            ledger = ledger.enter(listed["leg"])
        own, effort = gather_columns(subject.job, ledger, group)
        columns = self._read_frozen() or own
        if fates is None:
            figures, summary = write_tables(subject, ledger, group, columns, into, _ENDING)
        else:
            figures, summary = write_rows(subject, ledger, legs[-1], group, fates, columns, into, _ENDING)
        figures.cpu_ms, figures.retries = effort.cpu_ms, effort.retries
        return own, columns, figures, summary

    def publish(
        self,
        subject: Subject,
        tell_facts: Callable[[], Mapping[str, Any]],
        tell_invoice: Callable[[int, int], Mapping[str, Any]],
        reason: str,
    ) -> str:
        """Put together what the groups wrote; gives "" or the key of a list of groups to write once more.

        Args:
            tell_facts: wall seconds of the run.
            tell_invoice: what the run cost, given how many groups there are and the milliseconds they took.
            reason: why the epoch ended.
        Raises:
            StoreError: a group has left no note.
            Undecodable: a note is damaged.
        """
        if self._results.has(f"{PUBLISHED}{self._epoch:04d}.json"):
            return ""
        from aliquot.delivery import write_closing
        from aliquot.figures import Columns, Figures

        n_groups = self._read_groups()["n_groups"]
        notes = [self._read_group(number) for number in range(n_groups)]
        columns = reduce(Columns.merge, (note.columns for note in notes if note.columns is not None))
        odd = [at for at, note in enumerate(notes) if note.written and _differs(note.written, columns)]
        if odd:
            self._put("columns", _to_json(columns.to_plain()))
            return self._list_groups(odd, "items-again")
        figures, summary = Figures(), subject.begin_summary()
        for note in notes:
            figures.merge(note.figures)
            if summary is not None and (note.columns is not None or note.summary is not None):
                summary.merge(note.summary)
        with tempfile.TemporaryDirectory() as folder:
            into = Path(folder)
            write_closing(subject, columns, figures, summary, tell_facts(), into, _ENDING)
            invoice = tell_invoice(n_groups, sum(note.wall_ms for note in notes))
            (into / "invoice.json").write_text(json.dumps(invoice, indent=2) + "\n", encoding="utf-8")
            closing = [self._upload(path, into) for path in _list_files(into)]
        files = [*_choose_files(notes), *closing]
        pointer = {"epoch": self._epoch, "prefix": self._prefix, "reason": reason, "files": files}
        with suppress(AlreadyPut):
            self._results.put_once(f"{PUBLISHED}{self._epoch:04d}.json", _to_json(pointer))
        return ""

    def _read_groups(self) -> dict[str, Any]:
        """How many groups there are, and how many of them are of rows; raises Undecodable."""
        listed = self._read("groups")
        checks = {"n_groups": _is_positive, "n_rows": _is_positive, "leg": is_leg}
        check_fields(self._name("groups"), listed, **checks)
        return listed

    def _read_frozen(self) -> Columns | None:
        """The columns of all groups, None while each is written with its own; raises Undecodable."""
        from aliquot.figures import Columns

        if not self._ledger.store.has(self._name("columns")):
            return None
        with decoding(self._name("columns")):
            return Columns.from_plain(self._read("columns"))

    def _read_group(self, number: int) -> _Group:
        """What a group noted; raises Undecodable."""
        from aliquot.figures import Columns, Figures

        name = f"{number:05d}"
        note = self._read(name)
        with decoding(self._name(name)):
            columns, written = (
                None if note[role] is None else Columns.from_plain(note[role])
                for role in ("columns", "written")
            )
            files = [{"name": str(file["name"]), "rows": file["rows"]} for file in note["files"]]
            figures, wall_ms = Figures.from_plain(note["figures"]), int(note["wall_ms"])
            return _Group(columns, written, figures, note["summary"], files, wall_ms)

    def _read(self, name: str) -> dict[str, Any]:
        return read_note(self._name(name), self._get(name))

    def _upload(self, path: Path, root: Path, number: int | None = None) -> dict[str, Any]:
        """Put a file into the results; gives its name there, and its rows where it is a table of a group."""
        name = path.relative_to(root).as_posix()
        rows = None
        if number is not None:
            from aliquot.tables import count_rows

            rows, name = count_rows(path), _name_part(name, number)
        self._results.put_file(self._prefix + name, path)
        return {"name": name, "rows": rows}

    def _list_groups(self, numbers: Sequence[int], name: str) -> str:
        items = [{"run": self._run, "epoch": self._epoch, "group": number} for number in numbers]
        self._put(name, json.dumps(items).encode())
        return self._name(name)

    def _name(self, name: str) -> str:
        return f"merge/{self._epoch:04d}/{name}.json"

    def _put(self, name: str, body: bytes) -> None:
        self._ledger.store.put(self._name(name), body)

    def _get(self, name: str) -> bytes:
        return self._ledger.store.get(self._name(name))


def read_published(results: S3Store) -> dict[str, Any] | None:
    """What was published last: `epoch`, `prefix`, `reason` and `files`; None where nothing was."""
    keys = results.list_keys(PUBLISHED)
    if not keys:
        return None
    found = read_note(keys[-1], results.get(keys[-1]))
    with decoding(keys[-1]):
        is_sound = is_epoch(found["epoch"]) and is_texts([found["prefix"], found["reason"]])
        if not is_sound or not is_texts([file["name"] for file in found["files"]]):
            raise ValueError("it is no pointer to a result")
    return found


def _differs(written: Columns, wanted: Columns) -> bool:
    return not written.schema.equals(wanted.schema, check_metadata=True)


def _list_files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _name_part(name: str, number: int) -> str:
    """A group's file among those of all: of group 3 `failures` is `failures/part-00003`."""
    stem, _, ending = name.rpartition(".")
    folder, slash, part = stem.partition("/")
    return f"{folder}/part-{number:05d}{part.removeprefix('part') if slash else ''}.{ending}"


def _choose_files(notes: Sequence[_Group]) -> list[dict[str, Any]]:
    """The groups' files that have rows; of a table without any the first, for its columns."""
    by_table: dict[str, list[dict[str, Any]]] = {}
    for note in notes:
        for file in note.files:
            by_table.setdefault(file["name"].partition("/")[0], []).append(file)
    return [
        file
        for files in by_table.values()
        for file in ([each for each in files if each["rows"]] or files[:1])
    ]


def _is_positive(value: Any) -> bool:
    return is_count(value) and value > 0


def _to_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
