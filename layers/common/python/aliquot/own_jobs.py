"""Jobs that a stack runs besides those that it came with: the words of its parameter `Jobs`.

    demo=demo.job:job@1,pyopal==0.7.3     a job: name, address, version; what jobs need: package, version

Owns that spelling, for the functions (addresses) and for whoever submits (versions). Imports the standard
library only. When it is wrong, a stack refuses a job that it was given, or runs another version of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class OwnJobs:
    """What a stack was given besides its own: each job's address and version, each package's version."""

    addresses: Mapping[str, str]
    versions: Mapping[str, int]
    packages: Mapping[str, str]


def parse_own_jobs(text: str) -> OwnJobs:
    """What the parameter says; the template's AllowedPattern has seen to its form."""
    words = [word for word in text.split(",") if word]
    jobs = [word.partition("=") for word in words if "==" not in word]
    parts = {name: rest.rpartition("@") for name, _, rest in jobs}
    return OwnJobs(
        {name: address for name, (address, _, _) in parts.items()},
        {name: int(version) for name, (_, _, version) in parts.items()},
        dict(word.split("==", 1) for word in words if "==" in word),
    )


def spell_own_job(name: str, address: str, version: int, packages: Mapping[str, str]) -> str:
    """The parameter that adds a job, with the packages that it needs."""
    return ",".join(
        [f"{name}={address}@{version}", *(f"{each}=={packages[each]}" for each in sorted(packages))]
    )
