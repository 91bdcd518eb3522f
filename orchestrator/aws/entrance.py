"""What `orchestrator.api` needs of the cloud backend, in one import that fails where boto3 is missing."""

from orchestrator.aws.commands import attach, cancel
from orchestrator.aws.estimate import estimate_for
from orchestrator.aws.runs import list_runs_on
from orchestrator.aws.session import CloudSession, WatchSession
from orchestrator.aws.site import list_objects_with, open_objects_with

__all__ = [
    "CloudSession",
    "WatchSession",
    "attach",
    "cancel",
    "estimate_for",
    "list_objects_with",
    "list_runs_on",
    "open_objects_with",
]
