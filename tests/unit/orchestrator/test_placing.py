"""What lies in a run's folder, as its note says, and as files change places."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator import placing
from orchestrator.placing import Delivered, place_delivery, read_delivered


def write_aside(run: Path, *names: str) -> Path:
    """Files of a delivery, with their names in them."""
    aside = run / "ledger" / "delivery"
    (aside / "result").mkdir(parents=True)
    for name in names:
        (aside / name).write_text(name)
    return aside


def test_delivery_replaces_the_one_before_and_is_noted(tmp_path: Path) -> None:
    place_delivery(write_aside(tmp_path, "result/part-0.csv", "failures.csv"), tmp_path, 0, "csv")
    place_delivery(write_aside(tmp_path, "result/part-0.parquet", "summary.json"), tmp_path, 2, "parquet")
    there = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert there == {"result/part-0.parquet", "summary.json", "ledger/delivered.json"}
    found = read_delivered(tmp_path)
    assert found == Delivered(2, "parquet", ["result", "summary.json"])
    assert found.is_whole(tmp_path, 2, "parquet")
    assert not found.is_whole(tmp_path, 2, "csv")
    assert not found.is_whole(tmp_path, 1, "parquet")
    (tmp_path / "summary.json").unlink()
    assert not found.is_whole(tmp_path, 2, "parquet")


def test_nothing_is_whole_while_files_change_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(*_: object) -> list[str]:
        raise KeyboardInterrupt

    place_delivery(write_aside(tmp_path, "old.csv"), tmp_path, 0, "csv")
    monkeypatch.setattr(placing, "place_files", cut)
    with pytest.raises(KeyboardInterrupt):
        place_delivery(write_aside(tmp_path, "new.csv"), tmp_path, 1, "csv")
    found = read_delivered(tmp_path)
    assert found.epoch is None
    assert {"old.csv", "new.csv"} <= set(found.names)  # whatever of them is there, the next one replaces


@pytest.mark.parametrize(
    "note",
    [
        "",
        "{",
        "[]",
        "7",
        '{"epoch": 0, "files": []}',
        json.dumps({"ending": "csv", "names": []}),
        json.dumps({"epoch": 0, "ending": "csv", "names": [5]}),
        json.dumps({"epoch": "0", "ending": "csv", "names": []}),
        json.dumps({"epoch": 0, "ending": 5, "names": []}),
        json.dumps({"epoch": 0, "ending": "csv", "names": ["../result"]}),
    ],
)
def test_damaged_note_says_that_nothing_is_whole(tmp_path: Path, note: str) -> None:
    (tmp_path / "ledger").mkdir()
    (tmp_path / "ledger" / "delivered.json").write_text(note)
    assert read_delivered(tmp_path) == Delivered()
