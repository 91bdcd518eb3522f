"""The targets of `make fuzz`, without atheris: what they begin with is read, and they can be asked again."""

from __future__ import annotations

import pytest

from benchmarks.fuzz import stacks
from benchmarks.fuzz.__main__ import main
from benchmarks.fuzz.targets import Target, list_targets


@pytest.fixture(autouse=True)
def processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the handlers' targets replace, put back."""
    for module, names in stacks.REPLACED.items():
        for name in names:
            monkeypatch.setattr(module, name, getattr(module, name))


@pytest.mark.parametrize("target", list_targets().values(), ids=lambda target: target.name)
def test_every_target_takes_what_it_begins_with(target: Target) -> None:
    """A target that asks nothing any more would find nothing."""
    ask, seeds = target.make(), list(target.seeds())
    assert seeds
    n_refused = 0
    for seed in seeds:
        try:
            ask(seed)
        except target.allowed:
            n_refused += 1
    assert n_refused < len(seeds)


def test_finding_is_asked_again_without_atheris(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "codec", "--input", "wQ=="]) == 0
    assert "refused: Undecodable" in capsys.readouterr().out
    assert main(["--only", "nothing"]) == 2
