"""Puts a transformed template into moto and reads back what was made.

What moto cannot take is made harmless first and done another way after, each by a function in `workarounds`.
Imports moto and this package. When it is wrong, the stack differs from the template's.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.rehearsal import workarounds
from orchestrator.rehearsal.errors import DeployFailed
from orchestrator.rehearsal.requests import ACCOUNT
from orchestrator.rehearsal.template import Template

STACK = "rehearsal"


class Deployment:
    """A stack in moto.

    Args:
        template: transformed.
        written: as the user wrote it, for the definitions of state machines.
        folder: the template's.
    Attributes:
        outputs: resolved.
        inert: resources, with their types, that moto does not know and that are not there.
    Raises:
        DeployFailed: moto refuses a resource.
    """

    def __init__(
        self, template: Template, written: Template, folder: Path, parameters: Mapping[str, str], region: str
    ) -> None:
        self.region = region
        prepared = workarounds.make_deployable(copy.deepcopy(template))
        self.inert = workarounds.drop_unknown(prepared)
        self.template = workarounds.forget_references(template, self.inert)
        declared = prepared.get("Parameters") or {}
        given = {name: value for name, value in parameters.items() if name in declared}
        made = self._create(prepared, given)
        self.resources: Any = made.resource_map
        self.outputs: dict[str, str] = {each.key: each.value for each in made.output_map.values() if each}
        workarounds.make_state_machines(self, written, folder)
        workarounds.set_notifications(self)
        workarounds.make_subscriptions(self)

    def _create(self, prepared: Template, parameters: Mapping[str, str]) -> Any:
        from moto.cloudformation.models import cloudformation_backends

        backend = cloudformation_backends[ACCOUNT][self.region]
        try:
            return backend.create_stack(STACK, json.dumps(prepared), dict(parameters))
        except Exception as err:  # moto raises what it likes, a KeyError for a wrong Ref included
            reason = getattr(err, "description", None) or f"{type(err).__name__}: {err}"
            raise DeployFailed(STACK, str(reason)) from err

    def list_deployed(self, kind: str) -> dict[str, dict[str, Any]]:
        """Give the properties of every resource of a kind whose condition holds, resolved, by name."""
        return {
            name: self.resolve(resource.get("Properties") or {})
            for name, resource in self.template["Resources"].items()
            if resource["Type"] == kind and self._is_wanted(resource)
        }

    def _is_wanted(self, resource: Mapping[str, Any]) -> bool:
        condition = resource.get("Condition")
        return condition is None or bool(self.resources.lazy_condition_map[condition])

    def find(self, name: str) -> Any:
        """Give moto's object for a resource, None where there is none."""
        try:
            return self.resources[name]
        except KeyError:
            return None

    def get_id(self, name: str) -> str:
        """Give a resource's physical id, as `Ref` does."""
        return workarounds.read_id(self.resources[name])

    def resolve(self, value: Any) -> Any:
        """Give a value with its intrinsic functions done."""
        from moto.cloudformation.parsing import clean_json

        return workarounds.drop_nothing(clean_json(copy.deepcopy(value), self.resources))
