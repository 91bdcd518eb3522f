"""A bucket and a queue in memory: as much of boto3's clients as handlers call, thousands of times a second.

Owns these stand-ins; what S3 and SQS promise is held by moto in tests/functional/aws.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError, ParamValidationError


class ExecutionAlreadyExists(ClientError):  # type: ignore[misc]
    """As Step Functions'."""


class _Body(io.BytesIO):
    def iter_chunks(self, n_bytes: int) -> Iterator[bytes]:
        """As botocore's."""
        return iter(lambda: self.read(n_bytes), b"")


class MemoryS3:
    """Objects by (bucket, key)."""

    exceptions = SimpleNamespace(ClientError=ClientError)

    def __init__(self, objects: Mapping[tuple[str, str], bytes]) -> None:
        self.objects = dict(objects)

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, IfNoneMatch: str = "", **_: Any) -> None:  # noqa: N803
        """As boto3's."""
        if not Key or len(Key.encode()) > 1024:
            raise _refuse("KeyTooLongError", "PutObject")
        if IfNoneMatch and (Bucket, Key) in self.objects:
            raise _refuse("PreconditionFailed", "PutObject")
        self.objects[Bucket, Key] = bytes(Body)

    def get_object(
        self,
        *,
        Bucket: str,  # noqa: N803
        Key: str,  # noqa: N803
        Range: str = "",  # noqa: N803
        IfMatch: str = "",  # noqa: N803
    ) -> dict[str, Any]:
        """As boto3's."""
        body = self._find(Bucket, Key, "NoSuchKey", "GetObject")
        if IfMatch and IfMatch.strip('"') != _digest(body):
            raise _refuse("PreconditionFailed", "GetObject")
        if Range:
            first, _, last = Range.removeprefix("bytes=").partition("-")
            body = body[int(first) : int(last) + 1]
        return {"Body": _Body(body)}

    def head_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        """As boto3's."""
        return {"ContentLength": len(self._find(Bucket, Key, "404", "HeadObject"))}

    def upload_file(self, path: str, bucket: str, key: str, **_: Any) -> None:
        """As boto3's."""
        self.objects[bucket, key] = Path(path).read_bytes()

    def delete_object(self, *, Bucket: str, Key: str) -> None:  # noqa: N803
        """As boto3's."""
        self.objects.pop((Bucket, Key), None)

    def copy(self, source: Mapping[str, str], bucket: str, key: str, **_: Any) -> None:
        """As boto3's."""
        self.objects[bucket, key] = self._find(source["Bucket"], source["Key"], "404", "CopyObject")

    def get_paginator(self, _: str) -> Any:
        """As boto3's, of list_objects_v2."""
        return SimpleNamespace(paginate=self._list)

    def _list(self, *, Bucket: str, Prefix: str) -> Iterator[dict[str, Any]]:  # noqa: N803
        found = sorted(key for bucket, key in self.objects if bucket == Bucket and key.startswith(Prefix))
        sizes = {key: self.objects[Bucket, key] for key in found}
        yield {
            "Contents": [
                {"Key": key, "Size": len(body), "ETag": f'"{_digest(body)}"'} for key, body in sizes.items()
            ]
        }

    def _find(self, bucket: str, key: str, code: str, operation: str) -> bytes:
        if not key:
            raise ParamValidationError(report="Key: an empty text")
        if (bucket, key) not in self.objects:
            raise _refuse(code, operation)
        return self.objects[bucket, key]


class MemorySqs:
    """A queue that counts what is sent."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def send_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, str]]) -> dict[str, Any]:  # noqa: N803, ARG002
        """As boto3's."""
        self.sent += [entry["MessageBody"] for entry in Entries]
        return {}

    def get_queue_attributes(self, **_: Any) -> dict[str, Any]:
        """As boto3's."""
        return {
            "Attributes": {
                "ApproximateNumberOfMessages": "0",
                "ApproximateNumberOfMessagesNotVisible": "0",
            }
        }


class MemoryStates:
    """Executions by name."""

    exceptions = SimpleNamespace(ExecutionAlreadyExists=ExecutionAlreadyExists)

    def __init__(self) -> None:
        self.started: set[str] = set()

    def start_execution(self, *, stateMachineArn: str, name: str, input: str) -> None:  # noqa: N803, A002, ARG002
        """As boto3's."""
        if name in self.started:
            raise ExecutionAlreadyExists(_response("ExecutionAlreadyExists"), "StartExecution")
        self.started.add(name)


def _digest(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def _refuse(code: str, operation: str) -> ClientError:
    return ClientError(_response(code), operation)


def _response(code: str) -> Any:
    return {"Error": {"Code": code, "Message": code}}
