"""Which of a record's exceptions are worth another try, and after how long.

Throttling and lost connections pass by themselves; a record's own fault does not. Services are known by how
their errors look, not by their packages, which are not imported here. Owns this judgement. Imports the
standard library. When it is wrong, a hiccup of a database costs records, or a bug is paid for four times.
"""

from __future__ import annotations

from http import HTTPStatus

BACKOFF_S = (0.2, 0.8, 3.2)  # between the tries of one record; they count towards its deadline

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
_BUSY = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE})


def is_retryable(err: BaseException, named: tuple[type[BaseException], ...]) -> bool:
    """Whether the same record may succeed a moment later.

    Args:
        named: the types that the job's stage names.
    """
    if isinstance(err, (ConnectionError, TimeoutError, *named)):
        return True
    if not isinstance(err, Exception):  # SystemExit has a code, too
        return False
    response = getattr(err, "response", None)  # botocore's is a dict, that of requests and httpx an object
    if isinstance(response, dict):
        said = response.get("Error")
        return isinstance(said, dict) and said.get("Code") in _THROTTLED
    status = getattr(response, "status_code", None) or getattr(err, "code", None)
    return isinstance(status, int) and status in _BUSY
