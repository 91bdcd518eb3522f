"""The stack in SAM's containers on this machine; `scripts/sam_local.py` is the command.

- `aws`: S3 and SQS, which are moto's, and how a run gets into them.
- `sam`: the programs, the images, the built template, and calls of functions.
- `events`: every function with its file in events/.
- `whole`: a run through all functions, as queue and state machine would drive it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class Missing(Exception):
    """Something that this script needs is not on this machine."""


class CheckFailed(Exception):
    """A function answered, or left, something else than it should."""


def same(found: Any, wanted: Any) -> None:
    """Raise CheckFailed where two values differ."""
    if found != wanted:
        raise CheckFailed(f"found {found!r}, wanted {wanted!r}")


def run(command: Sequence[str | Path], **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command and keep what it says."""
    words = [str(word) for word in command]
    return subprocess.run(words, env={**os.environ, **variables}, capture_output=True, text=True, check=False)


def report(what: str, seen: str, begun: float) -> None:
    """Print a line about what went well."""
    say(f"ok  {time.monotonic() - begun:6.1f} s  {what:28} {seen}".rstrip())


def say(text: str) -> None:
    """Print a line now."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
