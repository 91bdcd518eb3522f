"""Which of a record's exceptions are worth another try, after how long, and until when.

Throttling and lost connections pass by themselves; a record's own fault does not. Services are known by how
their errors look, not by their packages, which are not imported here. Pauses grow fourfold from 0.2 s to at
most 30, each drawn between half of that and all of it, so that records which failed together do not come back
together; where the service, or the job by `TryAgain`, says when to come back, that is waited for at least.
Tries go on while their next one would begin before the record's deadline.

Owns this judgement. Imports `errors`. When it is wrong, a hiccup of a database costs records, or a bug is
paid for four times.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from aliquot.errors import TryAgain

_FIRST_S, _GROWTH, _LONGEST_S = 0.2, 4, 30.0

_THROTTLED = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_BUSY = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
# by package and class: those of a connection that was not had, was lost, or took too long
_PASSING = frozenset(
    {
        ("aiohttp", "ClientConnectionError"),
        ("aiohttp", "ClientPayloadError"),
        ("botocore", "ConnectionError"),
        ("botocore", "HTTPClientError"),
        ("http", "IncompleteRead"),
        ("httpx", "NetworkError"),
        ("httpx", "RemoteProtocolError"),
        ("httpx", "TimeoutException"),
        ("requests", "ChunkedEncodingError"),
        ("requests", "ConnectionError"),
        ("requests", "Timeout"),
        ("urllib3", "NewConnectionError"),
        ("urllib3", "ProtocolError"),
        ("urllib3", "TimeoutError"),
    }
)


def is_retryable(err: BaseException, named: tuple[type[BaseException], ...]) -> bool:
    """Whether the same record may succeed a moment later.

    Args:
        named: the types that the job's stage names.
    """
    if isinstance(err, (TryAgain, ConnectionError, TimeoutError, *named)):
        return True
    if not isinstance(err, Exception):  # SystemExit has a code, too
        return False
    if _is_of_connection(err):
        return True
    reason = getattr(err, "reason", None)  # of urllib's URLError
    if isinstance(reason, ConnectionError | TimeoutError):
        return True
    response = getattr(err, "response", None)  # botocore's is a dict, that of requests and httpx an object
    if isinstance(response, dict):
        said = response.get("Error")
        return isinstance(said, dict) and said.get("Code") in _THROTTLED
    # aiohttp has the status beside the error, urllib calls it its code
    named_so = (
        getattr(response, "status_code", None),
        getattr(err, "status", None),
        getattr(err, "code", None),
    )
    return any(isinstance(status, int) and status in _BUSY for status in named_so)


def choose_pause_s(
    err: BaseException, n_retries: int, draw: Callable[[float, float], float] = random.uniform
) -> float:
    """Seconds until a record is tried again.

    Args:
        n_retries: that there were.
    """
    most_s = min(_LONGEST_S, _FIRST_S * _GROWTH ** min(n_retries, 10))
    return read_wait_s(err) + draw(most_s / 2, most_s)


def read_wait_s(err: BaseException, now_s: Callable[[], float] = time.time) -> float:
    """Seconds after which an exception says to come back; 0 where it says nothing.

    Of `TryAgain` its `after_s`, of HTTP clients' errors the header Retry-After, in seconds or as a date.
    """
    if isinstance(err, TryAgain):
        return max(0.0, err.after_s)
    said = _find_header(err)
    try:
        wait_s = float(said)
    except ValueError:
        from email.utils import parsedate_to_datetime  # which few need

        try:
            wait_s = parsedate_to_datetime(said).timestamp() - now_s()
        except (TypeError, ValueError, OverflowError):
            return 0.0
    return max(0.0, wait_s) if math.isfinite(wait_s) else 0.0


def _find_header(err: BaseException) -> str:
    response = getattr(err, "response", None)
    if isinstance(response, Mapping):
        about = response.get("ResponseMetadata")
        headers: Any = about.get("HTTPHeaders") if isinstance(about, Mapping) else None
    else:
        headers = getattr(response, "headers", None) or getattr(err, "headers", None)
    for name in ("Retry-After", "retry-after"):
        try:
            said = headers[name]
        except (TypeError, LookupError):
            continue
        if isinstance(said, str):
            return said
    return ""


def _is_of_connection(err: BaseException) -> bool:
    """Whether it is a client's error of its connection; of a certificate it does not pass."""
    names = {(kind.__module__.partition(".")[0], kind.__name__) for kind in type(err).__mro__}
    is_refused = any("SSL" in name or "Certificate" in name for _, name in names)
    return not is_refused and not names.isdisjoint(_PASSING)
