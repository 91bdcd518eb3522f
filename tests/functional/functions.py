"""Small functions of Lambda, as a template has them. Imported as `tests.functional.desk` is."""

from __future__ import annotations

from textwrap import dedent
from typing import Any


def make_function(code: str, **properties: Any) -> dict[str, Any]:
    """A function's resource, in the role `Role`; its handler is `handler`.

    Args:
        code: a module's, indented as it stands in a test.
        properties: of the resource, besides or instead.
    """
    found = {
        "Runtime": "python3.13",
        "Handler": "index.handler",
        "Code": {"ZipFile": dedent(code)},
        "Role": {"Fn::GetAtt": ["Role", "Arn"]},
        "Timeout": 5,
        "MemorySize": 512,
        **properties,
    }
    return {"Type": "AWS::Lambda::Function", "Properties": found}
