"""A rehearsal of any SAM or CloudFormation template: deployed to moto, with its real handlers in processes.

    with rehearse("template.yaml") as stack:
        boto3.client("sqs").send_message(QueueUrl=stack.outputs["OrdersUrl"], MessageBody="{}")
        stack.drain()
        assert [each.error for each in stack.invocations("Worker")] == [None]

What goes where:

    template.yaml --template, transform--> CloudFormation --deploy--> moto's stores    (this process)
                                                                         ^
    test, with plain boto3 ----.                                         |
    handlers, with plain boto3 -+--HTTP--> gateway --log, faults, limits-+--> Lambda's Invoke --.
    Step Functions in moto ----'                                                                |
                                                                                                v
    mapping <--receive-- queues in moto                 invoke --> pool --> sandbox --pipe--> bootstrap
       '--- batch -----------------------------------------^             (child process, the handler)
    deferred (asynchronous invokes, their retries) --------'

- `template`, `transform`, `supported`, `code`: what a template asks for, and where its code lies.
- `deploy`, `describe`: the resources in moto, and what functions and mappings are in our own terms.
- `gateway`, `requests`, `policies`: the one HTTP endpoint that every client of AWS talks to.
- `sandbox`, `pool`, `memory`, `bootstrap`: execution environments.
- `invoke`, `deferred`: invocations, synchronous and not.
- `receive`, `queues`, `mapping`, `lineage`: the event source mapping.
- `bus`, `workarounds`, `replacements`: EventBridge targets, and what moto gets wrong.
- `clock`, `faults`, `delivery`, `stack`: a clock that tests move, faults by seed, the loop behind `drain`,
  and the object that users hold.

It imports nothing of the project around it: a template is all that it knows. One rehearsal runs in a process
at a time, since moto's stores and boto3's environment variables belong to the process.
"""

from orchestrator.rehearsal.errors import (
    DeployFailed,
    InvokeRefused,
    PackageTooLarge,
    RehearsalError,
    StillBusy,
    UnsupportedTemplate,
)
from orchestrator.rehearsal.faults import Faults
from orchestrator.rehearsal.records import Call, Invocation
from orchestrator.rehearsal.stack import Stack, rehearse

__all__ = [
    "Call",
    "DeployFailed",
    "Faults",
    "Invocation",
    "InvokeRefused",
    "PackageTooLarge",
    "RehearsalError",
    "Stack",
    "StillBusy",
    "UnsupportedTemplate",
    "rehearse",
]
