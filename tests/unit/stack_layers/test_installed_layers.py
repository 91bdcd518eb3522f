"""Layers for rehearsals, from what is installed here: pruned, named when absent, made once."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.installed_layers import (
    DistributionsMissing,
    assemble_layers,
    find_cache,
    plan_layers,
)


@pytest.fixture
def write_stack(tmp_path, project_root):
    """Give a function that writes a stack's files with one layer, `small-deps`."""

    def write(requirements: str, prune: str = "") -> Path:
        layers = tmp_path / "stack" / "layers"
        (layers / "small-deps").mkdir(parents=True, exist_ok=True)
        (layers / "build.py").write_bytes((project_root / "layers" / "build.py").read_bytes())
        (layers / "small-deps" / "requirements.txt").write_text(f"# of a test\n{requirements}")
        (layers / "small-deps" / "prune.txt").write_text(prune)
        return layers.parent

    return write


def installed(name):
    from importlib import metadata

    return f"{name}=={metadata.version(name)}\n"


def test_layer_imports_without_site_packages(write_stack, tmp_path):
    stack = write_stack(installed("msgpack") + installed("psutil"))
    (folder,) = assemble_layers(stack, tmp_path / "cache").values()
    code = "import msgpack, psutil; print(msgpack.__file__, psutil.__file__)"
    command = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        f"import sys; sys.path[:0] = [{str(folder / 'python')!r}]; {code}",
    ]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert said.count(str(folder)) == 2


def test_layer_is_named_as_in_the_template(write_stack, tmp_path):
    stack = write_stack(installed("msgpack"))
    found = assemble_layers(stack, tmp_path / "cache")
    assert list(found) == ["SmallDeps"]
    assert found["SmallDeps"].parent == tmp_path / "cache" / plan_layers(stack).digest


def test_layer_is_pruned_and_what_is_installed_is_not(write_stack, tmp_path):
    """The files are hard links: to unlink one must leave the other."""
    import psutil

    stack = write_stack(installed("psutil"), prune="python/psutil/_common.py\n")
    (folder,) = assemble_layers(stack, tmp_path / "cache").values()
    assert (folder / "python/psutil/__init__.py").is_file()
    assert not (folder / "python/psutil/_common.py").exists()
    assert (Path(psutil.__file__).parent / "_common.py").is_file()


def test_scripts_stay_outside(write_stack, tmp_path):
    """A script's path begins with `..`, and would be laid out beside the cache."""
    stack = write_stack(installed("numpy"))
    (folder,) = assemble_layers(stack, tmp_path / "cache").values()
    assert {each.name for each in (tmp_path / "cache").iterdir()} == {plan_layers(stack).digest}
    assert {each.name for each in folder.iterdir()} == {"python"}


def test_every_missing_distribution_is_named(write_stack, tmp_path):
    stack = write_stack("no-such-thing==1.2\nnor-this==3\n" + installed("msgpack"))
    with pytest.raises(DistributionsMissing) as refusal:
        assemble_layers(stack, tmp_path / "cache")
    assert [each.name for each in refusal.value.missing] == ["no-such-thing", "nor-this"]
    assert "no-such-thing (wanted 1.2, found none)" in str(refusal.value)
    assert "msgpack" not in str(refusal.value)
    assert not (tmp_path / "cache").exists()
    again = pickle.loads(pickle.dumps(refusal.value))  # noqa: S301  our own bytes
    assert str(again) == str(refusal.value)


def test_another_version_is_named_and_serves(write_stack, tmp_path):
    """Local runs use it too; AWS would not, which the caller can tell its user."""
    stack = write_stack("msgpack==0.0.1\n")
    (other,) = plan_layers(stack).differing
    assert (other.name, other.wanted) == ("msgpack", "0.0.1")
    assert other.found in str(other)
    assert assemble_layers(stack, tmp_path / "cache")


def test_layers_are_made_once(write_stack, tmp_path):
    stack = write_stack(installed("msgpack"))
    (folder,) = assemble_layers(stack, tmp_path / "cache").values()
    (folder / "mark").touch()
    assert assemble_layers(stack, tmp_path / "cache") == {"SmallDeps": folder}
    assert (folder / "mark").exists()


def test_other_rules_make_another_folder(write_stack, tmp_path):
    cache = tmp_path / "cache"
    before = assemble_layers(write_stack(installed("msgpack")), cache)
    after = assemble_layers(write_stack(installed("msgpack"), prune="python/msgpack/fallback.py\n"), cache)
    assert before != after
    assert (before["SmallDeps"] / "python/msgpack/fallback.py").exists()


def test_half_made_layers_are_not_taken(write_stack, tmp_path, project_root):
    """A process that was ended while it assembled leaves a folder aside, which nobody looks at."""
    stack = write_stack(installed("msgpack"), prune="python\n")
    source = (project_root / "layers" / "build.py").read_text()
    (stack / "layers/build.py").write_text(source.replace("remove(found)", "raise KeyboardInterrupt"))
    with pytest.raises(KeyboardInterrupt):
        assemble_layers(stack, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_cache_lies_where_the_desktop_says(tmp_path):
    assert find_cache({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "aliquot" / "layers"
    assert find_cache({}) == Path.home() / ".cache" / "aliquot" / "layers"
