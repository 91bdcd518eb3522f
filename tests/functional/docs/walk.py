"""A page of the documentation, walked from top to bottom as its reader would.

Blocks ```python that begin with `# NAME` are files, ```sh are typed, and ```text behind it has to be in what
was said: line by line in order, `...` standing for anything. A comment before a block marks what is special:

    <!-- not run: REASON -->     nobody can here; reasons are listed by a test
    <!-- account -->             needs an AWS account: a rehearsed stack stands for the stack `aliquot`
    <!-- with PROGRAM -->        run where that is installed
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>[^\n]*) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_FILE = re.compile(r"(?:#|//) (\S+)\n")


@dataclass(frozen=True)
class Block:
    """A fenced block, and the comment before it."""

    mark: str
    language: str
    text: str


def find_blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page."""
    for found in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        yield Block(found["mark"] or "", found["language"], found["text"])


def walk(page: Path, folder: Path, *, has_account: bool = False) -> int:
    """Do what a page says, in a folder; gives how many blocks were typed.

    Args:
        has_account: whether boto3's environment leads to a rehearsed stack; without it, what needs an account
            is passed over.
    """
    said, n_typed = "", 0
    for block in find_blocks(page):
        text = block.text.replace("aws:aliquot", "aws:rehearsal").replace('"aliquot")', '"rehearsal")')
        if not _is_possible(block.mark, has_account):
            said = ""
        elif named := _FILE.match(text):
            (folder / named[1]).write_text(block.text if not has_account else text, encoding="utf-8")
        elif block.language == "sh":
            said = type_words(text, folder)
            n_typed += 1
        elif block.language == "text" and said:
            _check(text, said)
        else:
            raise AssertionError(f"{page.name}: nobody knows what to do with a block of {block.language}")
    return n_typed


def _is_possible(mark: str, has_account: bool) -> bool:
    word, _, rest = mark.partition(" ")
    return {
        "": True,
        "not": False,
        "account": has_account,
        "with": shutil.which(rest) is not None,
    }[word]


def type_words(text: str, folder: Path) -> str:
    """What commands said; they all have to end well, but for those in the background."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=folder,
        env={**os.environ, "PATH": path, "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{text}ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


def _check(shown: str, said: str) -> None:
    """Each line that a page shows has to be said, in that order."""
    rest = said.splitlines()
    for line in shown.splitlines():
        if line == "...":
            continue
        pattern = re.compile(".*".join(map(re.escape, line.split("..."))))
        place = next((at for at, each in enumerate(rest) if pattern.fullmatch(each)), None)
        assert place is not None, f"nothing says {line!r} in\n{said}"
        del rest[: place + 1]
