"""The command to type after an error, from its class, its fields and the words that were typed.

    BudgetReached, `run ... --budget-usd 5` --find_next--> aliquot resume runs/june --budget-usd 10

Pure but for one question to the file system, which is an argument. Owns this advice. Imports the trees of
errors. When it is wrong, people are sent to a command that cannot help them.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from aliquot.errors import (
    BadOption,
    BatchDependent,
    BudgetReached,
    CodecError,
    Detached,
    FolderInUse,
    Interrupted,
    JobError,
    OpenFailed,
    OverBudget,
    SettlingFailed,
    Stopped,
    TooManyFailed,
    UnknownJob,
    UsageError,
)
from orchestrator.aws.folder import CLOUD
from orchestrator.budget import parse_duration
from orchestrator.local.folder import LEDGER
from orchestrator.stack.errors import (
    AwsRefused,
    DeployFailed,
    DestroyRefused,
    MissingTool,
    NoSuchStack,
    VersionSkew,
)

_WITH_JOB = ("run", "plan")


def has_run(folder: str) -> bool:
    """Whether a run was begun in a folder; not in what is no path, or may not be looked at."""
    try:
        return any(Path(folder, name).is_file() for name in (CLOUD, f"{LEDGER}/manifest.json"))
    except OSError:
        return False


@dataclass(frozen=True)
class Typed:
    """What was typed.

    Args:
        words: behind `aliquot`.
        commands: the first words that there are.
        is_run: says whether a folder holds a run.
    """

    words: Sequence[str]
    commands: Collection[str]
    is_run: Callable[[str], bool] = has_run

    @property
    def again(self) -> str:
        """The same command."""
        return spell(*self.words)

    @property
    def help(self) -> str:
        """The help of the command, with its job's options where one was named."""
        place = next((at for at, word in enumerate(self.words) if word in self.commands), None)
        if place is None:
            return "aliquot --help"
        job = self.words[place + 1 : place + 2] if self.words[place] in _WITH_JOB else []
        named = [word for word in job if not word.startswith("-")]
        return spell(self.words[place], *named, "--help")

    @property
    def folder(self) -> str | None:
        """The run's: behind --out, or the first word that names one; None where none does."""
        out = self.find(("--out",))
        return next(filter(self.is_run, self.words[1:] if out is None else [out]), None)

    def find(self, flags: Sequence[str]) -> str | None:
        """What follows a flag, or stands behind its equals sign."""
        for place, word in enumerate(self.words):
            flag, equals, value = word.partition("=")
            if flag in flags and equals:
                return value
            if word in flags and place + 1 < len(self.words):
                return self.words[place + 1]
        return None


def find_next(err: Exception, typed: Typed) -> str:
    """The command to type after an error: for most the same once more, when what it says is mended."""
    for kinds, advise in _ADVICE:
        if isinstance(err, kinds):
            return advise(err, typed)
    return typed.again


def spell(*words: str) -> str:
    """A command of ours, fit for a shell."""
    return shlex.join(["aliquot", *words])


def _interrupted(err: Any, typed: Typed) -> str:
    return typed.again if err.advice else spell("resume", err.folder)


def _raise_budget(err: Any, typed: Typed) -> str:
    """Going on with twice the budget, where the words say what it was."""
    flag = "--budget-time" if "time" in err.reason else "--budget-usd"
    said = typed.find((flag,))
    if said is None:
        return spell("show", err.folder)
    doubled = f"{2 * parse_duration(said):g}s" if flag == "--budget-time" else f"{2 * float(said):g}"
    return spell("resume", err.folder, flag, doubled)


def _look_at_folder(err: Any, typed: Typed) -> str:
    return spell("show", err.folder) if typed.is_run(err.folder) else spell("runs")


def _look_at_failures(_: Any, typed: Typed) -> str:
    return spell("show", typed.folder) if typed.folder else typed.again


def _install(err: Any, _: Typed) -> str:
    is_command = err.remedy.startswith("pip install ")
    return str(err.remedy) if is_command else spell("doctor")


def _ask_doctor(_: Any, typed: Typed) -> str:
    """What looks at the stack that was named, with the same rights."""
    if typed.words[:1] == ["doctor"]:
        return typed.help
    stack, on = typed.find(("--stack",)), typed.find(("--on",))
    place = f"aws:{stack}" if stack else on
    named = [("--on", place), *((flag, typed.find((flag,))) for flag in ("--region", "--profile"))]
    return spell("doctor", *(word for flag, value in named if place and value for word in (flag, value)))


def _mend_option(err: Any, typed: Typed) -> str:
    """The same with a region, where none was found; else what the help says of the option."""
    is_missing = err.option == "--region" and typed.find(("--region",)) is None
    return spell(*typed.words, "--region", "us-east-1") if is_missing else typed.help


def _help_decode(_: Any, typed: Typed) -> str:
    return typed.help if typed.words[:1] == ["decode"] else typed.again


# the first that fits counts: subclasses stand before their classes
_ADVICE: Sequence[tuple[tuple[type[Exception], ...], Callable[[Any, Typed], str]]] = (
    ((BudgetReached,), _raise_budget),
    ((Interrupted,), _interrupted),
    ((Stopped, SettlingFailed), lambda err, _: spell("resume", err.folder)),
    ((Detached,), lambda err, _: spell("watch", err.folder)),
    ((TooManyFailed,), _look_at_failures),
    ((OverBudget,), lambda _, typed: f"{typed.again} --anyway"),
    ((FolderInUse,), _look_at_folder),
    ((UnknownJob,), lambda _, __: spell("jobs")),
    ((JobError, OpenFailed, BatchDependent, DeployFailed), lambda _, typed: typed.again),
    ((MissingTool,), _install),
    (
        (NoSuchStack,),
        lambda err, _: spell("deploy", "--dry-run", "--stack", err.stack, "--region", err.region),
    ),
    ((VersionSkew,), lambda err, _: spell("doctor", "--on", f"aws:{err.stack}")),
    ((DestroyRefused,), lambda err, _: spell("runs", "--on", f"aws:{err.stack}")),
    ((AwsRefused,), _ask_doctor),
    ((BadOption,), _mend_option),
    ((UsageError, click.ClickException), lambda _, typed: typed.help),
    ((CodecError,), _help_decode),
)
