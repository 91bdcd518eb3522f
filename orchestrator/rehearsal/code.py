"""Finds the code of functions and layers: in the template's folder, inline, or where the caller says.

Imports this package. When it is wrong, a function runs with the wrong code, or a problem of packaging shows
up only in AWS.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.rehearsal.template import Template

_FUNCTIONS = {"AWS::Serverless::Function": "CodeUri", "AWS::Lambda::Function": "Code"}
_LAYERS = {"AWS::Serverless::LayerVersion": "ContentUri", "AWS::Lambda::LayerVersion": "Content"}


class CodeFinder:
    """Finds folders by the names of functions and layers in the template.

    Args:
        folder: the template's; relative paths start there.
        given: folders or zip archives that the caller names instead, by name or by a layer's ARN.
        scratch: where inline code and archives are unpacked.
    Attributes:
        problems: a sentence for everything that was not found.
    """

    def __init__(
        self, template: Template, folder: Path, given: Mapping[str, Path | str], scratch: Path
    ) -> None:
        self.problems: list[str] = []
        self._resources: dict[str, Any] = template["Resources"]
        shared = template.get("Globals", {}).get("Function", {})
        self._shared_uri = shared.get("CodeUri")
        self._folder, self._given, self._scratch = folder, given, scratch

    def find_function(self, name: str) -> Path:
        """Give the folder that Lambda would unpack into /var/task."""
        if name in self._given:
            return self._open(name, Path(self._given[name]))
        resource = self._resources.get(name, {})
        properties = resource.get("Properties", {})
        inline = properties.get("InlineCode")
        location = properties.get(_FUNCTIONS.get(resource.get("Type"), ""), self._shared_uri)
        if isinstance(location, dict) and "ZipFile" in location:
            inline = location["ZipFile"]
        if isinstance(inline, str):
            folder = self._scratch / name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "index.py").write_text(inline, encoding="utf-8")
            return folder
        return self._locate(name, location)

    def find_layer(self, name: str) -> Path:
        """Give the folder that Lambda would unpack into /opt.

        A layer that SAM would build from a `requirements.txt` has to be given, built.
        """
        if name in self._given:
            return self._open(name, Path(self._given[name]))
        resource = self._resources.get(name, {})
        properties = resource.get("Properties", {})
        found = self._locate(name, properties.get(_LAYERS.get(resource.get("Type"), "")))
        if "BuildMethod" in resource.get("Metadata", {}) and not (found / "python").is_dir():
            self.problems.append(
                f"layer {name} has to be built first: give its folder with code={{'{name}': ...}}"
            )
        return found

    def _locate(self, name: str, location: Any) -> Path:
        if not isinstance(location, str) or location.startswith("s3://"):
            self.problems.append(
                f"the code of {name} is not beside the template: give code={{'{name}': ...}}"
            )
            return self._folder
        return self._open(name, self._folder / location)

    def _open(self, name: str, path: Path) -> Path:
        if path.is_dir():
            return path.resolve()
        if path.is_file() and zipfile.is_zipfile(path):
            folder = self._scratch / name.replace(":", "-")
            with zipfile.ZipFile(path) as archive:
                archive.extractall(folder)
            return folder
        self.problems.append(f"the code of {name} should be at {path} and nothing is there")
        return self._folder
