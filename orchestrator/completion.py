"""What a shell is told when TAB is pressed: words, options, jobs, places, and the script that asks for them.

click answers for commands and options by itself; here is what it cannot know. Owns these answers. Imports
click. When it is wrong, TAB writes what no command takes.
"""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem, get_completion_class

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_ALIQUOT_COMPLETE"  # as click spells it for `aliquot`
_PLACES = ("local", "rehearsal", "aws:")


def write_script(command: click.Command, shell: str) -> str:
    """The script that a shell reads once to complete `aliquot`."""
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click has all of SHELLS
    return kind(command, {}, "aliquot", VARIABLE).source()


def complete_job(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Installed jobs; a function's module is a file, which nobody imports for a TAB."""
    from orchestrator.catalog import list_jobs

    return [CompletionItem(name) for name in list_jobs() if name.startswith(incomplete)]


def complete_files(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Files and folders, as the shell knows them."""
    return [CompletionItem(incomplete, type="file")]


def complete_folders(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Folders."""
    return [CompletionItem(incomplete, type="dir")]


def complete_place(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Places of a run; which stacks there are is not asked for a TAB."""
    return [CompletionItem(place) for place in _PLACES if place.startswith(incomplete)]
