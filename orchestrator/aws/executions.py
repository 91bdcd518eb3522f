"""The executions of a stack's state machine that drive one run: one for each time that it was begun.

An execution is called `<run>-<epoch>`, so that beginning twice begins once; the ones that follow it when its
history is full carry `-<leg>` behind. Owns these names and what their states mean. boto3's client is an
argument. When it is wrong, two executions drive a run, or none.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from orchestrator.stack.aws import explained

RUNNING, SUCCEEDED = "RUNNING", "SUCCEEDED"
_LONGEST_CAUSE = 500


@dataclass(frozen=True)
class Execution:
    """What drives a run, or drove it.

    Args:
        epoch: that was open when it was begun.
        leg: how many executions came before it of the same beginning.
        status: Step Functions' word.
        cause: why it ended, where it failed.
    """

    epoch: int
    leg: int
    status: str
    cause: str

    @property
    def is_running(self) -> bool:
        """Whether it drives the run."""
        return self.status == RUNNING


class Executions:
    """The executions of one run.

    Args:
        client: a boto3 client of Step Functions.
        state_machine: its ARN.
        run: the run's id.
    """

    def __init__(self, client: Any, state_machine: str, run: str) -> None:
        self._client, self._state_machine, self._run = client, state_machine, run

    def begin(self, epoch: int, *, is_cutting: bool = False) -> Execution:
        """Begin to drive the run; one that was begun in this epoch stays as it is. Raises AwsRefused.

        Args:
            is_cutting: the stack cuts the dataset, which lies in S3.
        """
        begun_before = suppress(self._client.exceptions.ExecutionAlreadyExists)
        with explained(f"starting run {self._run}"), begun_before:
            self._client.start_execution(
                stateMachineArn=self._state_machine,
                name=self._name(epoch, 0),
                input=json.dumps({"run": self._run, "epoch": epoch, **({"cut": True} if is_cutting else {})}),
            )
        return self.follow(Execution(epoch, 0, RUNNING, ""))

    def find_latest(self, epoch: int) -> Execution | None:
        """The one that was begun last, in `epoch` or before; None where the run was never begun."""
        for candidate in range(epoch, -1, -1):
            found = self._describe(candidate, 0)
            if found is not None:
                return self.follow(found)
        return None

    def follow(self, execution: Execution) -> Execution:
        """How it stands now, or the one that it handed over to. Raises AwsRefused."""
        now = self._describe(execution.epoch, execution.leg) or execution
        while now.status == SUCCEEDED and (successor := self._describe(now.epoch, now.leg + 1)) is not None:
            now = successor
        return now

    def _describe(self, epoch: int, leg: int) -> Execution | None:
        arn = self._state_machine.replace(":stateMachine:", ":execution:", 1)
        with explained(f"asking how run {self._run} stands"):
            try:
                said = self._client.describe_execution(executionArn=f"{arn}:{self._name(epoch, leg)}")
            except self._client.exceptions.ExecutionDoesNotExist:
                return None
        cause = said.get("cause") or said.get("error") or f"its execution is {said['status']}"
        return Execution(epoch, leg, said["status"], shorten_cause(cause))

    def _name(self, epoch: int, leg: int) -> str:
        return f"{self._run}-{epoch}" + (f"-{leg}" if leg else "")


def shorten_cause(cause: str) -> str:
    """Why an execution failed, in a line: of a function's error its type and its message."""
    try:
        said = json.loads(cause)
    except ValueError:
        said = None
    if isinstance(said, dict) and "errorType" in said:
        cause = f"{said['errorType']}: {said.get('errorMessage', '')}"
    line = " ".join(cause.split())
    return line if len(line) <= _LONGEST_CAUSE else f"{line[:_LONGEST_CAUSE]}..."
