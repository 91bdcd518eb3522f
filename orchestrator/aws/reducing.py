"""Whether a stack's reducers could import a job, asked before anything is sent.

Of a job with a summary they run its code, and they lack a package that workers have. Owns that question: the
job's module is imported once more, in a process that lacks it too. Imports the core. When it is wrong, a run
does all its work and ends without a result, or is refused for nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys

from aliquot.errors import JobError
from orchestrator.catalog import KnownJob
from orchestrator.own_layer import is_own

WORKERS_ALONE = ("rdkit",)  # what is in a layer of workers and in none of reducers
_TRY = """
import json, sys
from aliquot.errors import UnknownJob
from aliquot.loading import JobSpec, load_job
lacking, address, search_path = json.load(sys.stdin)
sys.modules |= dict.fromkeys(lacking)
try:
    load_job(JobSpec(address, tuple(search_path)))
except UnknownJob as err:
    print(err)
"""


def check_summary(known: KnownJob) -> None:
    """Raise JobError where a job has a summary and its module needs what reducers lack."""
    is_ours = not known.search_path and not is_own(known)
    if is_ours or known.job.summary is None:
        return
    asked = json.dumps([WORKERS_ALONE, known.address, known.search_path])
    said = subprocess.run(
        [sys.executable, "-c", _TRY], input=asked, capture_output=True, text=True, check=False
    ).stdout
    lacks = next((name for name in WORKERS_ALONE if f"needs {name!r}" in said), None)
    if lacks is not None:
        raise JobError(
            known.job.name,
            f"has a summary, for which a stack's reducers import its module, and they lack {lacks}: "
            f"import {lacks} inside its open, not at the module's top",
        )
