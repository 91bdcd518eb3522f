#!/usr/bin/env python3
"""Build the layers for a processor and print what each function weighs, unzipped.

    python scripts/layers.py [--platform arm64] [--platform x86_64] [--folder build/layers]

Lambda unpacks a function and its layers into 262,144,000 bytes at most. Ends with status 1 where one does not
fit. What a function consists of is read from template.yaml, so a layer that is added there is weighed here.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from orchestrator.rehearsal.template import load_template

ROOT = Path(__file__).resolve().parent.parent
LIMIT_BYTES = 250 << 20


def main() -> int:
    """Read the command line; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--platform", action="append", choices=["arm64", "x86_64", "here"])
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "layers")
    given = parser.parse_args()
    resources = load_template(ROOT / "template.yaml")["Resources"]
    platforms = given.platform or ["arm64", "x86_64"]
    return max(weigh_platform(resources, platform, given.folder / platform) for platform in platforms)


def weigh_platform(resources: Mapping[str, Any], platform: str, folder: Path) -> int:
    """Build for one processor and print a line for each function; 1 where one is too large."""
    sizes = {name: measure_bytes(path) for name, path in build_layers(resources, platform, folder)}
    status = 0
    for name, resource in resources.items():
        if resource["Type"] != "AWS::Serverless::Function":
            continue
        layers = [layer["Ref"] for layer in resource["Properties"]["Layers"] if "Ref" in layer]
        own = measure_bytes(ROOT / resource["Properties"]["CodeUri"])
        total = own + sum(sizes[layer] for layer in layers)
        fits = total <= LIMIT_BYTES
        parts = " + ".join([f"{own / 1e6:.1f} code", *(f"{sizes[each] / 1e6:.1f} {each}" for each in layers)])
        verdict = f"{(LIMIT_BYTES - total) / 1e6:6.1f} MB left" if fits else "TOO LARGE"
        sys.stdout.write(f"{platform:7} {name:13} {total / 1e6:6.1f} MB {verdict}  = {parts}\n")
        status = status if fits else 1
    return status


def build_layers(resources: Mapping[str, Any], platform: str, folder: Path) -> Iterator[tuple[str, Path]]:
    """Give each layer's name and folder, built where it has to be."""
    for name, resource in resources.items():
        if resource["Type"] != "AWS::Serverless::LayerVersion":
            continue
        if "BuildMethod" not in resource.get("Metadata", {}):
            yield name, ROOT / resource["Properties"]["ContentUri"]
            continue
        made, source = folder / name, spell_folder(name)
        subprocess.run(
            [sys.executable, str(ROOT / "layers" / "build.py"), source, platform, made], check=True
        )
        yield name, made


def spell_folder(layer: str) -> str:
    """The folder beneath layers/ of a layer's name: `Chem` is `chem`, `ChemDeps` is `chem-deps`."""
    return layer.replace("Deps", "-deps").lower()


def measure_bytes(folder: Path) -> int:
    """Bytes of all files beneath a folder, compiled modules among them."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    raise SystemExit(main())
