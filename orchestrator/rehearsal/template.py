"""Reads a template: YAML with CloudFormation's short tags, or JSON, and the values of its parameters.

Imports PyYAML and this package's errors. When it is wrong, everything after it deploys something else.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml

from orchestrator.rehearsal.errors import UnsupportedTemplate

Template = dict[str, Any]


# SafeLoader with !Ref, !GetAtt and the rest; in C where PyYAML has it, which is ten times as fast
_Loader: Any = type("_Loader", (getattr(yaml, "CSafeLoader", yaml.SafeLoader),), {})


def _construct_short_tag(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}"
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        if suffix == "GetAtt":
            value = str(value).split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(cast("yaml.MappingNode", node), deep=True)
    return {name: value}


def _construct_date(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> str:
    return str(loader.construct_scalar(node))  # "2010-09-09" is a version, not a day


_Loader.add_multi_constructor("!", _construct_short_tag)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _construct_date)


def load_template(path: Path) -> Template:
    """Give the template in the long form of its intrinsic functions.

    Raises:
        UnsupportedTemplate: the file is no template, or uses macros other than SAM's.
    """
    found = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506  a SafeLoader
    if not isinstance(found, dict) or not isinstance(found.get("Resources"), dict):
        raise UnsupportedTemplate([f"{path.name} has no Resources"])
    return found


def list_macros(template: Template) -> list[str]:
    """Name the transforms that the template asks for."""
    asked = template.get("Transform", [])
    return [str(each) for each in (asked if isinstance(asked, list) else [asked])]


def fill_parameters(template: Template, given: Mapping[str, str]) -> dict[str, str]:
    """Give every parameter its value: the given one, else its default.

    Raises:
        UnsupportedTemplate: a parameter without value, or a value without parameter.
    """
    declared: dict[str, Any] = template.get("Parameters") or {}
    problems = [f"parameter {name} is not declared" for name in given if name not in declared]
    values: dict[str, str] = {}
    for name, about in declared.items():
        value = given.get(name, about.get("Default"))
        allowed = about.get("AllowedValues")
        if value is None:
            problems.append(f"parameter {name} has no default: give it a value")
        elif allowed is not None and _spell(value) not in [_spell(each) for each in allowed]:
            problems.append(f"parameter {name} is {value!r} and may be one of {allowed}")
        else:
            values[name] = _spell(value)
    if problems:
        raise UnsupportedTemplate(problems)
    return values


def _spell(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(_spell(each) for each in value)
    return str(value)
