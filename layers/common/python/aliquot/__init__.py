"""Run one Python function over a dataset too large for one process, and lose nothing.

    import aliquot

    plan = aliquot.plan("crossref", "reactions/*.rsmi.gz", templates="templates.csv")
    print(plan)
    run = plan.start(out="runs/june")
    run.wait()
    run.result.dataset()

This is the only name that users import. Public names are resolved on first use, so that importing the
package, in a host or on the command line, loads nothing that is not needed. Type checkers read them in
`__init__.pyi`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Answer": "aliquot.job",
    "BadOption": "aliquot.errors",
    "BadReference": "aliquot.errors",
    "BatchDependent": "aliquot.errors",
    "BudgetReached": "aliquot.errors",
    "Best": "aliquot.job",
    "Column": "aliquot.job",
    "DatasetError": "aliquot.errors",
    "Detached": "aliquot.errors",
    "FolderInUse": "aliquot.errors",
    "Glimpse": "aliquot.job",
    "Group": "aliquot.job",
    "Interrupted": "aliquot.errors",
    "Job": "aliquot.job",
    "JobError": "aliquot.errors",
    "OpenFailed": "aliquot.errors",
    "OverBudget": "aliquot.errors",
    "ParseFailure": "aliquot.errors",
    "RECORD": "aliquot.job",
    "Picture": "aliquot.job",
    "Reference": "aliquot.job",
    "SettlingFailed": "aliquot.errors",
    "Stage": "aliquot.job",
    "Stopped": "aliquot.errors",
    "StoreError": "aliquot.errors",
    "Summary": "aliquot.job",
    "TooManyFailed": "aliquot.errors",
    "TryAgain": "aliquot.errors",
    "UnknownJob": "aliquot.errors",
    "UsageError": "aliquot.errors",
    "AliquotError": "aliquot.errors",
    "Run": "orchestrator.run",
    "RunPlan": "orchestrator.api",
    "attach": "orchestrator.api",
    "cancel": "orchestrator.api",
    "decode": "aliquot.codec",
    "plan": "orchestrator.api",
    "register": "aliquot.registry",
    "resume": "orchestrator.api",
    "watch": "orchestrator.api",
}

__all__ = sorted([*_HOMES, "__version__"])  # noqa: PLE0605 - a list of strings, computed from the table above


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'aliquot' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
