#!/usr/bin/env python3
"""Build one layer: `build.py LAYER PLATFORM FOLDER`.

    build.py chem-deps arm64 FOLDER      wheels for Lambda's Python on that processor
    build.py chem-deps here FOLDER       wheels for the running Python, for rehearsals on this machine
    build.py common any FOLDER           our own code, compiled; the same for every processor

Installs the layer's requirements.txt as wheels, without dependencies, into FOLDER/python and removes what
its prune.txt lists (globs beneath FOLDER). `sam build`, the size check and rehearsals all come through here,
so that what is measured is what is deployed. Imports the standard library only: SAM runs it with any Python.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

LAYERS = Path(__file__).resolve().parent
PYTHON_VERSION = "3.13"  # of the runtime in template.yaml


def build_layer(layer: str, platform: str, folder: Path) -> None:
    """Fill `folder` with a layer; raises CalledProcessError where a wheel is missing."""
    target, own = folder / "python", LAYERS / layer / "python"
    shutil.rmtree(target, ignore_errors=True)
    if own.is_dir():
        shutil.copytree(own, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        install_wheels(layer, platform, target)
        prune_layer(layer, folder)
    if platform == "here" or ".".join(map(str, sys.version_info[:2])) == PYTHON_VERSION:
        compile_modules(target)


def install_wheels(layer: str, platform: str, target: Path) -> None:
    """Put the layer's packages into `target`."""
    wanted = [] if platform == "here" else list_wheel_options(platform)
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    command += ["--no-deps", "--only-binary", ":all:", "--no-compile", *wanted]
    command += ["--target", str(target), "--requirement", str(LAYERS / layer / "requirements.txt")]
    subprocess.run(command, check=True)


def prune_layer(layer: str, folder: Path) -> None:
    """Remove from `folder` what the layer's prune.txt lists."""
    for pattern in read_lines(LAYERS / layer / "prune.txt"):
        for found in list(folder.glob(pattern)):
            remove(found)


def compile_modules(folder: Path) -> None:
    """Compile every module beforehand: beside its layers a function cannot write, so each start would do it.

    Not checked against the source, since times of files do not survive the way to Lambda.
    """
    command = [sys.executable, "-m", "compileall", "-qq", "-j", "0", "--invalidation-mode", "unchecked-hash"]
    subprocess.run([*command, str(folder)], check=False)  # a package may hold files of another Python


def list_wheel_options(platform: str) -> list[str]:
    """Options with which pip takes wheels for Lambda's Python on a processor."""
    options = ["--implementation", "cp", "--python-version", PYTHON_VERSION]
    for name in read_lines(LAYERS / "platforms" / platform / "platforms.txt"):
        options += ["--platform", name]
    return options


def read_lines(path: Path) -> list[str]:
    """The lines of a file that are neither empty nor comments."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def remove(path: Path) -> None:
    """Delete a file or a folder."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = sorted(
        path.parent.name for of in ("requirements.txt", "python") for path in LAYERS.glob(f"*/{of}")
    )
    parser.add_argument("layer", choices=names)
    platforms = sorted(path.parent.name for path in LAYERS.glob("platforms/*/*"))
    parser.add_argument("platform", choices=["any", "here", *platforms])
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    build_layer(given.layer, given.platform, given.folder)


if __name__ == "__main__":
    main()
