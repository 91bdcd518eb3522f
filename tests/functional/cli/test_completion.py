"""What TAB writes: asked of a real bash, and of the answers that zsh and fish are given."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BIN = str(Path(sys.executable).parent)

# the words of a line are what readline would split it into; `complete -p` names the function that answers
ASK = """
eval "$(aliquot completion bash)"
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
COMPREPLY=()
$(complete -p aliquot | sed 's/.*-F \\([^ ]*\\).*/\\1/') aliquot
printf '%s\\n' "${COMPREPLY[@]}"
"""


def press_tab(desk, *words):
    environ = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    command = ["bash", "--norc", "-c", ASK, "bash", *words]
    ended = subprocess.run(
        command, cwd=desk.folder, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    errors = [line for line in ended.stderr.splitlines() if "compopt" not in line]  # outside of a real TAB
    assert not errors, errors
    return ended.stdout.split()


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["aliquot", "ru"], ["run", "runs"]),
        (["aliquot", "run", "cros"], ["crossref"]),
        (["aliquot", "run", "crossref", "x.rsmi", "--templ"], ["--templates"]),
        (["aliquot", "run", "crossref", "x.rsmi", "--mode", ""], ["exact", "substructure"]),
        (["aliquot", "plan", "no_such_job", "x", "--what"], ["--what-if"]),
        (["aliquot", "run", "crossref", "x.rsmi", "--on", ""], ["local", "rehearsal", "aws:"]),
        (["aliquot", "completion", ""], ["bash", "zsh", "fish"]),
        (["aliquot", "show", ""], []),  # folders, which bash lists itself
    ],
)
def test_bash_completes(desk, words, wanted):
    assert press_tab(desk, *words) == wanted


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_a_script_and_an_answer(desk, shell):
    script = desk.aliquot("completion", shell)
    assert script.code == 0
    assert f"_ALIQUOT_COMPLETE={shell}_complete" in script.out
    words = {"COMP_WORDS": "aliquot run cros", "COMP_CWORD": "cros" if shell == "fish" else "2"}
    said = desk.aliquot(**words, _ALIQUOT_COMPLETE=f"{shell}_complete")
    assert "crossref" in said.out
    if shutil.which(shell):
        assert subprocess.run([shell, "-n", desk.write("script", script.out)], check=False).returncode == 0


def test_a_shell_that_there_is_not_is_refused(desk):
    said = desk.aliquot("completion", "powershell")
    assert said.code == 2
    assert "is not one of 'bash', 'zsh', 'fish'" in said.err
    assert said.err.endswith("next: aliquot completion --help\n")
