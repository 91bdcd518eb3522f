"""Parts of moto that ours take the place of for as long as a rehearsal lasts, one function each.

Most are workarounds for moto 5.2.5, and name the canary test that fails when moto mends one; the others give
moto our clock. Imports moto and this package. When it is wrong, messages vanish between moto and us.
"""

from __future__ import annotations

import copy
import datetime as dt
import functools
import logging
import threading
import types
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from orchestrator.rehearsal.clock import Clock
from orchestrator.rehearsal.gateway import current

if TYPE_CHECKING:
    from orchestrator.rehearsal.bus import Bus


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def replace_parts_of_moto(
    clock: Clock, bus: Bus, defer: Callable[[str, str], None], receive: Callable[..., Any], region: str
) -> Iterator[None]:
    """Put our parts in the place of moto's for as long as a rehearsal lasts."""
    with ExitStack() as parts:
        parts.enter_context(configure_moto())
        parts.enter_context(keep_time_for_queues(clock))
        parts.enter_context(stamp_messages())
        parts.enter_context(receive_by_our_rules(receive, region))
        parts.enter_context(defer_invokes(defer))
        parts.enter_context(reach_all_targets(bus))
        parts.enter_context(wait_by_clock(clock))
        parts.enter_context(name_executions())
        parts.enter_context(spell_arguments_of_executions())
        parts.enter_context(fail_maps_with_their_items())
        parts.enter_context(reuse_clients())
        parts.enter_context(spell_keys())
        parts.enter_context(drop_tag_events_of_puts())
        yield


@contextmanager
def configure_moto() -> Iterator[None]:
    """Start from empty stores, with state machines that run and functions without Docker."""
    from moto.core import config
    from moto.moto_api._internal.models import moto_api_backend as stores

    settings: Any = config.default_user_config
    for name in ("moto", "samtranslator"):  # else every failing state is on the terminal
        logging.getLogger(name).addHandler(logging.NullHandler())
    before = {key: dict(settings[key]) for key in ("lambda", "stepfunctions")}
    stores.reset()
    settings["lambda"] = {"use_docker": False}
    settings["stepfunctions"] = {"execute_state_machine": True}
    try:
        yield
    finally:
        settings.update(before)
        stores.reset()


@contextmanager
def keep_time_for_queues(clock: Clock) -> Iterator[None]:
    """Let moto's queues tell the time by the rehearsal's clock."""
    from moto.sqs import models

    with (
        _replaced(models, "unix_time", lambda *_: clock.now()),
        _replaced(models, "unix_time_millis", lambda *_: clock.now() * 1000),
    ):
        yield


@contextmanager
def stamp_messages() -> Iterator[None]:
    """Write the trace header of the call that sends into the message, as SQS does.

    moto ignores the header, and loses a batch's own system attributes: test_moto_still_loses_trace_headers.
    """
    from moto.sqs.models import Queue

    add = Queue.add_message

    def add_stamped(queue: Any, message: Any) -> None:
        trace = getattr(current, "trace", None)
        if trace and "AWSTraceHeader" not in message.system_attributes:
            message.system_attributes["AWSTraceHeader"] = {"StringValue": trace, "DataType": "String"}
        add(queue, message)

    with _replaced(Queue, "add_message", add_stamped):
        yield


@contextmanager
def receive_by_our_rules(receive: Callable[..., Any], region: str) -> Iterator[None]:
    """Let every receive come through `queues`: moto forgets which queue a dead letter has left.

    test_moto_still_forgets_where_dead_letters_come_from fails on the day that this is mended.
    """
    from moto.sqs.models import SQSBackend

    kept = SQSBackend.receive_message

    def receive_message(backend: Any, *args: Any, **named: Any) -> Any:
        return receive(*args, **named) if backend.region_name == region else kept(backend, *args, **named)

    with _replaced(SQSBackend, "receive_message", receive_message):
        yield


@contextmanager
def defer_invokes(defer: Callable[[str, str], None]) -> Iterator[None]:
    """Take the events that S3 and SNS hand to a function in moto, which would run Docker or nothing.

    test_moto_still_runs_no_function fails on the day that this is mended.
    """
    from moto.awslambda.models import LambdaFunction

    def invoke(function: Any, body: str, _request_headers: Any, _response_headers: Any) -> str:
        defer(function.function_arn, body)
        return ""

    with _replaced(LambdaFunction, "invoke", invoke):
        yield


@contextmanager
def reach_all_targets(bus: Bus) -> Iterator[None]:
    """Deliver what rules match to functions and state machines, which moto raises NotImplementedError for.

    test_moto_still_reaches_no_functions fails on the day that this is mended.
    """
    from moto.events.models import Rule

    kept: Any = Rule.send_to_targets

    def keep(rule: Any, target: dict[str, Any], event: dict[str, Any]) -> None:
        alone = copy.copy(rule)
        alone.targets = [target]
        kept(alone, event)

    def send_to_targets(rule: Any, original_event: Any, transform_input: bool = True) -> None:  # noqa: ARG001  moto's
        bus.send_to_targets(rule, original_event, lambda target, event: keep(rule, target, event))

    with _replaced(Rule, "send_to_targets", send_to_targets):
        yield


@contextmanager
def name_executions() -> Iterator[None]:
    """Give executions a name that were started without one, as Step Functions does.

    In moto all of them are called None: test_moto_still_names_no_executions.
    """
    from moto.stepfunctions.parser.models import StepFunctionsParserBackend

    kept = StepFunctionsParserBackend.start_execution

    def start_execution(backend: Any, arn: str, name: str | None = None, *args: Any, **named: Any) -> Any:
        return kept(backend, arn, name or str(uuid.uuid4()), *args, **named)

    with _replaced(StepFunctionsParserBackend, "start_execution", start_execution):
        yield


@contextmanager
def spell_arguments_of_executions() -> Iterator[None]:
    """Let state machines start each other: a state writes StateMachineArn, the API wants stateMachineArn.

    moto's interpreter hands such names on as they are, both ways, which fails with a KeyError:
    test_moto_still_starts_no_execution_from_a_state fails on the day that this is mended.
    """
    from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_sfn import (
        StateTaskServiceSfn,
    )

    keep_asked, keep_answered = (
        StateTaskServiceSfn._normalise_parameters,  # noqa: SLF001  moto has no other place for it
        StateTaskServiceSfn._normalise_response,  # noqa: SLF001  the same
    )

    def spell_asked(state: Any, parameters: dict[str, Any], *args: Any, **named: Any) -> None:
        keep_asked(state, parameters, *args, **named)
        for name in list(parameters):
            parameters[name[:1].lower() + name[1:]] = parameters.pop(name)

    def spell_answered(state: Any, response: Any, *args: Any, **named: Any) -> None:
        keep_answered(state, response, *args, **named)
        for name in list(response):
            value = response.pop(name)
            if isinstance(value, dt.datetime):  # in a state it is a number of milliseconds
                value = round(value.timestamp() * 1000)
            response[name[:1].upper() + name[1:]] = value

    with (
        _replaced(StateTaskServiceSfn, "_normalise_parameters", spell_asked),
        _replaced(StateTaskServiceSfn, "_normalise_response", spell_answered),
    ):
        yield


@contextmanager
def fail_maps_with_their_items() -> Iterator[None]:
    """Fail a distributed map of which more items failed than it tolerates; in moto it succeeds.

    test_moto_still_tolerates_failed_items_of_maps fails on the day that this is mended. AWS may leave items
    undone once a map has failed; here all of them are done.
    """
    from moto.stepfunctions.parser.api import HistoryEventType
    from moto.stepfunctions.parser.asl.component.common.error_name import (
        failure_event,
        states_error_name,
        states_error_name_type,
    )
    from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration import (
        distributed_iteration_component as distributed,
    )

    error = states_error_name_type.StatesErrorNameType.StatesExceedToleratedFailureThreshold
    kept = distributed.DistributedIterationComponent._map_run  # noqa: SLF001  moto has no other place for it

    def map_run(component: Any, env: Any, eval_input: Any) -> None:
        kept(component, env, eval_input)
        items = eval_input.map_run_record.item_counter
        n_failed = items.failed.get() + items.timed_out.get()
        if not _is_tolerated(n_failed, items.total.get(), eval_input):
            env.stack.pop()
            cause = "The specified tolerated failure threshold was exceeded"
            details: Any = {"taskFailedEventDetails": {"error": error.to_name(), "cause": cause}}
            raise failure_event.FailureEventException(
                failure_event.FailureEvent(
                    env=env,
                    error_name=states_error_name.StatesErrorName(error),
                    event_type=HistoryEventType.MapRunFailed,
                    event_details=details,
                )
            )

    with _replaced(distributed.DistributedIterationComponent, "_map_run", map_run):
        yield


def _is_tolerated(n_failed: int, n_items: int, wanted: Any) -> bool:
    """Whether a map may lose so many items, by whichever of the two thresholds its definition gives."""
    if not wanted.tolerated_failure_count and not wanted.tolerated_failure_percentage:
        return n_failed == 0
    is_few = not wanted.tolerated_failure_count or n_failed <= wanted.tolerated_failure_count
    share = wanted.tolerated_failure_percentage
    return is_few and (not share or 100 * n_failed <= share * n_items)


@contextmanager
def reuse_clients() -> Iterator[None]:
    """Let the interpreter keep its boto3 clients: it makes one per task, which takes longer than most tasks.

    test_moto_still_makes_a_client_per_task fails on the day that this is mended.
    """
    import boto3
    from moto.stepfunctions.parser.asl.utils import boto_client

    kept: dict[tuple[Any, ...], Any] = {}
    lock = threading.Lock()

    def client(**named: Any) -> Any:
        key = (named["service_name"], named["region_name"], named.get("endpoint_url"))
        with lock:
            if key not in kept:
                kept[key] = boto3.client(**named)
            return kept[key]

    with _replaced(boto_client, "boto3", types.SimpleNamespace(client=client)):
        yield


@contextmanager
def spell_keys() -> Iterator[None]:
    """Leave the slashes of keys in S3's notifications as they are, which moto spells %2F.

    test_moto_still_quotes_slashes_of_keys fails on the day that this is mended.
    """
    from moto.s3 import notifications

    quote = functools.partial(urllib.parse.quote_plus, safe="/")
    with _replaced(notifications, "quote_plus", quote):
        yield


@contextmanager
def drop_tag_events_of_puts() -> Iterator[None]:
    """Keep S3 from announcing tags with every object that is put, with or without tags.

    test_moto_still_announces_tags_with_every_put fails on the day that this is mended.
    """
    from moto.s3 import notifications

    send: Any = notifications.send_event

    def send_event(account_id: str, event_name: Any, *args: Any, **named: Any) -> None:
        is_tags = "ObjectTagging" in str(getattr(event_name, "value", event_name))
        if not is_tags or "Tagging" in (getattr(current, "operation", None) or ""):
            send(account_id, event_name, *args, **named)

    with _replaced(notifications, "send_event", send_event):
        yield


@contextmanager
def wait_by_clock(clock: Clock) -> Iterator[None]:
    """Let Wait states and the pauses of retries end by the rehearsal's clock."""
    from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
    from moto.stepfunctions.parser.asl.component.state.wait.wait_function.wait_function import WaitFunction

    def wait_interval(_state: Any, env: Any, wait_seconds: float) -> None:
        clock.sleep(wait_seconds, until=env.program_state_event)

    with (
        _replaced(WaitFunction, "_wait_interval", wait_interval),
        _replaced(retrier_decl, "time", types.SimpleNamespace(sleep=clock.sleep)),
    ):
        yield
