"""examples/languages: programs in C++, Java, Python and Mojo find the masses that a plain function finds."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

MASSES = {"H": 1.008, "C": 12.011, "N": 14.007, "O": 15.999, "Cl": 35.45}
FORMULAS = ["C2H6O", "CO2", "Xx", "C6H12O6", "CCl4", "N2", "H"] * 9
# what else may stand in a record: every form that msgpack has for it
BESIDE = [
    *(None, True, False, 0, 127, 128, -1, -32, -33, 255, 256, 65535, 65536, 1 << 32, (1 << 63) - 1),
    *(-128, -129, -32768, -32769, -(1 << 31), -(1 << 31) - 1, -(1 << 63), (1 << 64) - 1, 0.5, 1e300),
    *("", "é" * 15, "x" * 32, "x" * 255, "x" * 256, "x" * 70_000, [], [1, [2, {"a": None}]], ["x"] * 16),
    *([1] * 70_000, {}, {str(n): n for n in range(15)}, {str(n): n for n in range(16)}, {"ü": {"a": [0.25]}}),
]


def weigh(formula: str) -> float:
    found = re.findall("([A-Z][a-z]*)([0-9]*)", formula)
    return sum(MASSES[element] * int(times or 1) for element, times in found)


def build(folder: Path, tool: str, *words: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"no {tool} here")
    subprocess.run([tool, *words], cwd=folder, check=True, capture_output=True)


TSV = ["--lines", "tsv", "--fields", "id,formula", "--columns", "id,mass"]
PROGRAMS: dict[str, tuple[Callable[[Path], object], Sequence[str]]] = {
    "C++": (
        lambda folder: build(folder, "g++", "-O1", "-std=c++17", "-o", "mass", "mass.cpp"),
        ["--program", "mass", "--command", "{program}"],
    ),
    "Java": (
        lambda folder: build(folder, "javac", "-d", "classes", "Mass.java"),
        ["--program", "classes", "--command", "java -XX:+UseSerialGC -Xmx64m -cp {program} Mass"],
    ),
    "Python": (lambda _: None, ["--program", "mass.py", "--command", f"{sys.executable} {{program}}"]),
    "PyPy": (
        lambda folder: build(folder, "pypy3", "--version"),
        ["--program", "mass.py", "--command", "pypy3 {program}"],
    ),
    "Mojo": (
        lambda folder: build(folder, "mojo", "build", "mass.mojo", "-o", "mass-mojo"),
        [*TSV, "--program", "mass-mojo", "--command", "{program}"],
    ),
}


@pytest.mark.parametrize(
    "language",
    ["C++", *(pytest.param(each, marks=pytest.mark.long) for each in ("Java", "Python", "PyPy", "Mojo"))],
)
def test_programs_find_what_a_function_finds(lay_out, language):
    example = lay_out("languages")
    prepare, words = PROGRAMS[language]
    prepare(example.folder)
    records = [
        {"id": f"m{at}", "formula": each, "beside": BESIDE[at % len(BESIDE)]}
        for at, each in enumerate(FORMULAS)
    ]
    example.write("formulas.jsonl", "".join(json.dumps(each) + "\n" for each in records))
    limits = ["--max-failed", "20", "--workers", "1", "--out", "out"]
    said = example.aliquot("run", "exec", "formulas.jsonl", *words, *limits)
    assert said.code == 0, said.err
    rows = [(row["id"], float(row["mass"])) for row in example.table("out").to_pylist()]
    expected = [(each["id"], weigh(each["formula"])) for each in records if each["formula"] != "Xx"]
    assert [name for name, _ in rows] == [name for name, _ in expected]
    assert [mass for _, mass in rows] == pytest.approx([mass for _, mass in expected], rel=1e-12)
