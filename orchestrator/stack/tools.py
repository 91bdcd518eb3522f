"""The programs that a deployment needs on this machine: SAM, make, and a Python with pip.

Owns how they are found and what is said where they are not. Imports the standard library. When it is wrong, a
deployment fails in the midst of SAM's own words.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass

from orchestrator.stack.errors import MissingTool

RUNTIME = "3.13"  # of the functions in template.yaml
_ASK = "import pip, sys; print('%d.%d' % sys.version_info[:2])"
_REMEDIES = {
    "sam": "install it with `pipx install aws-sam-cli`, `brew install aws-sam-cli` or from "
    "https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/install-sam-cli.html",
    "make": "install it (`apt install make`, or `xcode-select --install`): SAM builds layers with it",
}


@dataclass(frozen=True)
class Python:
    """A Python that can build layers: where it is, and which one."""

    path: str
    version: str

    @property
    def remark(self) -> str:
        """What is to be said of it; empty where it is the functions' own version."""
        if self.version == RUNTIME:
            return ""
        return (
            f"python{RUNTIME} does not work here, so the layers are built with Python {self.version}, which "
            "cannot compile them beforehand, and functions start more slowly: "
            f"put a Python {RUNTIME} with pip on PATH and deploy again"
        )


def list_missing() -> list[MissingTool]:
    """What SAM's commands need and PATH does not have."""
    return [
        MissingTool(tool, "is not on PATH", remedy)
        for tool, remedy in _REMEDIES.items()
        if shutil.which(tool) is None
    ]


def find_python() -> Python:
    """The Python to build layers with, the functions' own version if there is one; raises MissingTool.

    Each is asked, since a shim of pyenv can be on PATH and lead nowhere.
    """
    asked = [shutil.which(f"python{RUNTIME}"), sys.executable, shutil.which("python3")]
    working = [Python(path, version) for path in asked if path and (version := _ask_version(path))]
    if not working:
        raise MissingTool(
            f"python{RUNTIME}", "with pip is not on PATH", "install it: the layers are built with it"
        )
    return next((each for each in working if each.version == RUNTIME), working[0])


def _ask_version(path: str) -> str:
    """Which Python a program is, empty where it is none that has pip."""
    try:
        asked = subprocess.run([path, "-c", _ASK], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return asked.stdout.strip() if asked.returncode == 0 else ""
