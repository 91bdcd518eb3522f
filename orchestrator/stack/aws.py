"""A session of boto3, and AWS's refusals as sentences with what to do about them.

Owns where profile and region come from. boto3 is the extra `aws` and imported when it is used. When this is
wrong, users read tracebacks of botocore, or work in another region than they think.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aliquot.errors import BadOption
from orchestrator.stack.errors import AwsRefused, MissingTool

INSTALL = 'pip install "aliquot[aws]"'
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
_UNKNOWN = frozenset(
    {"InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "AuthFailure"}
)
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403"})


def make_session(profile: str | None = None, region: str | None = None) -> Any:
    """A boto3 session with a region.

    Args:
        profile: of the files in ~/.aws; without one, as boto3 finds it.
        region: without one, AWS_REGION, AWS_DEFAULT_REGION or the profile's.
    Raises:
        MissingTool: boto3 is not installed.
        BadOption: no such profile, or no region.
    """
    try:
        import boto3
        from botocore.exceptions import ProfileNotFound
    except ImportError as err:
        raise MissingTool("boto3", "is not installed, and AWS is reached through it", INSTALL) from err
    try:
        # boto3 itself reads AWS_DEFAULT_REGION only; SAM and AWS's command line read both
        session = boto3.Session(profile_name=profile, region_name=region or os.environ.get("AWS_REGION"))
    except ProfileNotFound as err:
        known = ", ".join(boto3.Session().available_profiles) if profile else ""
        wanted = profile or os.environ.get("AWS_PROFILE")
        raise BadOption(
            "--profile",
            f"no profile {wanted!r} in ~/.aws; there are: {known or 'none'} (`aws configure` makes one)",
        ) from err
    if not session.region_name:
        raise BadOption("--region", "no region is set: give --region us-east-1, or set AWS_REGION")
    return session


@contextmanager
def explained(action: str) -> Iterator[None]:
    """Turn what botocore raises inside into AwsRefused; `action` says what was tried."""
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        EndpointConnectionError,
        NoCredentialsError,
        PartialCredentialsError,
        SSOError,
        TokenRetrievalError,
    )

    try:
        yield
    except ClientError as err:
        raise _explain_answer(action, err.response.get("Error", {})) from err
    except (NoCredentialsError, PartialCredentialsError) as err:
        raise AwsRefused(
            action, "no credentials of AWS were found", "run `aws configure`, or give --profile"
        ) from err
    except (SSOError, TokenRetrievalError) as err:
        raise AwsRefused(action, str(err), "log in again: `aws sso login`") from err
    except EndpointConnectionError as err:
        raise AwsRefused(action, str(err), "check the network, and that --region is a region of AWS") from err
    except BotoCoreError as err:
        raise AwsRefused(action, str(err), "`aliquot doctor --on aws:STACK` checks the way to AWS") from err


def _explain_answer(action: str, error: Any) -> AwsRefused:
    code, message = error.get("Code", ""), error.get("Message", "")
    if code in _EXPIRED:
        return AwsRefused(action, "the credentials have expired", "log in again (`aws sso login`)")
    if code in _UNKNOWN:
        return AwsRefused(
            action, f"AWS does not know these credentials ({code})", "check --profile, or `aws configure`"
        )
    if code in _DENIED:
        return AwsRefused(
            action,
            f"not allowed: {message or code}",
            "ask for this right, or give another --profile; `aliquot deploy --dry-run` lists the rights",
        )
    return AwsRefused(action, f"{code}: {message}", "`aliquot doctor --on aws:STACK` checks the way to AWS")
