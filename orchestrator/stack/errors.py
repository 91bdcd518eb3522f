"""What can go wrong with a stack before a run is under way; every one of them is a `UsageError`.

    UsageError
    |- MissingTool        a program or package that is not on this machine
    |- AwsRefused         AWS was not reached, or did not allow what was asked
    |- NoSuchStack        no stack of that name here, or one that is not Aliquot's
    |- VersionSkew        stack and machine would not give the same rows
    |- DeployFailed       SAM or CloudFormation gave up
    `- DestroyRefused     results or runs would be lost from sight

Imports the core's errors. Each passes its constructor's arguments on, so that it pickles.
"""

from __future__ import annotations

from aliquot.errors import UsageError


class MissingTool(UsageError):
    """A program or package that this machine lacks; `remedy` says how to get it."""

    def __init__(self, tool: str, reason: str, remedy: str) -> None:
        super().__init__(tool, reason, remedy)
        self.tool, self.reason, self.remedy = tool, reason, remedy

    def __str__(self) -> str:
        return f"{self.tool} {self.reason}: {self.remedy}"


class AwsRefused(UsageError):
    """A call of AWS that failed; `remedy` says what to do."""

    def __init__(self, action: str, reason: str, remedy: str) -> None:
        super().__init__(action, reason, remedy)
        self.action, self.reason, self.remedy = action, reason, remedy

    def __str__(self) -> str:
        return f"{self.action}: {self.reason}: {self.remedy}"


class NoSuchStack(UsageError):
    """No stack that runs can be sent to answers to the name."""

    def __init__(self, stack: str, region: str, reason: str) -> None:
        super().__init__(stack, region, reason)
        self.stack, self.region, self.reason = stack, region, reason

    def __str__(self) -> str:
        return f"stack {self.stack!r} in {self.region}: {self.reason}"


class VersionSkew(UsageError):
    """A stack and this machine differ in what may change rows; `differences` names both versions of each."""

    def __init__(self, stack: str, differences: tuple[str, ...], remedy: str) -> None:
        super().__init__(stack, differences, remedy)
        self.stack, self.differences, self.remedy = stack, differences, remedy

    def __str__(self) -> str:
        return (
            f"stack {self.stack!r} and this machine might give different rows: "
            f"{'; '.join(self.differences)}: {self.remedy}"
        )


class DeployFailed(UsageError):
    """A step of deploying or destroying ended without success; `reason` is its own sentence."""

    def __init__(self, stack: str, step: str, reason: str) -> None:
        super().__init__(stack, step, reason)
        self.stack, self.step, self.reason = stack, step, reason

    def __str__(self) -> str:
        return f"stack {self.stack!r}: {self.step}: {self.reason}"


class DestroyRefused(UsageError):
    """A stack that is still needed; `reason` says by what."""

    def __init__(self, stack: str, reason: str) -> None:
        super().__init__(stack, reason)
        self.stack, self.reason = stack, reason

    def __str__(self) -> str:
        return f"stack {self.stack!r} is still needed: {self.reason}"
