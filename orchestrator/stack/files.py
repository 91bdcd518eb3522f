"""The files that the stack is made of, wherever Aliquot is installed.

    with stack_files() as folder:       # template.yaml, functions/, layers/, statemachine/
        ...

In a checkout they lie at its root. A wheel carries them beside this module, but for the packages of our own
layers, which are installed as packages: there a folder of the template's layout is put together for as long
as it is used. pyproject.toml (force-include) names what the wheel carries; tests/packaging holds it.

Owns where files are found. When it is wrong, what is deployed or rehearsed is not what is installed.
"""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.stack.errors import MissingTool

_HERE = Path(__file__).resolve().parent
_CHECKOUT = _HERE.parents[1]
_CARRIED = _HERE / "files"
PACKAGES = {"layers/common/python": "aliquot", "layers/chem/python": "aliquot_chem"}
_LITTER = shutil.ignore_patterns("__pycache__", "*.pyc")


@contextmanager
def stack_files() -> Iterator[Path]:
    """Give a folder with the template's layout; it may be gone after the block. Raises MissingTool."""
    if is_checkout(_CHECKOUT):
        yield _CHECKOUT
        return
    if not (_CARRIED / "template.yaml").is_file():
        raise MissingTool(
            "template.yaml",
            f"is neither in {_CHECKOUT} nor in {_CARRIED}",
            "install Aliquot from its wheel, or work in a checkout",
        )
    with tempfile.TemporaryDirectory(prefix="aliquot-stack-") as folder:
        assemble(Path(folder))
        yield Path(folder)


def is_checkout(folder: Path) -> bool:
    """Whether a folder has the template and the layers' packages themselves."""
    return (folder / "template.yaml").is_file() and all((folder / place).is_dir() for place in PACKAGES)


def assemble(folder: Path, carried: Path = _CARRIED) -> None:
    """Put the carried files and the installed packages into `folder`, as the template expects them."""
    shutil.copytree(carried, folder, ignore=_LITTER, dirs_exist_ok=True)
    for place, package in PACKAGES.items():
        shutil.copytree(_find_package(package), folder / place / package, ignore=_LITTER)


def _find_package(name: str) -> Path:
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        raise MissingTool(name, "is not installed", "install Aliquot again, from its wheel")
    return Path(found.origin).parent
