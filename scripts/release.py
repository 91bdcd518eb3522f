#!/usr/bin/env python3
"""Hold what would be released against what it promises: build, install, run, away from the checkout.

    python scripts/release.py [--folder build/release]

Builds the sdist, from it the wheel, and installs that with pip into a new venv for each set of extras; each
runs the commands that its users run first, in an empty home. Prints what each set weighs.
Needs a package index; `make test` holds the wheel's content without one.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
PEOPLE = "name,born\nAda,1815\nGrace,1906\nKatherine,1918\n"
FUNCTION = '''\
def name_century(record):
    """One row."""
    return {"name": record["name"], "century": int(record["born"]) // 100 + 1}
'''
MOLECULES = "CCO ethanol\nCC(=O)Oc1ccccc1C(=O)O aspirin\n"


@dataclass(frozen=True)
class Way:
    """What somebody installs, and types first."""

    extras: str
    commands: Sequence[str]


WAYS = (
    Way(
        "",
        [
            "aliquot --version",
            "aliquot run people.py:name_century people.csv --out run",
            "aliquot show run",
            "aliquot show run --html",
            "aliquot run exec people.csv --lines json --command cat --out programs",
        ],
    ),
    Way("chem", ["aliquot run screen molecules.smi --property lipinski --out run"]),
    Way("aws", ["aliquot deploy --dry-run --region us-east-1"]),
    Way(
        "chem,rehearsal", ["aliquot run people.py:name_century people.csv --out run --on rehearsal --code ."]
    ),
    Way("sql", ['aliquot run sql people.csv --query "SELECT count(*) AS n FROM chunk" --out run']),
    Way(
        "notebook",
        [
            "aliquot run people.py:name_century people.csv --out run",
            """python -c "import aliquot; print(aliquot.Run('run').result.to_pandas())" """,
        ],
    ),
    Way("chem,policy,aws,rehearsal,sql,notebook", ["aliquot doctor"]),
)


def main() -> int:
    """Read the command line; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "release")
    folder = parser.parse_args().folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    wheel = build(folder)
    sys.stdout.write(f"{wheel.name}  {wheel.stat().st_size / 1e6:.1f} MB\n")
    return max(walk(way, wheel, folder / (way.extras or "alone").replace(",", "-")) for way in WAYS)


def build(folder: Path) -> Path:
    """Make the sdist, and of it the wheel, as an index's users get it who have no wheel."""
    call([sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(folder)], ROOT)
    (sdist,) = folder.glob("*.tar.gz")
    call(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), str(sdist)], folder
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


def walk(way: Way, wheel: Path, folder: Path) -> int:
    """Install and type what a user does; 1 where a command fails, with what it said."""
    home = folder / "home"
    home.mkdir(parents=True)
    (home / "people.csv").write_text(PEOPLE)
    (home / "people.py").write_text(FUNCTION)
    (home / "molecules.smi").write_text(MOLECULES)
    call([sys.executable, "-m", "venv", str(folder / "venv")], folder)
    binaries = folder / "venv" / "bin"
    wanted = f"aliquot[{way.extras}] @ {wheel.as_uri()}"
    call([*PIP, "--python", str(binaries / "python"), "install", wanted], folder)
    weight = sum(file.lstat().st_size for file in (folder / "venv").rglob("*") if file.is_file())
    sys.stdout.write(f"{way.extras or 'aliquot alone':40} {weight / 1e6:7.0f} MB installed\n")
    environment = {"HOME": str(home), "PATH": f"{binaries}:{os.environ['PATH']}"}
    for command in way.commands:
        done = subprocess.run(
            shlex.split(command), cwd=home, env=environment, capture_output=True, text=True, check=False
        )
        sys.stdout.write(f"    {command}: {'ok' if done.returncode == 0 else 'FAILED'}\n")
        if done.returncode:
            sys.stdout.write(done.stdout + done.stderr)
            return 1
    return 0


def call(command: Sequence[str], folder: Path) -> None:
    """Run a step that has to go well."""
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
