"""The fuzzer's command: see the package."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.fuzz.targets import Target, list_targets
from benchmarks.fuzz.watch import LONGEST_S

CORPUS = Path("build", "fuzz")
_GRACE_S = 60.0  # for starting, the seeds and the last input
_ARTIFACTS = ("crash-*", "timeout-*", "oom-*", "slow-unit-*", "leak-*")


@dataclass
class Fuzzed:
    """What came of one target."""

    name: str
    findings: list[dict[str, Any]] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        said = self.figures or {"asked": 0, "refused": 0, "seconds": 0, "peak_mib": 0}
        return (
            f"{self.name:<10} {said['asked']:>9,} inputs in {said['seconds']:>4.0f} s, {said['refused']:>9,} "
            f"refused, {said['peak_mib']:>5,} MiB at most, {len(self.findings)} findings"
        )


def main(words: Sequence[str] | None = None) -> int:
    """Fuzz the targets one after the other; gives the exit code: 1 where something was found."""
    asked = _parse(words)
    targets = list_targets()
    names = asked.only or list(targets)
    unknown = [name for name in names if name not in targets]
    if unknown:
        print(f"no target {', '.join(unknown)}; there are {', '.join(targets)}", file=sys.stderr)
        return 2
    if asked.input is not None:
        return _ask_once(targets[names[0]], b64decode(asked.input))
    n_found = 0
    for name in names:
        fuzzed = fuzz(name, asked.seconds, asked.mib)
        print(fuzzed, flush=True)
        for finding in fuzzed.findings:
            n_found += 1
            print(f"  FOUND {finding['finding']}: {finding['said']}", flush=True)
            print(f"  python -m benchmarks.fuzz --only {name} --input {finding['input']}", flush=True)
    print(f"{len(names)} targets, {n_found} findings")
    return int(n_found > 0)


def fuzz(name: str, seconds: float, mib: int) -> Fuzzed:
    """One target, in a process of its own."""
    folder = CORPUS / name
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "tmp").mkdir(parents=True)
    command = [sys.executable, "-m", "benchmarks.fuzz.watch", name, str(folder), str(seconds), str(mib)]
    fuzzed = Fuzzed(name)
    with (folder / "log").open("wb") as log:
        try:
            ended = subprocess.run(
                command,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "TMPDIR": str((folder / "tmp").resolve())},
                check=False,
                timeout=seconds + _GRACE_S + 4 * LONGEST_S,
            )
            said, code = ended.stdout, ended.returncode
        except subprocess.TimeoutExpired as err:
            said, code = err.stdout or b"", -9
    for line in said.decode(errors="replace").splitlines():
        read = json.loads(line) if line.startswith("{") else {}
        if "finding" in read:
            fuzzed.findings.append(read)
        elif "asked" in read:
            fuzzed.figures = read
    fuzzed.findings += [
        {"finding": path.name.partition("-")[0], "said": f"see {folder / 'log'}", "input": _read(path)}
        for pattern in _ARTIFACTS
        for path in folder.glob(pattern)
    ]
    if not fuzzed.figures and not fuzzed.findings:
        fuzzed.findings.append({"finding": "end", "said": f"exit {code}, see {folder / 'log'}", "input": ""})
    return fuzzed


def _ask_once(target: Target, body: bytes) -> int:
    """Ask a target one input again; what it raises is shown with its traceback."""
    began_s = time.process_time()
    try:
        target.make()(body)
    except target.allowed as err:
        print(f"refused: {type(err).__name__}: {err}")
    print(f"{time.process_time() - began_s:.2f} s")
    return 0


def _read(path: Path) -> str:
    return b64encode(path.read_bytes()).decode()


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each target")
    parser.add_argument("--mib", type=int, default=512, help="of memory beyond what is there at the start")
    parser.add_argument("--only", nargs="+", metavar="TARGET", help="these targets alone")
    parser.add_argument("--input", metavar="BASE64", help="ask the first of them this one input")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
