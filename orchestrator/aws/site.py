"""A stack that a run can be sent to: found on AWS by its name, or rehearsed here for as long as it is used.

Owns what is refused before anything is put: another release, code where none is taken. Imports the stack's
outputs. When it is wrong, a run is sent to a stack that cannot do it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from aliquot.aws import S3Objects
from aliquot.errors import BadOption, UnknownJob
from aliquot.job import read_fields
from aliquot.loading import read_versions
from aliquot.readers.objects import Listed, Listing
from aliquot.readers.streams import Opener
from orchestrator.aws.run import Link
from orchestrator.aws.target import Target
from orchestrator.options import name_flag
from orchestrator.own_layer import is_own, spell_own
from orchestrator.request import Request
from orchestrator.stack.aws import make_session
from orchestrator.stack.outputs import StackOutputs, find_stack, refuse_skew

_MOST_CONNECTIONS = 32  # puts and listings at a time
_MOST_ATTEMPTS = 8
_DENIED_HERE = (
    "may not be read by this profile, and a plan runs a sample of it here: ask for s3:GetObject on it; "
    "`aliquot run` without a budget, or with --anyway, makes no plan"
)


@dataclass(frozen=True)
class Pace:
    """How often a run is looked at: seconds between two looks, growing from the first to the last."""

    shortest_s: float = 1.0
    longest_s: float = 10.0
    growth: float = 1.2


@dataclass(frozen=True)
class Site:
    """A stack, and the way there.

    Args:
        check: raises where the stack itself has gone wrong; a rehearsal's may.
    """

    stack: StackOutputs
    link: Link
    pace: Pace
    is_rehearsal: bool
    check: Callable[[], None]


@contextmanager
def open_site(target: Target, request: Request) -> Iterator[Site]:
    """The stack that a target names, able to do what is asked.

    Raises:
        MissingTool, BadOption, AwsRefused, NoSuchStack: it was not found.
        VersionSkew: it might give other rows.
        UnknownJob: it does not have the job.
    """
    if target.is_rehearsal:
        from orchestrator.aws.rehearsal import rehearse_site

        with rehearse_site(request.known, takes_code=request.code is not None) as site:
            check_needs(site.stack, request)
            yield site
        return
    session = make_session(target.profile, target.region)
    stack = find_stack(target.stack, session)
    refuse_skew(stack, request.known.job, read_versions(request.known.job))
    check_code(stack, request)
    check_needs(stack, request)
    yield Site(stack, make_link(session), Pace(), is_rehearsal=False, check=lambda: None)


def reach(profile: str | None, region: str) -> Link:
    """The way to AWS of a run that was begun; raises MissingTool, BadOption."""
    return make_link(make_session(profile, region))


def make_link(session: object) -> Link:
    """Clients that try again by themselves, and may be used by many threads."""
    from botocore.config import Config

    config = Config(
        max_pool_connections=_MOST_CONNECTIONS,
        retries={"mode": "standard", "total_max_attempts": _MOST_ATTEMPTS},
    )
    s3, states = (session.client(name, config=config) for name in ("s3", "stepfunctions"))  # type: ignore[attr-defined]
    return Link(s3, states)


def list_objects_with(profile: str | None, region: str | None) -> Listing:
    """What lists the buckets of datasets; a session is made when the first one is listed."""

    def list_objects(bucket: str, prefix: str) -> Iterable[Listed]:
        return S3Objects(make_link(make_session(profile, region)).s3).list_objects(bucket, prefix)

    return list_objects


def open_objects_with(profile: str | None, region: str | None) -> Opener:
    """What opens objects of datasets for a plan; raises MissingTool, BadOption."""
    return S3Objects(make_link(make_session(profile, region)).s3, _DENIED_HERE).open


def check_code(stack: StackOutputs, request: Request) -> None:
    """Raise BadOption, UnknownJob where the stack has not the job's code, and may not get it."""
    if request.code is not None:
        if not stack.allow_code:
            raise BadOption(
                "--code",
                f"stack {stack.name!r} runs no code that travels with a run: deploy it with AllowCode=true, "
                "which lets everybody who may submit a run run code with its workers' rights",
            )
        return
    known = stack.versions.get("jobs", {})
    if request.known.job.name not in known:
        said = f"stack {stack.name!r} has the jobs {', '.join(known) or 'none'} alone"
        raise UnknownJob(request.known.job.name, said + _say_remedy(stack, request))


def check_needs(stack: StackOutputs, request: Request) -> None:
    """Raise BadOption where an option asks for a package that the stack's workers do not have."""
    for option in read_fields(request.known.job.options):
        needed = option.needs
        if needed and needed not in stack.versions and request.options.get(option.name) is not None:
            raise BadOption(
                name_flag(option.name),
                f"needs {needed}, which workers of stack {stack.name!r} do not have: deploy it with "
                f"WorkerImageUri or JobLayer, an image or a layer that holds {needed}, and "
                f"Jobs={needed}==VERSION (docs/stack.md)",
            )


def _say_remedy(stack: StackOutputs, request: Request) -> str:
    if not is_own(request.known):
        return ": send its code along, --code FOLDER" if request.known.search_path else ""
    added = f"--parameter 'Jobs={spell_own(request.known)}' --parameter JobLayer=ARN"
    return f": `aliquot deploy --stack {stack.name} {added}` adds it (docs/jobs.md)"
