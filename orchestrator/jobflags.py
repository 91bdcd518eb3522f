"""A job's options as flags of `run` and `plan`: read from its declaration when the job is named.

Owns the mapping from an options dataclass to click's parameters. Imports click and the core's `job`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from copy import copy
from inspect import cleandoc
from typing import Any

import click

from aliquot.errors import UsageError
from aliquot.job import FieldSpec, Job, Reference
from aliquot.manifest import bare_type, is_table_of_references, list_choices
from orchestrator.options import list_told, name_flag

_PREFIX = "job_option_"
_AS_IT_IS = "\b"  # before a paragraph that click does not wrap
_TYPES: dict[Any, Any] = {int: int, float: float, str: str, Reference: click.Path()}


class JobCommand(click.Command):
    """A command whose first argument names a job, and which takes that job's options besides its own."""

    _example = ""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Add the options of the job that is named, then parse."""
        own = [parameter for parameter in self.params if not (parameter.name or "").startswith(_PREFIX)]
        job = _find_named_job(args, own, is_asking=ctx.resilient_parsing)
        word = find_job_word(args, own, list)
        self._example = self._spell_example(word, job) if word is not None and job is not None else ""
        taken = {flag for parameter in own for flag in parameter.opts}
        options = list_told(job) if job is not None else ()
        flags = [flag for flag in map(make_flag, options) if not taken & set(flag.opts)]
        self.params = [*(_widen(parameter, options) for parameter in own), *flags]
        return super().parse_args(ctx, args)

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The command's help; of a job that is named, its example in the place of others."""
        said = self.help
        if said is not None and self._example:
            self.help = f"{cleandoc(said).rpartition(_AS_IT_IS)[0]}{_AS_IT_IS}\n{self._example}"
        super().format_help_text(ctx, formatter)
        self.help = said

    def _spell_example(self, word: str, job: Job) -> str:
        """A command with the job: as it says, or with what it needs."""
        needed = (
            f"{name_flag(option.name)} {option.name.upper()}"
            for option in list_told(job)
            if option.is_required
        )
        out = ["--out", f"runs/{job.name.rpartition(':')[2]}"] if self.name == "run" else []
        return " ".join(["aliquot", str(self.name), word, job.example or " ".join(["DATA", *needed]), *out])

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The job's options under a heading of their own, before those that every job has."""
        for heading, is_own in (("Options of the job", False), ("Options", True)):
            listed = (
                each for each in self.get_params(ctx) if (each.name or "").startswith(_PREFIX) != is_own
            )
            rows = [row for row in (each.get_help_record(ctx) for each in listed) if row is not None]
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)


def _widen(parameter: click.Parameter, options: Sequence[FieldSpec]) -> click.Parameter:
    """A flag of the command; with the choices of the job's option of that name besides its own."""
    own = [option for option in options if name_flag(option.name) in parameter.opts]
    choices = [value for option in own for value in list_choices(option)]
    if not choices or not isinstance(parameter.type, click.Choice):
        return parameter
    wider = copy(parameter)
    wider.type = click.Choice(list(dict.fromkeys([*parameter.type.choices, *choices])))
    return wider


def make_flag(option: FieldSpec) -> click.Option:
    """The flag of one option."""
    kind, choices = bare_type(option), list_choices(option)
    flag, own_name = name_flag(option.name), f"{_PREFIX}{option.name}"
    if kind is bool:
        both = f"{flag}/--no-{flag[2:]}" if option.default else flag  # a flag that is on can be switched off
        return click.Option([both, own_name], is_flag=True, default=bool(option.default), help=option.help)
    if is_table_of_references(kind):
        return click.Option([flag, own_name], multiple=True, metavar="NAME=PATH", help=option.help)
    # click 8.3 takes `default=None` for a value, and a required option with a value is never missing
    default = {} if option.is_required else {"default": option.default}
    return click.Option(
        [flag, own_name],
        type=click.Choice(list(choices)) if choices else _TYPES.get(kind, str),
        required=option.is_required,
        show_default=option.default is not None,
        help=option.help,
        **default,
    )


def split_options(words: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The job's options that were parsed, and the command's own words."""
    told = {name: value for name, value in words.items() if value != ()}  # a flag that may come several times
    options = {name.removeprefix(_PREFIX): value for name, value in told.items() if name.startswith(_PREFIX)}
    return options, {name: value for name, value in words.items() if not name.startswith(_PREFIX)}


def _find_named_job(args: list[str], own: Sequence[click.Parameter], *, is_asking: bool) -> Job | None:
    """The job that the arguments name; None where none is, so that click says what is missing.

    Args:
        is_asking: a shell wants to complete the words, and one that names no job ends nothing.
    """
    from orchestrator.catalog import find_job, list_jobs

    named = find_job_word(args, own, list_jobs)
    if named is None:
        return None
    try:
        return find_job(named).job
    except UsageError:
        if is_asking or any(word in ("-h", "--help") for word in args):
            return None
        raise


def find_job_word(
    args: Sequence[str], own: Sequence[click.Parameter], list_known: Callable[[], Collection[str]]
) -> str | None:
    """The argument that names the job: the first, wherever options stand; None where there is none.

    What follows an option of the command's `own` is its value. Of the job's options nobody knows yet whether
    they take one: there the first word that can be a job is it.
    """
    with_value = {
        flag
        for option in own
        if isinstance(option, click.Option) and not option.is_flag
        for flag in option.opts
    }
    words = [word for before, word in zip(["", *args], args, strict=False) if before not in with_value]
    if words and not words[0].startswith("-"):
        return words[0]
    words = [word for word in words if not word.startswith("-")]
    known = list_known()
    return next((word for word in words if word in known or ":" in word), words[0] if words else None)
