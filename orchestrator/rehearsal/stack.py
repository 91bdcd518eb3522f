"""The rehearsal that users hold: deployed, called by plain boto3 clients, drained, and asked what happened.

Owns the order in which parts start and end. Imports this package and boto3. When it is wrong, processes or
patched parts of moto outlive a test.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from orchestrator.rehearsal.bus import Bus
from orchestrator.rehearsal.clock import Clock
from orchestrator.rehearsal.code import CodeFinder
from orchestrator.rehearsal.deferred import Deferred
from orchestrator.rehearsal.delivery import Delivery
from orchestrator.rehearsal.deploy import Deployment
from orchestrator.rehearsal.describe import describe_functions, describe_mappings, describe_roles
from orchestrator.rehearsal.errors import UnsupportedTemplate
from orchestrator.rehearsal.faults import Dice, Faults
from orchestrator.rehearsal.gateway import TEST_KEY, Gateway
from orchestrator.rehearsal.invoke import Invoker
from orchestrator.rehearsal.mapping import Mapping as SourceMapping
from orchestrator.rehearsal.policies import is_allowed
from orchestrator.rehearsal.pool import Pool
from orchestrator.rehearsal.queues import Queues
from orchestrator.rehearsal.records import Call, FunctionSpec, Invocation
from orchestrator.rehearsal.replacements import replace_parts_of_moto
from orchestrator.rehearsal.supported import list_problems
from orchestrator.rehearsal.template import fill_parameters, load_template
from orchestrator.rehearsal.transform import transform_template


@contextmanager
def rehearse(
    template: Path | str,
    *,
    parameters: Mapping[str, str] | None = None,
    code: Mapping[str, Path | str] | None = None,
    ignore: Sequence[str] = (),
    faults: Faults | None = None,
    region: str = "us-east-1",
    concurrency: int = 4,
    clock: Clock | None = None,
) -> Iterator[Stack]:
    """Deploy a template and give the stack; it is gone, with all of its processes, when the block ends.

    Within the block, boto3 clients made without further arguments talk to the rehearsal.

    Args:
        code: folders (or zip archives) of functions and layers, by name, where the template's will not do.
        ignore: resources to leave out of the template, by their names before or after SAM's transform.
        concurrency: how many invocations run at a time.
    Raises:
        UnsupportedTemplate: the template asks for what a rehearsal cannot do; everything is named.
        DeployFailed: AWS would refuse it.
    """
    path, given = Path(template), dict(code or {})
    written = load_template(path)
    values = fill_parameters(written, parameters or {})
    with ExitStack() as parts:
        dice, time_of_it = Dice(faults or Faults()), clock or Clock()
        parts.callback(time_of_it.close)
        gateway = Gateway(dice)
        parts.callback(gateway.close)
        parts.enter_context(_set_variables(gateway, region))
        for name in ignore:
            written["Resources"].pop(name, None)
        transformed = transform_template(written, values)
        for name in ignore:  # what SAM makes of a function's events has names of its own
            transformed["Resources"].pop(name, None)
        if problems := list_problems(transformed, given):
            raise UnsupportedTemplate(problems)
        scratch = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="rehearsal-code-")))
        queues = Queues(region, time_of_it, dice)
        deferred = Deferred(time_of_it, queues.send)
        stack = Stack(gateway, queues, deferred, time_of_it, dice)
        parts.enter_context(
            replace_parts_of_moto(time_of_it, stack.bus, stack.defer_arn, queues.answer_receive, region)
        )
        deployment = Deployment(transformed, written, path.parent, values, region)
        functions = describe_functions(deployment, CodeFinder(written, path.parent, given, scratch), given)
        pool = Pool(functions, gateway.url, region)
        parts.callback(pool.close)
        stack.start(deployment, functions, pool, concurrency)
        parts.callback(stack.close)
        yield stack


@contextmanager
def _set_variables(gateway: Gateway, region: str) -> Iterator[None]:
    """Point plain boto3 clients of this process at the rehearsal, and put everything back."""
    import boto3

    wanted: dict[str, str | None] = {
        "AWS_ACCESS_KEY_ID": TEST_KEY,
        "AWS_SECRET_ACCESS_KEY": "rehearsal",
        "AWS_SESSION_TOKEN": None,
        "AWS_PROFILE": None,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": gateway.url,
        "MOTO_PORT": str(gateway.port),
        "NO_PROXY": f"127.0.0.1,localhost,{os.environ.get('NO_PROXY', '')}",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": None,
        **{name: None for name in os.environ if name.startswith("AWS_ENDPOINT_URL_")},
    }
    before = {name: os.environ.get(name) for name in wanted}
    session = boto3.DEFAULT_SESSION
    _write_variables(wanted)
    boto3.DEFAULT_SESSION = None
    try:
        yield
    finally:
        _write_variables(before)
        boto3.DEFAULT_SESSION = session


def _write_variables(wanted: Mapping[str, str | None]) -> None:
    for name, value in wanted.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


class Stack:
    """A deployed template.

    Attributes:
        outputs: the template's outputs, resolved.
        functions: by their names in the template.
        clock: the rehearsal's time.
        calls: every AWS call so far, by whom.
    """

    def __init__(
        self, gateway: Gateway, queues: Queues, deferred: Deferred, clock: Clock, dice: Dice
    ) -> None:
        self.outputs: dict[str, str] = {}
        self.functions: dict[str, FunctionSpec] = {}
        self.clock = clock
        self._gateway, self._queues, self._deferred, self._dice = gateway, queues, deferred, dice
        self.bus = Bus(self.defer_arn, queues.send)

    def start(
        self, deployment: Deployment, functions: dict[str, FunctionSpec], pool: Pool, concurrency: int
    ) -> None:
        """Begin to invoke; `rehearse` does this."""
        self.outputs, self.functions, self._deployment = deployment.outputs, functions, deployment
        self._invoker = Invoker(
            functions, pool, self._dice, self._gateway.calls, self._deferred.put, concurrency
        )
        mappings = [
            SourceMapping(spec, self._queues, self._invoker, self.clock, self._dice)
            for spec in describe_mappings(deployment, functions)
            if spec.is_enabled
        ]
        self._delivery = Delivery(
            mappings,
            self._deferred,
            self._invoker,
            self._queues,
            self.clock,
            lambda: len(self._gateway.calls),
            deployment.region,
            concurrency,
        )
        roles = describe_roles(deployment)
        self._gateway.find_caller = pool.find
        self._gateway.invoke = self._invoker.answer_http
        self._gateway.may_list = lambda function, bucket: is_allowed(
            roles.get(functions[function].role_arn, []), "s3:ListBucket", bucket
        )

    def close(self) -> None:
        """Stop delivering; `rehearse` does this."""
        self._delivery.close()
        self.clock.close()

    # ---- what users ask

    @property
    def endpoint(self) -> str:
        """The address that AWS has here, for clients that do not read AWS_ENDPOINT_URL."""
        return self._gateway.url

    @property
    def calls(self) -> list[Call]:
        """Every AWS call so far, with who made it."""
        return list(self._gateway.calls)

    @property
    def inert(self) -> dict[str, str]:
        """The resources, with their types, that are not there because moto does not know them."""
        return dict(self._deployment.inert)

    def client(self, service: str) -> Any:
        """Give a boto3 client of the rehearsal."""
        import boto3

        return boto3.client(service)

    def get_id(self, name: str) -> str:
        """Give a resource's physical id, as `Ref` does."""
        return self._deployment.get_id(name)

    def invocations(self, function: str | None = None) -> list[Invocation]:
        """Give the invocations that have ended, of one function or of all."""
        return [each for each in self._invoker.invocations if function in {None, each.function}]

    def refusals(self, function: str | None = None) -> list[tuple[str, str]]:
        """Give what Lambda would not run: the error's code and its message."""
        kept = (refusal for name, _, refusal in self._invoker.refusals if function in {None, name})
        return [(each.code, each.message) for each in kept]

    def dead_letters(self, queue: str) -> list[dict[str, Any]]:
        """Give the messages that have left a queue for its dead-letter queue, as boto3 gives messages."""
        return list(self._queues.dead[self.get_id(queue).rpartition("/")[2]])

    def fault_counts(self) -> dict[str, int]:
        """Give how many faults of each kind have been made."""
        return dict(self._dice.hits)

    def advance(self, seconds: float) -> None:
        """Move the clock, and deliver what has become due, without skipping any further timer."""
        self.clock.advance(seconds)
        self._delivery.settle(60.0, is_skipping=False)

    def drain(self, limit_s: float = 60.0) -> None:
        """Deliver until nothing is in flight; timers are skipped by the clock.

        Raises:
            StillBusy: after `limit_s` seconds of real time something still moves.
        """
        self._delivery.settle(limit_s, is_skipping=True)

    def fire(self, rule: str) -> None:
        """Let a schedule's time come: schedules start nothing by themselves here."""
        self.bus.fire(self._deployment.find(rule), self.clock.now())

    # ---- delivery

    def defer_arn(self, arn: str, body: str) -> None:
        """Take an asynchronous event for a function's ARN; one that is not ours is dropped, as in AWS."""
        function = self._invoker.find(arn)
        if function is not None:
            self._deferred.put(function, body)
