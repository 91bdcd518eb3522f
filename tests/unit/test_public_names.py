"""What `import aliquot` offers: names that are pinned and resolve, and every error to catch."""

import ast
import inspect

import aliquot
from aliquot import errors

PUBLIC = [
    "AliquotError",
    "Answer",
    "BadOption",
    "BadReference",
    "BatchDependent",
    "Best",
    "BudgetReached",
    "Column",
    "DatasetError",
    "Detached",
    "FolderInUse",
    "Glimpse",
    "Group",
    "Interrupted",
    "Job",
    "JobError",
    "OpenFailed",
    "OverBudget",
    "ParseFailure",
    "Picture",
    "RECORD",
    "Reference",
    "Run",
    "RunPlan",
    "SettlingFailed",
    "Stage",
    "Stopped",
    "StoreError",
    "Summary",
    "TooManyFailed",
    "TryAgain",
    "UnknownJob",
    "UsageError",
    "__version__",
    "attach",
    "cancel",
    "decode",
    "plan",
    "register",
    "resume",
    "watch",
]


def test_public_names_are_these():
    assert sorted(aliquot.__all__) == sorted(PUBLIC)
    assert all(getattr(aliquot, name) is not None for name in PUBLIC)


def test_checkers_see_the_same_names(project_root):
    """What is resolved on first use has no types but those of the stub."""
    stub = ast.parse((project_root / "layers/common/python/aliquot/__init__.pyi").read_text())
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    homes = {alias.name: node.module for node in imports for alias in node.names}
    assert homes == aliquot._HOMES
    assert {*ast.literal_eval(stub.body[-1].value)} == {*aliquot.__all__}


def test_every_error_of_a_run_is_public():
    """People catch what they can act on; an error that has no public name can only be parsed."""
    internal = {"AlreadyPut", "CodecError", "NoRoom", "Undecodable", "Unencodable", "Unopened"}
    own = {name for name, value in vars(errors).items() if inspect.isclass(value)}
    assert own - internal <= set(PUBLIC)
