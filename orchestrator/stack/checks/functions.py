"""The stack's functions as they are now: reserved concurrency, loops, packages, and room for references.

What was changed by hand is drift as well; here it is said what comes of it, and how it is undone. Owns what a
doctor reads of a function. When it is wrong, tasks end as dead letters that no worker has seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aliquot.carried import REFERENCES
from orchestrator.stack.aws import explained
from orchestrator.stack.findings import Finding
from orchestrator.stack.outputs import StackOutputs

_FUNCTION = "AWS::Lambda::Function"
_SENDERS = ("Worker", "Tally", "Bury")  # end of the names of those that send to the queues that start workers
_DEFAULT_TMP_MIB, _MOST_TMP_MIB = 512, 10240
_TMP_FULL = 0.5  # of /tmp by the largest reference: what is prepared, and unpacked code, lie beside it
_MIB = 1 << 20
# AWS, "Lambda quotas": a function and its layers, unzipped. Of layers AWS tells the zipped size alone; our
# own unzip to 4.8 times that
_MOST_UNZIPPED_BYTES, _UNZIPPING = 250 * _MIB, 4.8


@dataclass(frozen=True)
class FunctionFacts:
    """What AWS says of a function.

    Args:
        name: as the template has it; function: as AWS has it.
        layer_bytes: zipped, each layer's.
        reserved: its reserved concurrency, None for none.
        loops: "Allow" or "Terminate"; empty where AWS did not say.
        role: ARN.
    """

    name: str
    function: str
    timeout_s: float
    tmp_mib: int
    code_bytes: int
    layer_bytes: tuple[int, ...] = ()
    reserved: int | None = None
    loops: str = ""
    role: str = ""

    @property
    def is_worker(self) -> bool:
        """Whether it is a rung's worker, out of layers or an image."""
        return self.name.endswith("Worker")


def read_functions(name: str, session: Any) -> list[FunctionFacts]:
    """The functions of a stack, in order of their names; raises AwsRefused."""
    with explained("asking for the stack's functions"):
        pages = (
            session.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=name)
        )
        found = {
            each["LogicalResourceId"]: each["PhysicalResourceId"]
            for page in pages
            for each in page["StackResourceSummaries"]
            if each["ResourceType"] == _FUNCTION
        }
        client = session.client("lambda")
        return [read_function(logical, found[logical], client) for logical in sorted(found)]


def read_function(logical: str, function: str, client: Any) -> FunctionFacts:
    """What AWS says of one."""
    said = client.get_function(FunctionName=function)
    configured: Mapping[str, Any] = said["Configuration"]
    loops = ""
    if logical.endswith(_SENDERS):
        loops = client.get_function_recursion_config(FunctionName=function)["RecursiveLoop"]
    return FunctionFacts(
        name=logical,
        function=function,
        timeout_s=configured["Timeout"],
        tmp_mib=configured.get("EphemeralStorage", {}).get("Size", _DEFAULT_TMP_MIB),
        code_bytes=configured.get("CodeSize", 0),
        layer_bytes=tuple(each.get("CodeSize", 0) for each in configured.get("Layers", ())),
        reserved=said.get("Concurrency", {}).get("ReservedConcurrentExecutions"),
        loops=loops,
        role=configured.get("Role", ""),
    )


def judge_functions(functions: Iterable[FunctionFacts]) -> Iterator[Finding]:
    """A finding for each way in which functions should not be, or that all are well."""
    every = list(functions)
    yield from _all_or("reserved", "no function has its concurrency reserved", map(judge_reserved, every))
    senders = [each for each in every if each.loops]
    yield from _all_or("recursion", "functions that send tasks may go on", map(judge_loops, senders))
    yield judge_packages(every)


def judge_reserved(function: FunctionFacts) -> Finding | None:
    """Whether a function's concurrency is reserved: its poller is throttled then, and messages wear out."""
    if function.reserved is None:
        return None
    undo = f"`aws lambda delete-function-concurrency --function-name {function.function}`"
    if not function.reserved:
        return Finding(
            "fail", "reserved", f"{function.name} is switched off: 0 executions are reserved", undo
        )
    said = f"{function.name} has {function.reserved:,} executions reserved"
    if not function.is_worker:
        return Finding("warn", "reserved", f"{said}, and fails beyond", undo)
    return Finding(
        "warn",
        "reserved",
        f"{said}: beyond them tasks are thrown back, and end as dead letters that no worker has seen",
        f"{undo}, and bound workers by `aliquot deploy --parameter Concurrency={max(2, function.reserved)}`",
    )


def judge_loops(function: FunctionFacts) -> Finding | None:
    """Whether Lambda lets a function send to the queue that starts it; else it stops that after 16 rounds."""
    if function.loops == "Allow":
        return None
    return Finding(
        "fail",
        "recursion",
        f"{function.name} is stopped after some 16 hand-backs: its loops are set to {function.loops}",
        f"`aws lambda put-function-recursion-config --function-name {function.function} "
        "--recursive-loop Allow`",
    )


def judge_packages(functions: Iterable[FunctionFacts]) -> Finding:
    """How large the largest function is with its layers; AWS tells zipped bytes alone."""
    sizes = {each.name: each.code_bytes + sum(each.layer_bytes) for each in functions}
    if not sizes:
        return Finding("warn", "packages", "the stack has no functions", "`aliquot deploy`")
    name = max(sizes, key=lambda each: sizes[each])
    said = f"{name} is the largest: {sizes[name] / 1e6:,.1f} MB zipped, with its layers"
    if sizes[name] * _UNZIPPING > _MOST_UNZIPPED_BYTES:
        return Finding(
            "warn",
            "packages",
            f"{said}; Lambda takes {_MOST_UNZIPPED_BYTES // _MIB} MiB unzipped, which the next may exceed",
            "bring what is large in an image: `aliquot deploy --parameter WorkerImageUri=URI`",
        )
    return Finding("ok", "packages", said)


def check_references(outputs: StackOutputs, functions: Iterable[FunctionFacts], session: Any) -> Finding:
    """Whether the largest reference in the bucket fits into the workers' /tmp."""
    with explained("listing the references"):
        pages = session.client("s3").get_paginator("list_objects_v2")
        found = pages.paginate(Bucket=outputs.bucket, Prefix=REFERENCES)
        sizes = {each["Key"]: each["Size"] for page in found for each in page.get("Contents", ())}
    tmp_mib = min((each.tmp_mib for each in functions if each.is_worker), default=_DEFAULT_TMP_MIB)
    return judge_references(outputs.name, sizes, tmp_mib)


def judge_references(stack: str, sizes: Mapping[str, int], tmp_mib: int) -> Finding:
    """Whether workers have room for what runs carry.

    Args:
        sizes: bytes by key.
        tmp_mib: of the workers, the smallest.
    """
    if not sizes:
        return Finding(
            "ok", "tmp", f"workers have {tmp_mib:,} MiB in /tmp, and no run has brought a reference"
        )
    key = max(sizes, key=lambda each: sizes[each])
    size_mib = sizes[key] / _MIB
    said = f"the largest of {len(sizes):,} references has {size_mib:,.0f} MiB, workers {tmp_mib:,} in /tmp"
    if size_mib <= tmp_mib * _TMP_FULL:
        return Finding("ok", "tmp", said)
    wanted_mib = min(_MOST_TMP_MIB, 512 * -(-int(2 * size_mib) // 512))
    if size_mib >= _MOST_TMP_MIB:
        remedy = f"Lambda has no more than {_MOST_TMP_MIB:,} MiB: split {key}"
    else:
        remedy = f"`aliquot deploy --stack {stack} --parameter TmpMiB={wanted_mib}`"
    if size_mib >= tmp_mib:
        return Finding("fail", "tmp", f"{said}: runs with it cannot open their job", remedy)
    return Finding("warn", "tmp", f"{said}: little is left for what is prepared of it", remedy)


def _all_or(subject: str, well: str, judged: Iterable[Finding | None]) -> list[Finding]:
    """What was found, or one finding that all is well."""
    return [each for each in judged if each is not None] or [Finding("ok", subject, well)]
