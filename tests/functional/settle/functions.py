"""Small functions in place of the stack's own, as a template has them."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import dedent
from typing import Any


def make_function(code: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """A function's resource, in the role `Role`; its handler is `handler`.

    Args:
        code: a module's, indented as it stands in a test.
        variables: of its environment.
    """
    properties = {
        "Runtime": "python3.13",
        "Handler": "index.handler",
        "Code": {"ZipFile": dedent(code)},
        "Role": {"Fn::GetAtt": ["Role", "Arn"]},
        "Timeout": 10,
        "MemorySize": 512,
        "Environment": {"Variables": variables},
    }
    return {"Type": "AWS::Lambda::Function", "Properties": properties}
