"""What of a user's folder travels with a run, and that the same content is the same package."""

from __future__ import annotations

import io
import os
import zipfile

import pytest

from aliquot.errors import BadOption
from orchestrator.aws import package
from orchestrator.aws.package import build_package


@pytest.fixture
def folder(tmp_path):
    def write(files, under="code"):
        for name, text in files.items():
            path = tmp_path / under / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path / under

    return write


def test_package_depends_on_content_alone(folder):
    """A run that is resumed must find its package again, whatever the files' times and order."""
    files = {"b.py": "2", "a.py": "1", "deep/er/c.json": "{}"}
    first, second = folder(files, "first"), folder(dict(reversed(files.items())), "second")
    for path in second.rglob("*.py"):
        os.utime(path, (10**9, 10**9))
        path.chmod(0o600)
    assert build_package(first) == build_package(second)
    (second / "a.py").write_text("3")
    assert build_package(first).sha256 != build_package(second).sha256


def test_litter_and_secrets_stay_here(folder):
    root = folder(
        {
            "job.py": "x",
            "pack/__init__.py": "",
            "pack/data.bin": "d",
            "pack/__pycache__/job.cpython-311.pyc": "c",
            "old.pyc": "c",
            "backup.py~": "c",
            ".env": "SECRET=1",
            ".git/config": "c",
            ".venv/pyvenv.cfg": "c",
            "env/pyvenv.cfg": "c",
            "env/lib/python3.11/site-packages/big.py": "c",
            "node_modules/x.js": "c",
            "out/cloud.json": "{}",
            "out/result/part-00000.parquet": "p",
            "local/ledger/lock": "1",
            "data.csv": "large",
        }
    )
    (root / "loop").symlink_to(root)
    made = build_package(root, [root / "data.csv"])
    assert made.names == ("job.py", "pack/__init__.py", "pack/data.bin")
    with zipfile.ZipFile(io.BytesIO(made.body)) as archive:
        assert tuple(archive.namelist()) == made.names
        assert archive.read("pack/data.bin") == b"d"


def test_folder_that_is_too_large_is_refused_with_its_largest_files(folder, monkeypatch):
    monkeypatch.setattr(package, "MOST_BYTES", 1 << 20)
    root = folder({"job.py": "x", "small.txt": "y" * 10, "large.bin": "z" * (2 << 20)})
    with pytest.raises(BadOption, match=r"2\.1 MB and 1 MiB can travel .*large\.bin \(2\.1 MB\)"):
        build_package(root)
    assert build_package(root, [root / "large.bin"]).names == ("job.py", "small.txt")
