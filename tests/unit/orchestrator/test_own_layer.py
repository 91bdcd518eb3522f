"""The layer that a rehearsal gives to an installed job: its package and what it requires, nothing more."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from aliquot.errors import UnknownJob
from orchestrator.catalog import KnownJob, find_job
from orchestrator.own_layer import assemble_own_layer, is_own, list_required, spell_own

DECLARED = """
from dataclasses import dataclass
from aliquot.job import Job, Stage

@dataclass(frozen=True)
class Options:
    pass

job = Job("demo_layer", 3, Options, (Stage("do", lambda options, prepared: None),), needs=("msgpack",))
"""


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KnownJob:
    """A job that is installed in a folder of its own, and requires a package that requires nothing."""
    site = tmp_path / "site"
    (site / "demo_layer" / "__pycache__").mkdir(parents=True)
    (site / "demo_layer" / "__init__.py").write_text("")
    (site / "demo_layer" / "job.py").write_text(DECLARED)
    (site / "demo_layer" / "__pycache__" / "job.pyc").write_text("")
    about = site / "demo_layer-0.1.dist-info"
    about.mkdir()
    requires = [
        "aliquot>=0",
        "MsgPack (>=1)",
        "numpy>=1 ; python_version > '3'",
        "pytest ; extra == 'dev'",
        "absent-x",
    ]
    lines = [
        "Metadata-Version: 2.1",
        "Name: demo_layer",
        "Version: 0.1",
        *(f"Requires-Dist: {each}" for each in requires),
    ]
    (about / "METADATA").write_text("\n".join(lines) + "\n")
    (about / "entry_points.txt").write_text("[aliquot.jobs]\ndemo_layer = demo_layer.job:job\n")
    monkeypatch.syspath_prepend(str(site))
    yield find_job("demo_layer")
    for name in [name for name in sys.modules if name.startswith("demo_layer")]:
        del sys.modules[name]


def test_what_it_requires_goes_along_but_for_what_the_stack_has(known: KnownJob) -> None:
    assert list_required(known.address, ["NumPy"]) == ["msgpack"]
    assert list_required(known.address, []) == ["msgpack", "numpy"]


def test_the_layer_holds_package_and_requirements(known: KnownJob, tmp_path: Path) -> None:
    assemble_own_layer(known, ["numpy"], tmp_path / "layer")
    python = tmp_path / "layer" / "python"
    assert (python / "msgpack" / "__init__.py").is_file()
    assert sorted(path.name for path in (python / "demo_layer").iterdir()) == ["__init__.py", "job.py"]
    assert not (python / "aliquot").exists()
    assert not (python / "numpy").exists()


def test_the_words_name_address_version_and_needs(known: KnownJob) -> None:
    import msgpack

    expected = f"demo_layer=demo_layer.job:job@3,msgpack=={'.'.join(map(str, msgpack.version))}"
    assert spell_own(known) == expected


def test_only_installed_jobs_of_others_are_ones_own(known: KnownJob) -> None:
    assert is_own(known)
    assert not is_own(find_job("crossref"))
    assert not is_own(KnownJob(known.job, "my_jobs:describe", ("/somewhere",)))


def test_a_package_without_files_is_refused(known: KnownJob, tmp_path: Path) -> None:
    gone: Any = KnownJob(known.job, "nowhere_to_be_found.job:job")
    with pytest.raises(UnknownJob, match="has no files"):
        assemble_own_layer(gone, [], tmp_path / "layer")
