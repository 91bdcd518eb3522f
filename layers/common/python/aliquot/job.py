"""What a job is: its options, the records that it reads, the rows that it writes, its stages.

    class Hit(NamedTuple):                       # the result's columns
        reaction_id: str
        template_id: str

    @dataclass(frozen=True)
    class Options:                               # the command's flags, with their help
        templates: Annotated[Reference, "retro templates, a table with a SMARTS column"]
        mode: Annotated[Literal["exact", "substructure"], "what counts as a match"] = "exact"

    job = Job("crossref", version=1, options=Options, reads=Reaction, writes=Hit, prepare=build_matcher,
              stages=(Stage("match", open_matcher),), summary=TemplateCounts)

Owns the contract between a job and the engine. Imports the standard library and `errors` alone, because
jobs import nothing else of the core. When it is wrong, every job is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Protocol, get_args, get_origin, get_type_hints

from aliquot.errors import JobError

MOST_THREADS = 64  # of a host: each has its words on the shared page, and they take turns at one interpreter


@dataclass(frozen=True)
class Reference:
    """A file that all records are worked against (templates, a stock, a model), known by its content.

    As the type of an option it makes a flag that takes a path. A job gets `path`, where the file lies on
    the machine that the job runs on, and `sha256`, the digest of its content.
    """

    path: Path
    sha256: str


@dataclass(frozen=True)
class Column:
    """Under which names a record's field is looked up in an input, tried in this order.

    `kind` "line" marks the field that formats without columns fill (`.smi`, `.rsmi`); "id" the record's id.
    """

    names: tuple[str, ...]
    kind: str = ""


class Answer(NamedTuple):
    """A record's rows with a short note for the summary; a job may yield this instead of bare rows."""

    rows: Sequence[Any]
    note: str


class Summary(Protocol):
    """Figures and small tables over a whole result, fed record by record in dataset order."""

    def __init__(self, options: Any, prepared: Path) -> None:
        """Start empty. `prepared` is the folder that the job's `prepare` wrote."""

    def add(self, record: int, rows: Sequence[tuple[Any, ...]], note: str | None) -> None:
        """Count one record that is done: its number, its rows and its note."""

    def partial(self) -> Any:
        """What was counted so far, as plain values: None, numbers, text, lists and dicts with text keys."""

    def merge(self, partial: Any) -> None:
        """Add what another summary counted of the records after those counted here."""

    def figures(self) -> dict[str, Any]:
        """The job's own figures for `summary.json`: JSON values by name.

        `remarks`, a list of sentences, is also said at the run's end.
        """

    def tables(self) -> dict[str, dict[str, Sequence[Any]]]:
        """Tables to write beside the result: name -> column -> values, columns of one length."""


OpenStage = Callable[[Any, Path], Callable[[Iterable[Any]], Iterator[Any]]]


@dataclass(frozen=True)
class Stage:
    """One function of a job's chain.

    Args:
        name: names the stage in the ledger and in failures.
        open: called once per host with (options, prepared folder); returns a function from an iterable of
            records to an iterator that yields one list of rows (or an `Answer`) per record, in order. It
            may read ahead of what it yields. Raising `ParseFailure` files the record at hand as `parse`.
        fork_safe: False when what `open` builds does not survive a fork (threads, GPU contexts).
        retry: exceptions that may pass by themselves: the record is tried again, three times, after a pause.
            Lost connections, timeouts and throttling need no naming.
        threads: for records that wait (HTTP, databases): a host calls what `open` returned from so many
            threads at once, each with an iterable of its own. What they share must bear that.
    """

    name: str
    open: OpenStage
    fork_safe: bool = True
    retry: tuple[type[BaseException], ...] = ()
    threads: int = 1


@dataclass(frozen=True)
class Job:
    """A named piece of work over a dataset of records.

    Args:
        name: the word that `aliquot run` takes.
        version: raised when the same input may give other rows than before.
        options: frozen dataclass; each field is a flag, `Annotated[type, "help"]`.
        reads: NamedTuple of a record's fields, `Annotated[str, Column(...)]`; None for dicts of all columns.
        writes: NamedTuple of a row's columns; None where rows are dicts.
        stages: the chain; one stage for now.
        prepare: called once per run with (options, folder to write into), before any `open`.
        summary: figures and tables over the whole result.
        without_rows: name of the table that lists the records that are done but gave no row.
        needs: distributions whose version may change rows ("rdkit"): recorded, and held equal on resume.
    """

    name: str
    version: int
    options: type
    stages: tuple[Stage, ...]
    reads: type | None = None
    writes: type | None = None
    prepare: Callable[[Any, Path], None] | None = None
    summary: type[Summary] | None = None
    without_rows: str | None = None
    needs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.stages) != 1:
            raise JobError(self.name, f"declares {len(self.stages)} stages; a job has exactly one")
        if not re.fullmatch(r"[a-z0-9_-]+", self.stage.name):
            raise JobError(self.name, f"stage {self.stage.name!r} must be named by a-z, 0-9, _ and - alone")
        if not (type(self.stage.threads) is int and 1 <= self.stage.threads <= MOST_THREADS):
            said = f"stage {self.stage.name!r} asks for {self.stage.threads!r} threads"
            raise JobError(self.name, f"{said}; a host has 1 to {MOST_THREADS}, more --workers have more")
        if not is_dataclass(self.options):
            raise JobError(self.name, f"options must be a dataclass, found {self.options!r}")
        for role, record in (("reads", self.reads), ("writes", self.writes)):
            if record is not None and not hasattr(record, "_fields"):
                raise JobError(self.name, f"{role} must be a NamedTuple, found {record!r}")

    @property
    def stage(self) -> Stage:
        """The job's stage."""
        return self.stages[0]


@dataclass(frozen=True)
class FieldSpec:
    """One field of a record, row or options type: its name, bare type, what its annotation adds, default."""

    name: str
    type: Any
    extras: tuple[Any, ...]
    default: Any
    is_required: bool

    @property
    def help(self) -> str:
        """The annotation's text."""
        return next((extra for extra in self.extras if isinstance(extra, str)), "")

    @property
    def column(self) -> Column:
        """Where the field is looked up in an input; by its own name where nothing is said."""
        return next((extra for extra in self.extras if isinstance(extra, Column)), Column((self.name,)))


def read_fields(record_type: type) -> tuple[FieldSpec, ...]:
    """The fields of a NamedTuple or dataclass, in order, annotations resolved."""
    hints = get_type_hints(record_type, include_extras=True)
    if is_dataclass(record_type):
        from dataclasses import MISSING, fields

        defaults = {f.name: f.default for f in fields(record_type) if f.default is not MISSING}
        names: Sequence[str] = [f.name for f in fields(record_type)]
    else:
        defaults = dict(record_type._field_defaults)  # type: ignore[attr-defined]
        names = record_type._fields  # type: ignore[attr-defined]
    return tuple(_field_spec(name, hints[name], defaults) for name in names)


def _field_spec(name: str, hint: Any, defaults: Mapping[str, Any]) -> FieldSpec:
    is_annotated = get_origin(hint) is Annotated
    bare, *extras = get_args(hint) if is_annotated else (hint,)
    return FieldSpec(name, bare, tuple(extras), defaults.get(name), name not in defaults)
