"""A request file is read strictly: whoever wrote it hears which field is wrong, and what it takes."""

import json
import pickle
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aliquot.request_file import FORMAT, MOST_BYTES, RequestRefused, RunRequest

LEAST = {"format": FORMAT, "job": "crossref", "data": "june/"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = list(RunRequest.__dataclass_fields__)


def read(**fields):
    return RunRequest.from_bytes(json.dumps({**LEAST, **fields}).encode())


def refuse(body):
    with pytest.raises(RequestRefused) as caught:
        RunRequest.from_bytes(body if isinstance(body, bytes) else body.encode())
    return caught.value


def test_least_request_has_the_commands_defaults():
    assert read() == RunRequest("crossref", ("june/",))
    assert (read().record_timeout_s, read().max_failed, read().window) == (60.0, "5%", None)


def test_every_field_is_read():
    found = read(
        data=["a/", "s3://data/b.csv"],
        options={"templates": "t.csv"},
        columns={"reaction": "rxn"},
        keep=["yield", "yield"],
        package="0" * 64,
        budget_usd=5,
        budget_time_s=600,
        record_timeout_s=30.5,
        max_failed=12,
        window=40,
    )
    assert found == RunRequest(
        job="crossref",
        data=("a/", "s3://data/b.csv"),
        options={"templates": "t.csv"},
        columns={"reaction": "rxn"},
        keep=("yield",),
        package="0" * 64,
        budget_usd=5.0,
        budget_time_s=600.0,
        record_timeout_s=30.5,
        max_failed="12",
        window=40,
    )


def test_what_is_no_object_of_json_is_refused():
    for body in ("", "{", "[]", "null", '"text"', "NaN", '{"a": NaN}', b"\xff\xfe\x00", "[" * 100_000):
        assert refuse(body).field == "file", body[:20]
    assert "262,144 at most" in str(refuse(b" " * (MOST_BYTES + 1)))


def test_half_a_character_is_refused():
    """JSON can spell it, and no key of S3 can hold it."""
    assert refuse(r'{"job": "\ud800"}').field == "file"


def test_name_that_stands_twice_is_refused():
    """Which of two budgets counts should not depend on a parser."""
    assert str(refuse('{"budget_usd": 1, "budget_usd": 100}')) == "budget_usd: stands twice"


def test_other_version_is_refused_before_its_fields():
    found = refuse(json.dumps({"format": "aliquot/request/2", "colour": "red"}))
    assert found.field == "format"
    assert "aliquot/request/1" in found.reason


def test_unknown_fields_are_named():
    found = refuse(json.dumps({**LEAST, "colour": "red", "shape": 1}))
    assert found.field == "colour, shape"
    assert "budget_usd" in found.reason


@pytest.mark.parametrize("name", ["job", "data"])
def test_missing_field_is_named(name):
    assert refuse(json.dumps({key: value for key, value in LEAST.items() if key != name})).field == name


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("job", ["", 1, None, ["crossref"]]),
        ("data", ["", [], [1], [""], {}, None]),
        ("options", [[], "a", None]),
        ("columns", [{"a": 1}, [], None]),
        ("keep", ["", [1], {}]),
        ("package", ["0" * 63, "0" * 64 + "\n", "Z" * 64, 1, None]),
        ("budget_usd", [0, -1, "5", True, None, 1e999]),
        ("budget_time_s", [0, "1h"]),
        ("record_timeout_s", [0, "60", False]),
        ("max_failed", ["five", "120%", 1.5, True, None]),
        ("window", [0, 1001, 1.0, "10", True]),
    ],
)
def test_wrong_value_is_shown_with_what_is_taken(name, values):
    for value in values:
        body = json.dumps({**LEAST, name: value}).replace("Infinity", "1e999")
        found = refuse(body)
        assert found.field == name, value
        assert "it takes" in found.reason


@given(st.dictionaries(st.sampled_from([*FIELDS, "format", "other"]), JSON))
def test_any_json_is_read_or_refused(fields):
    try:
        body = json.dumps({**LEAST, **fields}).encode()
    except ValueError:
        return
    with suppress(RequestRefused):
        RunRequest.from_bytes(body)


def test_refusal_crosses_processes():
    err = refuse(json.dumps({**LEAST, "window": 0}))
    assert str(pickle.loads(pickle.dumps(err))) == str(err)  # noqa: S301 - our own
