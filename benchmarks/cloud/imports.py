"""What importing the worker's handler costs above its floor: boto3, Powertools, and the clients it makes.

Each repetition is a fresh interpreter, handler and floor in turns, so that whatever else the machine does
falls on both. A cold start pays for it in every environment.

Owns these times. When it is wrong, cold starts grow unseen.
"""

from __future__ import annotations

import ast
import json
import os
import statistics
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

HANDLER = Path(__file__).resolve().parents[2] / "functions" / "worker" / "app.py"
MOST_ABOVE_S = 0.05
_N_LOOKS = 8
_CLIENTS = 'boto3.client("s3"); boto3.client("sqs"); Logger(); Metrics(); Tracer(patch_modules=("botocore",))'
_TIMED = "import time\nwall, cpu = time.perf_counter(), time.process_time()\n{}\n"
_TOLD = "print(time.perf_counter() - wall, time.process_time() - cpu)"
_ENVIRONMENT = {
    "ALIQUOT_BUCKET": "runs",
    "ALIQUOT_QUEUES": json.dumps({"small": "https://sqs.us-east-1.amazonaws.com/123456789012/small"}),
    "ALIQUOT_RUNG": "small",
    "AWS_ACCESS_KEY_ID": "bench",
    "AWS_SECRET_ACCESS_KEY": "bench",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "POWERTOOLS_METRICS_NAMESPACE": "bench",
    "POWERTOOLS_SERVICE_NAME": "worker",
}


@dataclass(frozen=True)
class Start:
    """Seconds that a fresh interpreter took."""

    wall_s: float
    cpu_s: float


@dataclass(frozen=True)
class Imports:
    """Repetitions of the floor and of the handler, taken in turns, one beside the other."""

    floor: list[Start]
    handler: list[Start]

    def list_above_s(self, clock: str) -> list[float]:
        """What the handler took above the floor beside it, by `wall_s` or `cpu_s`, in order of size."""
        pairs = zip(self.floor, self.handler, strict=True)
        return sorted(getattr(own, clock) - getattr(least, clock) for least, own in pairs)

    def find_above_s(self, clock: str) -> float:
        """The median of that."""
        return statistics.median(self.list_above_s(clock))


def write_floor() -> str:
    """What the handler imports that is not ours, and its clients, as a script."""
    tree = ast.parse(HANDLER.read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    own = ("aliquot", "__future__")
    others = [node for node in imports if not (getattr(node, "module", None) or "").startswith(own)]
    return "\n".join([*map(ast.unparse, others), _CLIENTS])


def measure_imports(n_repetitions: int, compiled: Path) -> Imports:
    """Time both in fresh interpreters, in turns.

    Args:
        compiled: a folder for compiled modules, as layers hold them.
    """
    found = Imports([], [])
    _time("import app", compiled)  # compiles
    for number in range(n_repetitions):
        turns = [(found.floor, write_floor()), (found.handler, "import app")]
        for starts, script in turns if number % 2 else reversed(turns):
            starts.append(_time(script, compiled))
    return found


def list_parts(compiled: Path) -> list[tuple[str, float]]:
    """Milliseconds of the modules that the handler imports above its floor, by package, largest first.

    The least of some repetitions, module by module: of what else the machine does little is left.
    """
    floor, handler = set[str](), dict[str, int]()
    for _ in range(_N_LOOKS):
        floor |= _read_importtime(write_floor(), compiled).keys()
        for name, own_us in _read_importtime(f"{write_floor()}\nimport app", compiled).items():
            handler[name] = min(own_us, handler.get(name, own_us))
    parts: Counter[str] = Counter()
    for module, own_us in handler.items():
        if module not in floor:
            top, _, rest = module.partition(".")
            parts[f"aliquot.{rest.partition('.')[0]}" if top == "aliquot" and rest else top] += own_us
    return [(name, own_us / 1000) for name, own_us in parts.most_common()]


def _time(script: str, compiled: Path) -> Start:
    wall_s, cpu_s = _run(["-c", f"{_TIMED.format(script)}{_TOLD}"], compiled).stdout.split()
    return Start(float(wall_s), float(cpu_s))


def _read_importtime(script: str, compiled: Path) -> dict[str, int]:
    """Each module's own microseconds."""
    said = _run(["-X", "importtime", "-c", script], compiled).stderr
    lines = [line.removeprefix("import time:").split("|") for line in said.splitlines() if "|" in line]
    return {name.strip(): int(own) for own, _, name in lines[1:]}


def _run(words: list[str], compiled: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **_ENVIRONMENT, "PYTHONPYCACHEPREFIX": str(compiled)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return subprocess.run(
        [sys.executable, *words],
        cwd=HANDLER.parent,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
