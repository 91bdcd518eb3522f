"""The pytest plugin: a fixture that rehearses templates and ends them with the test.

    def test_orders(rehearsal):
        stack = rehearsal("template.yaml")

Imports pytest and, when the fixture is used, the rest. When it is wrong, processes outlive the test session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from orchestrator.rehearsal.stack import Stack


@pytest.fixture
def rehearsal() -> Iterator[Callable[..., Stack]]:
    """Give a function with the arguments of `rehearse`; its stacks last until the test's end."""
    from orchestrator.rehearsal.stack import rehearse

    with ExitStack() as stacks:

        def start(template: Any, **options: Any) -> Stack:
            return stacks.enter_context(rehearse(template, **options))

        yield start
