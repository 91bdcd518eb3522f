"""The template's parameters: what `--parameter Name=Value` may say, checked before anything takes minutes.

Owns the rules that CloudFormation would apply later. Imports PyYAML through the rehearsal's loader of
templates, when it is used. When it is wrong, a value is refused that AWS would take, or the other way round.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from aliquot.errors import BadOption
from orchestrator.stack.aws import INSTALL
from orchestrator.stack.errors import MissingTool

FLAG = "--parameter"


def read_template(folder: Path) -> dict[str, Any]:
    """The stack's template in `folder`, intrinsic functions in their long form; raises MissingTool."""
    try:
        from orchestrator.rehearsal.template import load_template
    except ModuleNotFoundError as err:
        raise MissingTool("PyYAML", "is not installed, and the template is read with it", INSTALL) from err
    return load_template(folder / "template.yaml")


def check_parameters(declared: Mapping[str, Any], given: Iterable[str]) -> dict[str, str]:
    """The values in `Name=Value` words, by name, in their order.

    Args:
        declared: the template's Parameters.
    Raises:
        BadOption: a word of another form, a name that is not declared or stands twice, a value out of range.
    """
    values: dict[str, str] = {}
    for word in given:
        name, equals, value = word.partition("=")
        if not equals:
            raise BadOption(FLAG, f"{word!r} is not of the form Name=Value, for instance Rungs=all")
        if name not in declared:
            raise BadOption(FLAG, _say_unknown(name, declared))
        if name in values:
            raise BadOption(FLAG, f"{name} is given twice: {values[name]!r} and {value!r}")
        reason = find_fault(declared[name], value)
        if reason:
            raise BadOption(FLAG, f"{name} is {value!r} and {reason}")
        values[name] = value
    return values


def find_fault(about: Mapping[str, Any], value: str) -> str:
    """Why a parameter may not have a value, in words; empty where it may."""
    allowed = [spell(each) for each in about.get("AllowedValues", ())]
    if allowed and value not in allowed:
        return f"may be one of {', '.join(allowed)}"
    if about.get("Type") == "Number":
        return _find_fault_of_number(about, value)
    pattern = about.get("AllowedPattern")
    if pattern and not re.fullmatch(pattern, value):
        return f"must match {pattern}"
    return ""


def describe_allowed(about: Mapping[str, Any]) -> str:
    """What a parameter may be, in words: `small, small+medium, all`, `2 to 1000`."""
    if "AllowedValues" in about:
        return ", ".join(map(spell, about["AllowedValues"]))
    if "MinValue" in about or "MaxValue" in about:
        return f"{about.get('MinValue', '...')} to {about.get('MaxValue', '...')}"
    return {"Number": "a number", "CommaDelimitedList": "names, with commas"}.get(about["Type"], "text")


def spell(value: Any) -> str:
    """A value as CloudFormation writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _find_fault_of_number(about: Mapping[str, Any], value: str) -> str:
    try:
        number = float(value)
    except ValueError:
        return "must be a number"
    if not about.get("MinValue", number) <= number <= about.get("MaxValue", number):
        return f"may be {describe_allowed(about)}"
    return ""


def _say_unknown(name: str, declared: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, declared, 1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"the stack has no parameter {name!r}; {hint}there are {', '.join(declared)}"
