# The public names with their types, for checkers: at run time they are resolved on first use.

from aliquot.codec import (
    decode,
)
from aliquot.errors import (
    AliquotError,
    BadOption,
    BadReference,
    BatchDependent,
    BudgetReached,
    DatasetError,
    Detached,
    FolderInUse,
    Interrupted,
    JobError,
    OpenFailed,
    OverBudget,
    ParseFailure,
    SettlingFailed,
    Stopped,
    StoreError,
    TooManyFailed,
    TryAgain,
    UnknownJob,
    UsageError,
)
from aliquot.job import (
    RECORD,
    Answer,
    Best,
    Column,
    Group,
    Job,
    Reference,
    Stage,
    Summary,
)
from aliquot.registry import (
    register,
)
from orchestrator.api import (
    RunPlan,
    attach,
    cancel,
    plan,
    resume,
    watch,
)
from orchestrator.run import (
    Run,
)

__version__: str

__all__ = [
    "RECORD",
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
    "Group",
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
