"""Layers and handlers: complete, pinned as developed with, and without what Lambda lacks."""

import ast
import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from aliquot.inbox import Dropped
from aliquot.message import TaskMessage
from orchestrator.stack.files import PACKAGES

ROOT = Path(__file__).parents[3]
DEPS = sorted(path.parent.name for path in ROOT.glob("layers/*/requirements.txt"))
OWN = sorted(Path(place).parts[1] for place in PACKAGES)  # of the template; `sql` is in none of its layers
FUNCTIONS = sorted(path.parent.name for path in ROOT.glob("functions/*/app.py"))
LEFT_OUT = {"botocore": "comes with the runtime", "pillow": "RDKit's drawing alone needs it"}
NEEDS_DEV_SHM = {"Queue", "JoinableQueue", "SimpleQueue", "Pool", "Lock", "RLock", "Semaphore", "Manager"} | {
    "BoundedSemaphore",
    "Barrier",
    "Condition",
    "Event",
    "ProcessPoolExecutor",
}


def read_pins(layer: str) -> dict[str, str]:
    lines = (ROOT / "layers" / layer / "requirements.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


@pytest.mark.parametrize("layer", DEPS)
def test_layers_are_pinned_as_the_lock(layer):
    """With other versions than the tests ran with, a rehearsal would be one of another play."""
    locked = dict(
        re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "requirements-dev.lock").read_text(), re.MULTILINE)
    )
    pins = read_pins(layer)
    assert {name: locked.get(name, version) for name, version in pins.items()} == pins


@pytest.mark.parametrize("layer", DEPS)
def test_layers_are_complete(layer):
    """They are installed without looking for dependencies, so each has to be named."""
    pins = read_pins(layer)
    missing = {
        required.name.lower()
        for name in pins
        for required in map(Requirement, metadata.requires(name) or ())
        if required.marker is None or required.marker.evaluate({"extra": "", "python_version": "3.13"})
    } - {name.lower() for name in pins}
    assert missing <= set(LEFT_OUT)


def test_every_built_layer_has_its_target(written):
    built = {name for name, each in written["Resources"].items() if "BuildMethod" in each.get("Metadata", {})}
    texts = [path.read_text() for path in [ROOT / "layers/Makefile", *ROOT.glob("layers/*/Makefile")]]
    assert built == {name for text in texts for name in re.findall(r"^build-(\w+):", text, re.MULTILINE)}
    assert len(built) == len(DEPS) + len(OWN)


@pytest.mark.parametrize("layer", OWN)
def test_own_code_goes_up_compiled(layer, tmp_path):
    """Beside its layers a function cannot write: it would compile each module at every cold start."""
    build = [sys.executable, ROOT / "layers/build.py", layer, "here", tmp_path]
    subprocess.run(build, check=True)
    modules = {path.relative_to(tmp_path) for path in tmp_path.rglob("*.py")}
    assert modules == {
        path.relative_to(ROOT / "layers" / layer) for path in ROOT.glob(f"layers/{layer}/**/*.py")
    }
    compiled = {importlib.util.source_from_cache(str(path)) for path in tmp_path.rglob("*.pyc")}
    assert compiled == {str(tmp_path / module) for module in modules}


def test_every_architecture_has_its_platforms(written):
    allowed = written["Parameters"]["Architecture"]["AllowedValues"]
    assert {path.parent.name for path in ROOT.glob("layers/platforms/*/platforms.txt")} == set(allowed)


def _find_locks(tree: ast.AST) -> Iterator[str]:
    """Names of what needs /dev/shm: from multiprocessing, or called on it or a context under any name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in {
            "multiprocessing",
            "concurrent",
        }:
            yield from (each.name for each in node.names if each.name in NEEDS_DEV_SHM)
        elif isinstance(node, ast.Attribute) and node.attr in NEEDS_DEV_SHM:
            owner = ast.unparse(node.value)
            if owner not in {"asyncio", "queue", "threading"}:
                yield f"{owner}.{node.attr}"


@pytest.mark.parametrize("folder", ["functions", "layers/common/python", "layers/chem/python"])
def test_nothing_needs_shared_memory(folder):
    """Lambda has no /dev/shm: multiprocessing's locks, queues and pools fail there, and only there."""
    found = {
        str(path.relative_to(ROOT)): names
        for path in (ROOT / folder).rglob("*.py")
        if (names := list(_find_locks(ast.parse(path.read_text(encoding="utf-8")))))
    }
    assert found == {}


@pytest.mark.parametrize(
    "code",
    [
        "from multiprocessing import Queue",
        "import multiprocessing\nmultiprocessing.Pool(2)",
        "import multiprocessing as mp\nmp.get_context('fork').Lock()",
        "import multiprocessing\nctx = multiprocessing.get_context('fork')\nctx.Semaphore()",
        "import multiprocessing.synchronize as s\ns.Semaphore(1)",
        "import concurrent.futures as cf\ncf.ProcessPoolExecutor()",
        "from concurrent.futures import ProcessPoolExecutor",
    ],
)
def test_the_look_for_shared_memory_sees(code):
    assert list(_find_locks(ast.parse(code)))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_handler_has_a_sample_event(function):
    event = json.loads((ROOT / "events" / f"{function}.json").read_text())
    if function == "intake":
        assert Dropped.read(event).key == "june.run.json"
        return
    for record in event.get("Records", []):
        assert TaskMessage.from_text(record["body"]).spans
        assert record["eventSource"] == "aws:sqs"
    assert event.get("Records") or event["run"]


def test_worker_imports_nothing_that_tallies_merges_and_readers_need():
    """Each cold start pays for what its handler imports: `make bench-cloud` says how much."""
    others = {"announcement", "cutter", "delivery", "paying", "preparing", "reducer", "tally", "ticks"}
    others |= {"readers.parquet", "readers.read", "readers.table"}
    code = "import sys, aliquot.cloud; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert not imported & {f"aliquot.{name}" for name in others}
    assert not imported & {"boto3", "ctypes", "numpy", "pyarrow", "psutil"}
