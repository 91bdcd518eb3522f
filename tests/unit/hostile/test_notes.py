"""Notes, markers and events that say what cannot be: refused by one error, and nothing comes of them.

All were found by `make fuzz`; the stack is its, in memory.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aliquot.aws import S3Store
from aliquot.chunk import Chunk
from aliquot.cloud import UNCLAIMED, Cloud
from aliquot.errors import StoreError, Undecodable
from aliquot.keys import ChunkId
from aliquot.lane import Task
from aliquot.ledger import Ledger
from aliquot.message import hand_back
from aliquot.outcome import Failure, Outcome
from aliquot.prices import Prices
from aliquot.reducer import read_published
from aliquot.spending import Tariff, afford_window
from aliquot.store import FolderStore
from benchmarks.fuzz import stacks
from benchmarks.fuzz.memory import MemoryS3
from benchmarks.fuzz.stacks import RUN, Stack

PREFIX = f"runs/{RUN}/"
SOUND = {"run": RUN, "prepare": RUN, "epoch": 0, "group": 0, "step": "count", "parts": [0, 1], "round": 0}
HANDLERS: dict[str, Callable[[Cloud, Any], Any]] = {
    "tick": lambda cloud, event: cloud.tick(event),
    "reduce": lambda cloud, event: cloud.reduce_group(event),
    "publish": lambda cloud, event: cloud.publish(event),
    "prepare": lambda cloud, event: cloud.prepare(event, 100.0),
    "cut": lambda cloud, event: cloud.cut(event, 100.0),
}


@pytest.fixture(autouse=True)
def _processes(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, names in stacks.REPLACED.items():
        for name, instead in names.items():
            monkeypatch.setattr(module, name, instead)


@pytest.mark.parametrize(
    ("handlers", "wrong"),
    [
        (["tick", "reduce", "publish", "prepare", "cut"], 5),
        (["tick", "reduce", "publish", "prepare", "cut"], {"run": None, "prepare": None}),
        (["reduce", "publish", "prepare", "cut"], {"epoch": "0"}),
        (["reduce", "publish", "prepare", "cut"], {"epoch": 1e9}),
        (["reduce", "publish", "prepare", "cut"], {"epoch": 10**9}),
        (["reduce"], {"group": "../x"}),
        (["tick", "publish"], {"state": {"epoch": 10**12}}),
        (["tick", "publish"], {"state": {"n_dispatched": -5}}),
        (["tick", "publish"], {"state": {"n_ticks": 0.5}}),
        (["tick", "publish"], {"state": {"unknown": 1}}),
        (["tick", "publish"], {"state": [1]}),
        (["cut"], {"step": "destroy"}),
        (["cut"], {"step": ["count"]}),
        (["cut"], {"parts": None}),
        (["cut"], {"parts": [0]}),
        (["cut"], {"parts": [1, 0]}),
        (["cut"], {"parts": ["0", "1"]}),
        (["cut"], {"parts": [0, 1000]}),
        (["cut"], {"round": 7}),
    ],
)
def test_event_that_asks_for_what_cannot_be_is_refused(handlers: list[str], wrong: Any) -> None:
    """An epoch of ten digits would have been ended by an object whose key nothing reads any more."""
    for name in handlers:
        stack = Stack(stacks.to_cut() if name == "cut" else stacks.half_way())
        with pytest.raises(Undecodable):
            HANDLERS[name](stack.cloud, {**SOUND, **wrong} if isinstance(wrong, dict) else wrong)
        assert not [key for key in stack.list_new() if "/paid/" not in key]


def _garble(body: bytes, field: str, value: Any) -> bytes:
    """A JSON object with one of its fields, named by a path, of another value."""
    plain = json.loads(body)
    *path, last = field.split(".")
    at = plain
    for name in path:
        at = at[name]
    at[last] = value
    return json.dumps(plain).encode()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("job", ["a"]),
        ("stages", 5),
        ("stages", []),
        ("stages", [{"name": "f"}]),
        ("options", None),
        ("versions", {"a": 1}),
        ("settings", []),
        ("settings.record_timeout_s", "5"),
        ("settings.record_timeout_s", float("inf")),
        ("settings.record_timeout_s", 10**400),
        ("settings.max_failed", 5),
        ("settings.window", -1),
        ("settings.until_s", "noon"),
        ("settings.budget_usd", float("nan")),
        ("settings.tariff", {"prices": {}}),
        ("settings.tariff.timeout_s", None),
    ],
)
def test_manifest_that_says_what_cannot_be_is_named(field: str, value: Any) -> None:
    """A dead letter of such a run came again until its queue forgot it: it ended in a KeyError each time."""
    key = f"{PREFIX}manifest.json"
    body = _garble(stacks.half_way()[stacks.BUCKET, key], field, value)
    handle: Callable[[Cloud], Any]
    for is_message, handle in (
        (False, lambda cloud: cloud.tick(SOUND)),
        (False, lambda cloud: cloud.publish(SOUND)),
        (True, lambda cloud: cloud.work(stacks.TASK.to_text(), 1, 100.0)),
        (True, lambda cloud: cloud.bury(stacks.TASK.to_text())),
    ):
        stack = Stack(stacks.half_way())
        stack.replace(key.encode(), body)
        with pytest.raises(Undecodable, match=r"manifest\.json"):
            handle(stack.cloud)
        assert len(stack.list_new(UNCLAIMED)) == is_message


def test_dead_letter_stays_while_its_run_cannot_be_read() -> None:
    """It was acknowledged as if it had been filed: the task was gone, and `unclaimed/` empty."""
    stack = Stack(stacks.half_way())
    stray = f"{PREFIX}outcomes/f/00000001.3/readme"
    stack.replace(stray.encode(), b"")
    with pytest.raises(StoreError, match="readme"):
        stack.cloud.bury(stacks.TASK.to_text())
    assert not stack.list_new()
    assert not stack.sqs.sent


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("cut/plan-0.json", "part_bytes", 0),
        ("cut/plan-0.json", "streamed", [["x"]]),
        ("cut/numbers.json", "parts", [[0]]),
        ("cut/numbers.json", "parts", [[7, 0, 1, 0, 1, 1, 0, 0]]),
        ("manifest.json", "identity", {"sources": [{"path": "s3://inbox/a.csv", "format": "exe"}]}),
        ("manifest.json", "identity", {"sources": 5}),
    ],
)
def test_note_of_a_cut_that_is_damaged_is_named(name: str, field: str, value: Any) -> None:
    key = f"{PREFIX}{name}"
    stack = Stack(stacks.to_cut())
    stack.s3.objects.pop((stacks.BUCKET, f"{PREFIX}cut/counts/00000000-stream-0.json"))
    stack.replace(key.encode(), _garble(stacks.to_cut()[stacks.BUCKET, key], field, value))
    step = "count" if "plan" in name else "cut"
    with pytest.raises(Undecodable, match=name):
        stack.cloud.cut({**SOUND, "step": step}, 100.0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("figures.done", "3"),
        ("columns", {}),
        ("written.rows", [[5, ["int"]]]),
        ("files", [5]),
        ("wall_ms", None),
    ],
)
def test_note_of_a_group_that_is_damaged_is_named(field: str, value: Any) -> None:
    key = f"{PREFIX}merge/0000/00000.json"
    stack = Stack(stacks.settled())
    stack.replace(key.encode(), _garble(stacks.settled()[stacks.BUCKET, key], field, value))
    with pytest.raises(Undecodable, match="merge/0000/00000"):
        stack.cloud.publish(SOUND)


@pytest.mark.parametrize(
    "name", ["published/0000.json", "result-0000/summary.json", "result-0000/invoice.json"]
)
@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000])
def test_published_result_that_is_damaged_is_named(name: str, body: bytes) -> None:
    stack = Stack(stacks.settled())
    stack.cloud.publish(SOUND)
    key = f"results/{RUN}/{name}"
    stack.replace(key.encode(), body)
    with pytest.raises(Undecodable, match=name):
        stack.cloud.publish(SOUND)
    if name.startswith("published"):
        with pytest.raises(Undecodable, match=name):
            read_published(S3Store(MemoryS3(stack.s3.objects), stacks.BUCKET, f"results/{RUN}/"))


def test_outcome_that_is_damaged_later_changes_no_roster(tmp_path: Path) -> None:
    """The invoice of a settled run reads its roster, and was ended by an outcome that does not count."""
    chunk = ChunkId(0, 1)
    ledger = Ledger(FolderStore(tmp_path))
    ledger.put_chunk(chunk, Chunk(0, 1, {"id": ["a"]}).to_bytes())
    failed = Outcome({}, {}, 0, [Failure(0, "crash", "why")])
    ledger.put_outcome("w", chunk, chunk.all_records, failed, 1)
    roster = ledger.settle("w", 0)
    late = ledger.put_outcome("w", chunk, chunk.all_records, failed, 1)
    ledger.store.put(str(late), b"damaged")
    assert ledger.settle("w", 0) == roster


def test_reason_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    ledger = Ledger(FolderStore(tmp_path))
    ledger.store.put("stop/0000.json", b'{"reason": "\\ud800"}')
    with pytest.raises(Undecodable, match="stop/0000"):
        ledger.list_stops()


@pytest.mark.parametrize("slice_s", [0.0, 5e-324])
def test_slice_without_time_hands_its_rest_back(slice_s: float) -> None:
    """A run whose time is up leaves its workers none: handing back divided by it, and the task came again."""
    task = stacks.TASK
    (child,) = hand_back(replace(task, share=1), [Task(task.chunk, task.spans)], 0.25, slice_s)
    assert child.spans == task.spans
    assert len(hand_back(task, [Task(task.chunk, task.spans)], 0.0, 30.0)) == 1


def test_worker_after_the_end_of_its_run_s_time_loses_no_task() -> None:
    stack = Stack(stacks.half_way())
    key = f"{PREFIX}manifest.json"
    stack.replace(key.encode(), _garble(stacks.half_way()[stacks.BUCKET, key], "settings.until_s", 1.0))
    assert stack.cloud.work(stacks.TASK.to_text(), 1, 100.0).n_follow_ups == len(stack.sqs.sent) > 0


def test_reason_why_a_job_does_not_open_is_noted_whatever_it_spells() -> None:
    stack = Stack(stacks.half_way())
    stack.cloud.ledger_of(RUN).note_open_failure(0, "job", "half a character: \ud800")
    (key,) = stack.cloud.ledger_of(RUN).list_open_failures(0)
    assert stack.cloud.ledger_of(RUN).store.get(key).decode() == "half a character: ?"


def test_budget_of_all_the_money_is_one() -> None:
    assert afford_window(Tariff(Prices(), "arm64", 150.0), 1e308, 7) == 7


def test_message_of_a_sound_run_is_none_of_these() -> None:
    stack = Stack(stacks.half_way())
    assert stack.cloud.work(base64.b64encode(base64.b64decode(stacks.TASK.to_text())).decode(), 1, 100.0)
    assert not stack.list_new(UNCLAIMED)
