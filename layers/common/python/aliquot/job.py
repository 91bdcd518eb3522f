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

Owns the contract between a job and the engine. Imports the standard library, `errors` and `registry` alone,
because jobs import nothing else of the core. When it is wrong, every job is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from typing import (
    Annotated,
    Any,
    NamedTuple,
    Protocol,
    get_args,
    get_origin,
    get_type_hints,
    runtime_checkable,
)

from aliquot.errors import BadReference, JobError
from aliquot.registry import declare

RECORD = "record"  # the column that says which record of the dataset a row came from
MOST_STAGES = 16
STEP_S, LONGEST_STEP_S = 0.1, 1.0  # what a host goes through before it answers
MOST_RETRIES = 100
MOST_THREADS = 64  # of a host: each has its words on the shared page, and they take turns at one interpreter


@dataclass(frozen=True)
class Reference:
    """A file or folder that all records are worked against (templates, a stock, a model), by its content.

    As the type of an option it makes a flag that takes a path. A job gets `path`, where it lies on the
    machine that the job runs on, and `sha256`, the digest of its content; of a folder `file(name)` says
    where each file lies, and on a stack has it there: `path` alone may hold a few of them.
    """

    path: Path
    sha256: str
    fetch: Callable[[str], None] | None = field(default=None, compare=False, repr=False)

    def file(self, name: str) -> Path:
        """One file of a folder, on disk, to be mapped at once; on a stack it is fetched if need be.

        In a record that takes of the record's deadline: 60 s are some 3 GB. Files of a folder make room for
        each other: ask again for one that is to be mapped again, and let go of what is not needed any more.

        Args:
            name: from the folder on: `shard-07.npy`, `deep/table`.
        Raises:
            BadReference: the folder has no such file, or workers have no room for it.
            ConnectionError: it could not be fetched now; the engine tries the record again.
        """
        path = self.path / name
        if self.fetch is not None:  # whether it lies there or not: it is in use now, and goes last
            self.fetch(name)
        if not path.is_file():
            raise BadReference(str(self.path), f"holds no file {name!r}")
        return path


@dataclass(frozen=True)
class Column:
    """Under which names a record's field is looked up in an input, tried in this order.

    `kind` "line" marks the field that formats without columns fill (`.smi`, `.rsmi`, FASTA's sequence, SDF's
    text); "id" the record's id; "part" the one that takes the number of an index's part. An option of kind
    "index" is that index. Of a job whose first stage takes chunks whole, an option of kind "schema" is the
    dataset's columns and types (an Arrow schema's bytes in base64), one of kind "types" what the user said of
    them. An option of kind "columns" names columns of the dataset, with commas between: one that a file lacks
    is told before the run begins.
    """

    names: tuple[str, ...]
    kind: str = ""


@dataclass(frozen=True)
class Needs:
    """A distribution that workers must have where an option is given: a stack without it refuses the run."""

    distribution: str


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


@runtime_checkable
class NoteSummary(Summary, Protocol):
    """A summary of a job with exchanges that is told what was noted before the first of them.

    What it is fed otherwise are the last stage's groups.
    """

    def add_note(self, record: int, note: str) -> None:
        """Count the note of a record of the dataset, by the stage before the first exchange."""


@dataclass(frozen=True, slots=True)
class Group:
    """What a stage behind an exchange reads: all rows of the stage before it that have one key.

    Args:
        key: the value that they have in the column by which they were exchanged.
        rows: the rows, as the stage before it declares them, in the order of the dataset.
        records: for each row the number, in the dataset, of the record that it came from.
    """

    key: Key
    rows: Sequence[Any]
    records: Sequence[int]


@dataclass(frozen=True)
class Best:
    """Which of a stage's rows go on: of those with one value of `by` the `n` of the highest `score`.

    Ties go to the row that is earlier in the dataset. Rows are left out as early as in their host, so that a
    stage may answer a record with a row for each of many queries.
    """

    n: int
    by: str
    score: str


class Picture(NamedTuple):
    """A drawing for a run's report.

    Args:
        heading: what it stands under, with others of its kind: "Top templates".
        title: names it, "GGC17"; caption: says what there is to see, in a sentence.
        svg: its text. Scripts, links and all else that is no drawing is left out. Colours in six hexadecimal
            digits are exchanged for ones that can be seen on a dark page.
    """

    heading: str
    title: str
    caption: str
    svg: str


@dataclass(frozen=True)
class Glimpse:
    """Some of what a run delivered, for pictures.

    Args:
        options: the job's, references where they lay when the run was begun.
        rows: of the result, some of each value of the first column, each a dict by column.
        records: the dataset's records that these rows and failures came from, as far as they are at hand, by
            number: what the job `reads`, or dicts.
        tables: the first rows of each table that the job's summary writes.
        failures: of the table, some of each kind; `input` is the record's text.
    """

    options: Any
    rows: Sequence[Mapping[str, Any]]
    records: Mapping[int, Any]
    tables: Mapping[str, Sequence[Mapping[str, Any]]]
    failures: Sequence[Mapping[str, Any]]


Key = str | int | bytes
Call = Callable[[Iterable[Any]], Iterator[Any]]
AsyncCall = Callable[[Any], Awaitable[Any] | AsyncIterator[Any]]
TableCall = Callable[[Any], Any]  # of a stage that takes chunks whole: from a table to one, or rows
OpenStage = Callable[[Any, Path], Call | AsyncCall | TableCall]


@dataclass(frozen=True)
class Stage:
    """One function of a job's chain.

    The first stage reads the dataset's records. A later one reads the rows of the stage before it: one by one
    as soon as they are there, or, with `exchange`, as a `Group` of all that have one key, once that stage is
    settled. Each stage runs in hosts of its own, as many as its memory and `concurrency` allow.

    Args:
        name: names the stage in the ledger and in failures.
        open: called once per host with (options, prepared folder); returns a function from an iterable of
            records to an iterator that yields one list of rows (or an `Answer`) per record, in order. It
            may read ahead of what it yields. Raising `ParseFailure` files the record at hand as `parse`.
            Or it returns an `async def` function of one record, which gives that record's answer, or yields
            its rows.
        fork_safe: False when what `open` builds does not survive a fork (threads, GPU contexts).
        retry: exceptions that may pass by themselves: the record is tried again after a pause. `TryAgain`,
            lost connections, timeouts and throttling need no naming.
        retries: how often a record is tried again, within its deadline.
        threads: for records that wait (HTTP, databases): a host calls what `open` returned from so many
            threads at once, each with an iterable of its own. What they share must bear that. Of an `async`
            function it is how many records are in flight, on one event loop.
        step_s: about how long a host works before it answers, 0.1 to 1 s: longer where each call of what
            `open` returned costs something by itself, such as a process that it starts.
        rate: records begun in a time, by all hosts together: "50/s", "600/min", "2000/h"; empty for no limit.
        memory_mib: private memory that a host needs; chooses how many there are, and on a stack their rung.
        concurrency: at most so many hosts at a time, on a stack so many tasks of its leg; None for no limit.
        writes: NamedTuple of the rows that it hands to the next stage; None where rows are dicts. Those of
            the last stage are the job's.
        exchange: the column of the stage before it by which its rows are grouped; `RECORD` for the record of
            the dataset that a row came from. Keys are text, whole numbers or bytes; groups come sorted.
        splits: the rows of one key may come as several groups, should they be too many for one worker.
        origin: behind an exchange, the column of its rows that says which of the group's records each came
            from; without it a row counts to the group's first.
        best: which rows go on; None for all.
        whole: of the first stage: what `open` returned takes a chunk's records together, as one Arrow table
            of those that parsed, and gives a list of rows, or where it is the only stage an Arrow table. They
            stand or fall together; a stage behind it exchanges.
    """

    name: str
    open: OpenStage
    fork_safe: bool = True
    retry: tuple[type[BaseException], ...] = ()
    retries: int = 3
    threads: int = 1
    step_s: float = STEP_S
    rate: str = ""
    memory_mib: int | None = None
    concurrency: int | None = None
    writes: type | None = None
    exchange: str = ""
    splits: bool = False
    origin: str = ""
    best: Best | None = None
    whole: bool = False


Stages = tuple[Stage, ...]


@dataclass(frozen=True)
class Job:
    """A named piece of work over a dataset of records.

    Args:
        name: the word that `aliquot run` takes.
        version: raised when the same input may give other rows than before.
        options: frozen dataclass; each field is a flag, `Annotated[type, "help"]`.
        reads: NamedTuple of a record's fields, `Annotated[str, Column(...)]`; None for dicts of all columns.
        writes: NamedTuple of a row's columns; None where rows are dicts. Dataclasses, NamedTuples and enums
            that its annotations name are registered, so that columns may hold them.
        stages: the chain; or a function of the options that gives it, where they decide how long it is.
        prepare: called once per run with (options, folder to write into), before any `open`.
        summary: figures and tables over the whole result.
        without_rows: name of the table that lists the records that are done but gave no row.
        pictures: draws for the run's report; called once, in a process of its own, with 10 s. What it raises
            costs the pictures alone.
        example: what follows its name in a command that its help shows: `library.smi --top 20`.
        needs: distributions whose version may change rows ("rdkit"): recorded, and held equal on resume.
    """

    name: str
    version: int
    options: type
    stages: Stages | Callable[[Any], Stages]
    reads: type | None = None
    writes: type | None = None
    prepare: Callable[[Any, Path], None] | None = None
    summary: type[Summary] | None = None
    without_rows: str | None = None
    pictures: Callable[[Glimpse], Iterable[Picture]] | None = None
    example: str = ""
    needs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not is_dataclass(self.options):
            raise JobError(self.name, f"options must be a dataclass, found {self.options!r}")
        for role, record in (("reads", self.reads), ("writes", self.writes)):
            if record is not None and not hasattr(record, "_fields"):
                raise JobError(self.name, f"{role} must be a NamedTuple, found {record!r}")
        declare(self.writes)
        if not callable(self.stages):
            self._check(self.stages)

    def list_stages(self, options: Any) -> Stages:
        """The chain for these options; raises JobError where it cannot be one."""
        if not callable(self.stages):
            return self.stages
        stages = tuple(self.stages(options))
        self._check(stages)
        return stages

    def _check(self, stages: Stages) -> None:
        from aliquot.declaration import check_stages  # which knows what this module declares

        check_stages(self.name, stages)
        for stage in stages:
            declare(stage.writes)
        if self.without_rows and any(stage.exchange for stage in stages):
            said = (
                f"lists records without rows ({self.without_rows!r}), which behind an exchange are not known"
            )
            raise JobError(self.name, f"{said}: count them in its summary")


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
    def needs(self) -> str:
        """The distribution that giving it asks for; empty for none."""
        return next((extra.distribution for extra in self.extras if isinstance(extra, Needs)), "")

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
