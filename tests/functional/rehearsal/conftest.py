"""What tests of the rehearsal share: the templates beside them, and a bench for small stacks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from orchestrator.rehearsal import Stack, rehearse
from tests.functional.functions import make_function

ROLE = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {"Statement": []}}}


class Bench:
    """Deploys small stacks that tests put together; they last until the test's end."""

    def __init__(self, folder: Path, stacks: ExitStack) -> None:
        self._folder, self._stacks = folder, stacks

    def __call__(self, resources: dict[str, Any], **options: Any) -> Stack:
        """Give the stack of these resources, a role, and every Ref as an output."""
        return self._stacks.enter_context(rehearse(self.write(resources), **options))

    def write(self, resources: dict[str, Any], **sections: Any) -> Path:
        """Write the template only."""
        outputs = {
            name: {"Value": {"Ref": name}} for name, each in resources.items() if "Layer" not in each["Type"]
        }
        path = self._folder / "template.json"
        path.write_text(
            json.dumps({"Resources": {"Role": ROLE, **resources}, "Outputs": outputs, **sections})
        )
        return path

    function = staticmethod(make_function)

    @staticmethod
    def queue(*, letters: str | None = None, max_receives: int = 3, **properties: Any) -> dict[str, Any]:
        """Give a queue, with a redrive policy where a dead-letter queue is named."""
        if letters:
            target = {"Fn::GetAtt": [letters, "Arn"]}
            properties["RedrivePolicy"] = {"deadLetterTargetArn": target, "maxReceiveCount": max_receives}
        return {"Type": "AWS::SQS::Queue", "Properties": properties}

    @staticmethod
    def mapping(queue: str, function: str, **properties: Any) -> dict[str, Any]:
        """Give an event source mapping."""
        source = {"EventSourceArn": {"Fn::GetAtt": [queue, "Arn"]}, "FunctionName": {"Ref": function}}
        return {"Type": "AWS::Lambda::EventSourceMapping", "Properties": {**source, **properties}}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """The bench."""
    with ExitStack() as stacks:
        yield Bench(tmp_path, stacks)


@pytest.fixture(scope="module")
def module_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A bench whose stack all tests of a module share."""
    with ExitStack() as stacks:
        yield Bench(tmp_path_factory.mktemp("shared"), stacks)
