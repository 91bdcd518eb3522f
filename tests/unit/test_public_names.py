"""What `import aliquot` offers: names that are pinned and resolve, and every error to catch."""

import inspect

import aliquot
from aliquot import errors

PUBLIC = [
    "AliquotError",
    "Answer",
    "BadOption",
    "BadReference",
    "BatchDependent",
    "BudgetReached",
    "Column",
    "DatasetError",
    "Detached",
    "FolderInUse",
    "Interrupted",
    "Job",
    "JobError",
    "OpenFailed",
    "OverBudget",
    "ParseFailure",
    "Reference",
    "Run",
    "RunPlan",
    "SettlingFailed",
    "Stage",
    "Stopped",
    "StoreError",
    "Summary",
    "TooManyFailed",
    "UnknownJob",
    "UsageError",
    "__version__",
    "attach",
    "cancel",
    "plan",
    "resume",
    "watch",
]


def test_public_names_are_these():
    assert sorted(aliquot.__all__) == sorted(PUBLIC)
    assert all(getattr(aliquot, name) is not None for name in PUBLIC)


def test_every_error_of_a_run_is_public():
    """People catch what they can act on; an error that has no public name can only be parsed."""
    internal = {"AlreadyPut", "CodecError", "NoRoom", "Undecodable", "Unencodable"}
    own = {name for name, value in vars(errors).items() if inspect.isclass(value)}
    assert own - internal <= set(PUBLIC)
