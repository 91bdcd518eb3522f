"""Turns a SAM template into plain CloudFormation, offline, with AWS's own translator.

Local paths become S3 locations in a bucket that does not exist; their keys are the resources' names in the
template, which is how `code` finds the folders again. Imports aws-sam-translator and this package. When it
is wrong, a function is deployed with another one's code.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from orchestrator.rehearsal.errors import UnsupportedTemplate
from orchestrator.rehearsal.template import Template, list_macros

SAM = "AWS::Serverless-2016-10-31"
PLACEHOLDER = "rehearsal-code"
_LOCATED = {"AWS::Serverless::Function": "CodeUri", "AWS::Serverless::LayerVersion": "ContentUri"}


class _ManagedPolicies:
    """Stands in for the loader that asks IAM for the managed policies' ARNs."""

    def load(self) -> dict[str, str]:
        return {}


def transform_template(template: Template, parameters: Mapping[str, str]) -> Template:
    """Give the template in plain CloudFormation, for the region that AWS_DEFAULT_REGION names.

    Raises:
        UnsupportedTemplate: SAM refuses it, or it uses another macro.
    """
    macros = list_macros(template)
    if other := [each for each in macros if each != SAM]:
        raise UnsupportedTemplate([f"transform {each}" for each in other])
    if not macros:
        return copy.deepcopy(template)
    from samtranslator.model.exceptions import InvalidDocumentException
    from samtranslator.translator.transform import transform

    placed = place_code(template)
    try:
        found = transform(placed, dict(parameters), _ManagedPolicies())
    except InvalidDocumentException as err:
        raise UnsupportedTemplate([str(each.message) for each in err.causes] or [err.message]) from err
    return dict(found)


def place_code(template: Template) -> Template:
    """Give a copy in which every local path is an S3 location with the resource's name as key."""
    placed = copy.deepcopy(template)
    shared = placed.get("Globals", {}).get("Function", {})
    shared.pop("CodeUri", None)
    for name, resource in placed["Resources"].items():
        properties = resource.setdefault("Properties", {})
        wanted = _LOCATED.get(resource["Type"])
        if wanted and not _has_own_code(properties):
            properties[wanted] = {"Bucket": PLACEHOLDER, "Key": name}
        if resource["Type"] == "AWS::Serverless::StateMachine":
            _keep_definition_apart(properties)
    return placed


def _has_own_code(properties: Mapping[str, Any]) -> bool:
    return "InlineCode" in properties or properties.get("PackageType") == "Image"


def _keep_definition_apart(properties: dict[str, Any]) -> None:
    # `deploy` makes state machines itself; what they do is read from the template as written
    for unwanted in ("DefinitionUri", "DefinitionSubstitutions"):
        properties.pop(unwanted, None)
    properties["Definition"] = {"StartAt": "Empty", "States": {"Empty": {"Type": "Succeed"}}}
