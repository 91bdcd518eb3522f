"""`retro` with one host for each stage that looks up in the stock, however many there are of the others.

Owns nothing else: what memory a look-up takes can then be compared as the stage before it gets more hosts.
"""

from __future__ import annotations

from dataclasses import replace

from aliquot.job import Stage
from aliquot_chem import retrosynthesis
from aliquot_chem.retrosynthesis import Options


def list_stages(options: Options) -> tuple[Stage, ...]:
    """The chain of `retro`."""
    return tuple(
        replace(stage, concurrency=1) if stage.name.startswith("stock") else stage
        for stage in retrosynthesis.list_stages(options)
    )


job = replace(retrosynthesis.job, stages=list_stages)
