"""Every error that Aliquot raises on purpose, one class per decision that a caller can take.

    AliquotError
    |- UsageError              what was asked cannot be done as asked: nothing was lost (exit code 2)
    |  |- UnknownJob           no job of that name, no such module or function
    |  |- JobError             a job's own declaration is at fault
    |  |- BadOption            an option that is unknown, missing or out of range
    |  |  `- OverBudget        a plan that exceeds the budget it is given
    |  |- DatasetError         an input file, column or format
    |  |- BadReference         a reference whose rows do not parse
    |  |- FolderInUse          the run's folder holds another run, or another process works in it
    |  `- OpenFailed           a job's `prepare` or `open` failed, with its own reason
    |- StoreError              the store refused: full, read-only, gone (exit code 2, resumable)
    |  |- AlreadyPut           a put-once object is there already
    |  `- NoRoom               what a run carries does not fit into a function's /tmp
    |- CodecError              bytes that cannot be written or read
    |  |- Unencodable          a value of a type that no extension covers; carries its path
    |  `- Undecodable          malformed, truncated, oversized or damaged bytes
    |     `- Unopened          one value that its type's reader refuses: it costs its record
    |- ParseFailure            one record that does not parse: raised by jobs, filed with kind `parse`
    |- TryAgain                one record that may succeed later: raised by jobs, tried again after a pause
    |- BatchDependent          a job whose rows depend on a record's neighbours in its batch
    |- TooManyFailed           a run that stopped, or ended, beyond its failure limit (exit code 3)
    |- BudgetReached           a run that stopped before its budget was crossed (exit code 4)
    |- SettlingFailed          a run on a stack whose execution ended without a result; it can be resumed
    |- Detached                a run on a stack goes on, and nobody here watches it (exit code 130)
    |- Stopped                 a run on a stack was ended before its time (exit code 4)
    `- Interrupted             a run that was interrupted and can be resumed (exit code 130)

Owns the tree only. Imports the standard library alone: jobs import this module and `job`, nothing else
of the core. Each class passes its constructor's arguments to `Exception`, so that all of them pickle and
cross a process boundary (tests/unit/core/test_errors.py does it for every subclass).
"""

from __future__ import annotations


class AliquotError(Exception):
    """Any error that Aliquot raises on purpose."""


class UsageError(AliquotError):
    """A request that cannot be carried out as it stands; the message says how to mend it."""


class UnknownJob(UsageError):
    """No job and no function answers to `name`."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name, self.reason = name, reason

    def __str__(self) -> str:
        return f"{self.name!r} is not a job that can be run: {self.reason}"


class JobError(UsageError):
    """A job whose declaration is at fault (its options, record types or stages)."""

    def __init__(self, job: str, reason: str) -> None:
        super().__init__(job, reason)
        self.job, self.reason = job, reason

    def __str__(self) -> str:
        return f"job {self.job!r}: {self.reason}"


class BadOption(UsageError):
    """An option that is unknown, missing or has a value that is not allowed."""

    def __init__(self, option: str, reason: str) -> None:
        super().__init__(option, reason)
        self.option, self.reason = option, reason

    def __str__(self) -> str:
        return f"option {self.option}: {self.reason}"


class OverBudget(BadOption):
    """A plan that exceeds its budget; nothing was begun."""


class DatasetError(UsageError):
    """An input that is missing, empty, of an unknown format, or lacks a column."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(source, reason)
        self.source, self.reason = source, reason

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}"


class BadReference(UsageError):
    """A reference (templates, a stock, a model) that cannot be used as it is.

    `rows` holds (line number, reason) of the first rows at fault, `n_bad` how many there are.
    """

    def __init__(
        self, path: str, reason: str, rows: tuple[tuple[int, str], ...] = (), n_bad: int = 0
    ) -> None:
        super().__init__(path, reason, rows, n_bad)
        self.path, self.reason, self.rows, self.n_bad = path, reason, rows, n_bad

    def __str__(self) -> str:
        shown = "".join(f"\n  line {line}: {why}" for line, why in self.rows)
        more = self.n_bad - len(self.rows)
        return f"{self.path}: {self.reason}{shown}" + (f"\n  and {more} more" if more > 0 else "")


class FolderInUse(UsageError):
    """The run's folder cannot take this run: it holds another, or another process works in it."""

    def __init__(self, folder: str, reason: str) -> None:
        super().__init__(folder, reason)
        self.folder, self.reason = folder, reason

    def __str__(self) -> str:
        return f"{self.folder}: {self.reason}"


class OpenFailed(UsageError):
    """A job's `prepare` or `open` failed, twice where it could be tried again."""

    def __init__(self, job: str, reason: str, traceback: str = "") -> None:
        super().__init__(job, reason, traceback)
        self.job, self.reason, self.traceback = job, reason, traceback

    def __str__(self) -> str:
        shown = f"\n{self.traceback.rstrip()}" if self.traceback else ""
        return f"job {self.job!r} could not be opened: {self.reason}{shown}"


class StoreError(AliquotError):
    """The store refused an operation; what is in it stays valid and the run can be resumed."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(key, reason)
        self.key, self.reason = key, reason

    def __str__(self) -> str:
        return f"{self.key}: {self.reason}"


class AlreadyPut(StoreError):
    """A put-once object is there already; its content decides."""

    def __init__(self, key: str) -> None:
        super().__init__(key, "is there already")
        self.args = (key,)


class NoRoom(StoreError):
    """What a run carries does not fit into a function's `/tmp`, whatever else is removed from there."""

    def __init__(self, key: str, size_bytes: int, room_bytes: int, tmp_bytes: int) -> None:
        reason = (
            f"has {size_bytes / 2**20:,.0f} MiB, and of {tmp_bytes / 2**20:,.0f} MiB in /tmp there are "
            f"{room_bytes / 2**20:,.0f} to be had beside what the job has open: deploy the stack with a "
            "larger TmpMiB (10240 is the most), or give the job less"
        )
        super().__init__(key, reason)
        self.args = (key, size_bytes, room_bytes, tmp_bytes)
        self.size_bytes, self.room_bytes, self.tmp_bytes = size_bytes, room_bytes, tmp_bytes


class CodecError(AliquotError):
    """Bytes that cannot be written or read."""


class Unencodable(CodecError):
    """A value that no extension of the codec covers; `path` leads to it inside the record."""

    def __init__(self, path: str, type_name: str) -> None:
        super().__init__(path, type_name)
        self.path, self.type_name = path, type_name

    def __str__(self) -> str:
        return (
            f"{self.path} cannot be stored ({self.type_name}): "
            "return text, numbers, dates, lists, dicts, arrays or tables, or aliquot.register its type"
        )


class Undecodable(CodecError):
    """Malformed, truncated, oversized or damaged bytes."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(what, reason)
        self.what, self.reason = what, reason

    def __str__(self) -> str:
        return f"{self.what} cannot be read: {self.reason}"


class Unopened(Undecodable):
    """One value that its type's reader does not make out of its bytes: it costs its record."""


class ParseFailure(AliquotError):
    """One record that does not parse. A job raises it to file the record with kind `parse`."""


class TryAgain(AliquotError):
    """One record that may succeed later: a job raises it to have the record tried again.

    Args:
        after_s: seconds that are waited for at least; 0 where nobody knows.
    """

    def __init__(self, reason: str = "", after_s: float = 0.0) -> None:
        super().__init__(reason, after_s)
        self.reason, self.after_s = reason, after_s

    def __str__(self) -> str:
        return self.reason


class BatchDependent(UsageError):
    """A job gave other rows for a record when its neighbours in the batch changed."""

    def __init__(self, job: str, record: int) -> None:
        super().__init__(job, record)
        self.job, self.record = job, record

    def __str__(self) -> str:
        return (
            f"job {self.job!r} gives other rows for record {self.record} alone than among its neighbours: "
            "a record's rows may depend on that record only, or runs would differ by how they are cut"
        )


class TooManyFailed(AliquotError):
    """More records failed than the limit allows. What finished is in the result."""

    def __init__(self, failed: int, tried: int, limit: str, is_stopped: bool, example: str = "") -> None:
        super().__init__(failed, tried, limit, is_stopped, example)
        self.failed, self.tried, self.limit = failed, tried, limit
        self.is_stopped, self.example = is_stopped, example

    def __str__(self) -> str:
        verb = "stopped" if self.is_stopped else "finished"
        first = f"; the first: {self.example}" if self.example else ""
        return f"{verb}: {self.failed:,} of {self.tried:,} records failed (limit {self.limit}){first}"


class SettlingFailed(AliquotError):
    """A run on a stack has nobody left that drives it; its outcomes are kept and `resume` takes it up."""

    def __init__(self, folder: str, run: str, cause: str) -> None:
        super().__init__(folder, run, cause)
        self.folder, self.run, self.cause = folder, run, cause

    def __str__(self) -> str:
        return (
            f"run {self.run} ended without a result: {self.cause}; what is done is kept: "
            f"aliquot resume {self.folder}"
        )


class Detached(AliquotError):
    """A run on a stack is no longer watched from here; it goes on by itself."""

    def __init__(self, folder: str, run: str) -> None:
        super().__init__(folder, run)
        self.folder, self.run = folder, run

    def __str__(self) -> str:
        return (
            f"run {self.run} goes on without being watched: `aliquot watch {self.folder}` waits for it and "
            f"fetches its result, `aliquot cancel {self.folder}` stops it"
        )


class Stopped(AliquotError):
    """A run on a stack was ended before its time, by somebody or by its stack; what finished is fetched."""

    def __init__(self, folder: str, reason: str) -> None:
        super().__init__(folder, reason)
        self.folder, self.reason = folder, reason

    def __str__(self) -> str:
        return f"stopped: {self.reason}; what is done is kept: aliquot resume {self.folder}"


class BudgetReached(AliquotError):
    """A run stopped before its budget was crossed. What finished is in the result, the rest is listed."""

    def __init__(self, folder: str, reason: str) -> None:
        super().__init__(folder, reason)
        self.folder, self.reason = folder, reason

    def __str__(self) -> str:
        flag = "--budget-time" if "time" in self.reason else "--budget-usd"
        return (
            f"stopped: {self.reason}; what finished is in the result: "
            f"`aliquot resume {self.folder} {flag} MORE` goes on, MORE being the new total"
        )


class Interrupted(AliquotError):
    """The run was interrupted; what is done is kept and `resume` goes on from there.

    `advice` stands where that is not all there is to say.
    """

    def __init__(self, folder: str, advice: str = "") -> None:
        super().__init__(folder, advice)
        self.folder, self.advice = folder, advice

    def __str__(self) -> str:
        return f"interrupted; {self.advice or f'what is done is kept: aliquot resume {self.folder}'}"
