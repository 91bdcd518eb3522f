"""Errors cross process boundaries: each keeps its class, its fields and its words."""

from __future__ import annotations

import inspect
import pickle

import pytest

from aliquot import errors
from aliquot.errors import AliquotError

_VALUES = {
    "str": "text",
    "int": 7,
    "float": 0.5,
    "bool": True,
    "tuple[tuple[int, str], ...]": ((3, "no arrow"), (9, "no product")),
}


def _list_classes() -> list[type[AliquotError]]:
    found = [value for value in vars(errors).values() if isinstance(value, type)]
    return [kind for kind in found if issubclass(kind, AliquotError)]


def _make(kind: type[AliquotError]) -> AliquotError:
    if "__init__" not in vars(kind) and kind.__init__ is Exception.__init__:
        return kind("plain words")
    parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return kind("plain words")
    return kind(*(_VALUES[str(parameter.annotation)] for parameter in parameters))


@pytest.mark.parametrize("kind", _list_classes(), ids=lambda kind: kind.__name__)
def test_every_error_pickles_with_its_fields_and_words(kind: type[AliquotError]) -> None:
    """A host's error is raised again by the supervisor, and has to say there what it said here."""
    err = _make(kind)
    read = pickle.loads(pickle.dumps(err))  # noqa: S301 - our own bytes
    assert type(read) is kind
    assert vars(read) == vars(err)
    assert str(read) == str(err)
    assert read.args == err.args


def test_every_error_stands_in_the_tree_that_the_module_draws() -> None:
    """The drawing is what callers read to choose what to catch."""
    drawn = {
        line.split("- ")[1].split()[0]
        for line in (errors.__doc__ or "").splitlines()
        if ("- " in line and "|" in line) or "`- " in line
    }
    assert drawn | {"AliquotError"} == {kind.__name__ for kind in _list_classes()}


def test_bad_reference_counts_the_rows_that_it_does_not_show() -> None:
    err = errors.BadReference("templates.csv", "rows do not parse", ((2, "no arrow"), (5, "empty")), 40)
    assert "line 2: no arrow" in str(err)
    assert "and 38 more" in str(err)
