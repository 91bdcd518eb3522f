"""What can go wrong with a rehearsal itself, as opposed to the handlers in it.

    RehearsalError
    |-- UnsupportedTemplate    the template asks for what a rehearsal cannot do: every such thing is named
    |-- PackageTooLarge        a function and its layers would be refused by Lambda
    |-- DeployFailed           AWS (or moto) would refuse the stack
    |-- InvokeRefused          Lambda would not have started the invocation: throttled, too large, a loop
    `-- StillBusy              `drain` has reached its limit and messages are still moving

Imports nothing. When it is wrong, a template that cannot work here seems to work.
"""

from __future__ import annotations

from collections.abc import Sequence


class RehearsalError(Exception):
    """Root of what a rehearsal raises."""


class UnsupportedTemplate(RehearsalError):
    """The template holds what a rehearsal cannot imitate; `problems` names each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(problems)
        self.problems = list(problems)

    def __str__(self) -> str:
        return "this template cannot be rehearsed:\n" + "\n".join(f"  - {each}" for each in self.problems)


class PackageTooLarge(RehearsalError):
    """A function's code and layers are more than Lambda unpacks."""

    def __init__(self, function: str, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(function, size_bytes, limit_bytes)
        self.function, self.size_bytes, self.limit_bytes = function, size_bytes, limit_bytes

    def __str__(self) -> str:
        return (
            f"{self.function} and its layers are {self.size_bytes:,} B unzipped and Lambda takes "
            f"{self.limit_bytes:,} B: leave packages out, or use a container image"
        )


class DeployFailed(RehearsalError):
    """The stack was refused; `reason` is AWS's or moto's sentence."""

    def __init__(self, resource: str, reason: str) -> None:
        super().__init__(resource, reason)
        self.resource, self.reason = resource, reason

    def __str__(self) -> str:
        return f"{self.resource}: {self.reason}"


class InvokeRefused(RehearsalError):
    """Lambda refuses to invoke; `code` and `status` are those of its answer."""

    def __init__(self, code: str, status: int, message: str) -> None:
        super().__init__(code, status, message)
        self.code, self.status, self.message = code, status, message

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class StillBusy(RehearsalError):
    """`drain` stopped at its limit; `waiting` says what was still moving."""

    def __init__(self, limit_s: float, waiting: Sequence[str]) -> None:
        super().__init__(limit_s, waiting)
        self.limit_s, self.waiting = limit_s, list(waiting)

    def __str__(self) -> str:
        return f"still busy after {self.limit_s:g} s with " + ("; ".join(self.waiting) or "nothing known")
