"""What an HTTP request to AWS asks for: service, operation, and the resource that it touches.

Imports moto's router for the two services whose operation lies in the path. When it is wrong, the log of
calls names other rights than the calls need.
"""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

ACCOUNT = "123456789012"
_GLOBAL = frozenset({"iam", "sts"})
_HOSTS = {"dynamodb:DynamoDBStreams": "streams.dynamodb"}
_ACTIONS = {
    "s3:HeadObject": "s3:GetObject",
    "s3:CreateMultipartUpload": "s3:PutObject",
    "s3:UploadPart": "s3:PutObject",
    "s3:UploadPartCopy": "s3:PutObject",
    "s3:CompleteMultipartUpload": "s3:PutObject",
    "s3:CopyObject": "s3:PutObject",
    "s3:DeleteObjects": "s3:DeleteObject",
    "s3:ListObjects": "s3:ListBucket",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:ListBuckets": "s3:ListAllMyBuckets",
    "s3:ListParts": "s3:ListMultipartUploadParts",
    "s3:ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "s3:ListObjectVersions": "s3:ListBucketVersions",
    "sqs:SendMessageBatch": "sqs:SendMessage",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
    "sns:PublishBatch": "sns:Publish",
    "lambda:Invoke": "lambda:InvokeFunction",
    "states:StartSyncExecution": "states:StartSyncExecution",
}
_NAMED_BY = ("stateMachineArn", "executionArn", "TopicArn", "KeyId", "SecretId", "TableName", "Name")


@dataclass(frozen=True)
class AwsRequest:
    """A request as it came in.

    Attributes:
        target: path and query, as sent.
        headers: with lower-case names.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @cached_property
    def _scope(self) -> list[str]:
        """Access key, day, region and service, from the signature or from a presigned URL."""
        found = self.headers.get("authorization", "").partition("Credential=")[2].split(",")[0]
        if not found:
            query = urllib.parse.parse_qs(self.target.partition("?")[2])
            found = query.get("X-Amz-Credential", [""])[0]
        parts = found.split("/")
        return parts if len(parts) == 5 else ["", "", "us-east-1", "s3", ""]

    @property
    def access_key(self) -> str:
        """Who signed."""
        return self._scope[0]

    @property
    def region(self) -> str:
        """Where to."""
        return self._scope[2]

    @property
    def service(self) -> str:
        """The name that signatures use, which is also the prefix in policies, but for a few."""
        return self._scope[3]

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def url(self) -> str:
        """The address at AWS."""
        prefix = self.headers.get("x-amz-target", "").partition("_")[0]
        host = _HOSTS.get(f"{self.service}:{prefix}", self.service)
        where = "" if self.service in _GLOBAL else f".{self.region}"
        return f"https://{host}{where}.amazonaws.com{self.target}"

    @cached_property
    def body_json(self) -> dict[str, Any]:
        """The body, where it is a JSON object; else empty."""
        if self.service == "s3" or not self.body.startswith(b"{"):
            return {}
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @cached_property
    def operation(self) -> str:
        """The operation's name in the API, such as `PutObject`."""
        if target := self.headers.get("x-amz-target"):
            return target.rpartition(".")[2]
        form = self.body[:4096].decode("utf-8", "replace") if self.service not in {"s3", "lambda"} else ""
        if action := urllib.parse.parse_qs(form).get("Action"):
            return action[0]
        return self._match_path()

    def _match_path(self) -> str:
        from moto.core.request import Request
        from moto.core.routing import get_service_router
        from werkzeug.exceptions import NotFound

        request = Request.from_primitives(self.method, self.url, dict(self.headers))
        try:
            return str(get_service_router(self.service).match(request)[0].name)
        except (NotFound, KeyError, ValueError):
            return "Unknown"

    @property
    def action(self) -> str:
        """The right that the call needs, as policies spell it."""
        prefix = "cloudwatch" if self.service == "monitoring" else self.service
        action = f"{prefix}:{self.operation}"
        return _ACTIONS.get(action, action)

    @cached_property
    def resource(self) -> str:
        """The ARN of what the call touches, or its name, or `*`."""
        path = urllib.parse.unquote(self.path).strip("/")
        if self.service == "s3":
            key_is_meant = "/" in path and self.action != "s3:ListBucket"
            return f"arn:aws:s3:::{path if key_is_meant else path.partition('/')[0]}" if path else "*"
        if url := self.body_json.get("QueueUrl"):
            return f"arn:aws:sqs:{self.region}:{ACCOUNT}:{str(url).rpartition('/')[2]}"
        if self.service == "lambda" and "/functions/" in f"/{path}/":
            name = path.partition("functions/")[2].partition("/")[0]
            return (
                name if name.startswith("arn:") else f"arn:aws:lambda:{self.region}:{ACCOUNT}:function:{name}"
            )
        if self.operation == "PutEvents":
            bus = str(self.body_json["Entries"][0].get("EventBusName", "default"))
            prefix = f"arn:aws:events:{self.region}:{ACCOUNT}:event-bus/"
            return prefix + bus.removeprefix(prefix)
        return next((str(self.body_json[key]) for key in _NAMED_BY if key in self.body_json), "*")
