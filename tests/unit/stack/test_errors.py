"""Errors of the stack: each keeps its class, its fields and its words across a process boundary."""

import inspect
import pickle

import pytest

from aliquot.errors import UsageError
from orchestrator.stack import errors

VALUES = {"str": "text", "tuple[str, ...]": ("rdkit is 1 here and 2 there",)}
KINDS = [
    kind for kind in vars(errors).values() if inspect.isclass(kind) and kind.__module__ == errors.__name__
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_error_is_of_usage_and_pickles_with_its_fields(kind):
    names = list(inspect.signature(kind.__init__).parameters.values())[1:]
    err = kind(*(VALUES[str(each.annotation)] for each in names))
    read = pickle.loads(pickle.dumps(err))  # noqa: S301 - our own bytes
    assert isinstance(err, UsageError)
    assert (type(read), vars(read), str(read)) == (kind, vars(err), str(err))


def test_every_error_stands_in_the_tree_that_the_module_draws():
    drawn = [line.split("- ")[1].split()[0] for line in errors.__doc__.splitlines() if "- " in line]
    assert drawn == [kind.__name__ for kind in KINDS]
