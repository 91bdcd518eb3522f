"""What AWS charges and allows: one dated table, which a user may override.

Read from AWS's price pages for us-east-1, autumn 2026; other regions differ by up to a third. Owns these
figures and nothing else. Imports a check of `notes`. When it is wrong, estimates and budgets are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from aliquot.notes import is_figure

RUNG_MB = {"small": 1769, "medium": 3538, "large": 10240}
HELD_SHARE, SUPERVISOR_MB = 0.85, 120  # what of it hosts have, as template.yaml has ALIQUOT_MEMORY_MIB
MB_PER_GB = 1024


@dataclass(frozen=True)
class Prices:
    """US dollars by unit.

    Args:
        as_of, source: when and where they were read.
        lambda_gb_s_arm64, lambda_gb_s_x86_64: a GB of a function's memory for a second, INIT included.
        lambda_request: an invocation.
        s3_put, s3_get: a PUT or LIST, a GET or HEAD.
        sqs_request: an API call of up to 64 KB.
        step_transition: a state that a standard execution enters.
    """

    as_of: str = "2026-10"
    source: str = (
        "aws.amazon.com/lambda/pricing, /s3/pricing, /sqs/pricing, /step-functions/pricing; us-east-1"
    )
    lambda_gb_s_arm64: float = 0.0000133334
    lambda_gb_s_x86_64: float = 0.0000166667
    lambda_request: float = 0.0000002
    s3_put: float = 0.000005
    s3_get: float = 0.0000004
    sqs_request: float = 0.0000004
    step_transition: float = 0.000025

    def to_plain(self) -> dict[str, Any]:
        """Plain values, for a manifest."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Prices:
        """The table with what is given instead; raises ValueError for names and figures that cannot be."""
        known = {field.name: field.type for field in fields(cls)}
        for name, value in plain.items():
            if name not in known:
                raise ValueError(f"{name!r} is no price: there are {', '.join(known)}")
            if known[name] == "str" and not isinstance(value, str):
                raise ValueError(f"{name} cannot be {value!r}: text, in quotes")
            if known[name] == "float" and not is_figure(value):
                raise ValueError(f"{name} cannot be {value!r}: dollars, 0 or more")
        return cls(**plain)

    def gb_s(self, architecture: str) -> float:
        """Of a function of this processor: "arm64" or "x86_64"."""
        return self.lambda_gb_s_arm64 if architecture == "arm64" else self.lambda_gb_s_x86_64

    def memory_s(self, architecture: str, memory_mb: int) -> float:
        """A second of a function with so much memory."""
        return self.gb_s(architecture) * memory_mb / MB_PER_GB
