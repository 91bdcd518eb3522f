"""AiZynthFinder's single-step expansion with given templates; run by its own interpreter, see `beside`.

build/aizynth-venv/bin/python benchmarks/retro/aizynth_step.py ASKED.json ANSWERED.json
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import time
from pathlib import Path
from typing import Any

from aizynthfinder.aizynthfinder import AiZynthExpander
from aizynthfinder.chem import TemplatedRetroReaction
from aizynthfinder.context.policy import ExpansionStrategy


class GivenTemplates(ExpansionStrategy):  # type: ignore[misc]
    """A policy that suggests for a molecule what it was given, all alike."""

    def __init__(self, key: str, config: Any, templates: dict[str, list[tuple[str, str]]]) -> None:
        super().__init__(key, config)
        self._templates = templates

    def get_actions(self, molecules: Any, cache_molecules: Any = None) -> tuple[list[Any], list[float]]:  # noqa: ARG002
        """The reactions of the templates given for the molecules."""
        actions = [
            TemplatedRetroReaction(molecule, smarts=smarts, metadata={"id": template_id}, use_rdchiral=True)
            for molecule in molecules
            for template_id, smarts in self._templates[molecule.smiles]
        ]
        return actions, [1.0] * len(actions)


def main() -> None:
    """Expand the molecules asked for."""
    asked = json.loads(Path(sys.argv[1]).read_text())
    expander = AiZynthExpander(configdict={})
    templates = {each["smiles"]: each["templates"] for each in asked}
    expander.expansion_policy.load(GivenTemplates("given", expander.config, templates))
    expander.expansion_policy.select("given")
    sets = []
    began_s = time.process_time()
    for each in asked:
        found = expander.do_expansion(each["smiles"], return_n=1_000_000)
        sets.append([[mol.smiles for mol in reactions[0].reactants[0]] for reactions in found])
    cpu_ms = (time.process_time() - began_s) / len(asked) * 1e3
    answer = {
        "version": importlib.metadata.version("aizynthfinder"),
        "rdkit": importlib.metadata.version("rdkit"),
        "templates": sum(map(len, templates.values())),
        "cpu_ms": cpu_ms,
        "sets": sets,
    }
    Path(sys.argv[2]).write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
