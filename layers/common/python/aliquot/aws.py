"""A run's objects in S3 and its tasks in SQS: the same promises as the folder's, kept by AWS.

The one module of the core that imports boto3's errors; clients are arguments, so nothing here makes one.
S3 is strongly consistent for reads and listings, and a put with `If-None-Match: *` decides between writers.
A client that retries its own successful put meets 412: the object's content decides, as everywhere.

Owns the calls to S3 and SQS. When it is wrong, two workers both believe that they were first.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from aliquot.errors import AlreadyPut, StoreError

_GONE = frozenset({"404", "NoSuchKey", "NotFound"})
_CONFLICT = "ConditionalRequestConflict"  # 409: another conditional put is under way
_MOST_CONFLICTS = 5
_PIECE_BYTES = 1 << 20


class S3Store:
    """Objects under a prefix of a bucket.

    Args:
        client: a boto3 S3 client.
        bucket: the bucket's name.
        prefix: put before every key, ending in a slash: `runs/<run>/`.
        encryption: arguments of every put that say how it is encrypted (SSEKMSKeyId, ...).
    """

    def __init__(
        self, client: Any, bucket: str, prefix: str, encryption: Mapping[str, str] | None = None
    ) -> None:
        self._client, self._bucket, self._prefix = client, bucket, prefix
        self._encryption = dict(encryption or {})

    def put(self, key: str, body: bytes) -> None:
        """Write an object, replacing what was there; raises StoreError."""
        with _explained(self._name(key)):
            self._client.put_object(
                Bucket=self._bucket, Key=self._prefix + key, Body=body, **self._encryption
            )

    def put_once(self, key: str, body: bytes) -> None:
        """Write an object that nobody wrote before; raises AlreadyPut, StoreError."""
        for conflict in range(_MOST_CONFLICTS):
            try:
                self._client.put_object(
                    Bucket=self._bucket,
                    Key=self._prefix + key,
                    Body=body,
                    IfNoneMatch="*",
                    **self._encryption,
                )
            except ClientError as err:
                code = err.response["Error"]["Code"]
                if code == "PreconditionFailed":
                    raise AlreadyPut(key) from None
                if code != _CONFLICT or conflict == _MOST_CONFLICTS - 1:
                    raise StoreError(self._name(key), _describe(err)) from err
            except BotoCoreError as err:
                raise StoreError(self._name(key), str(err)) from err
            else:
                return

    def get(self, key: str) -> bytes:
        """An object's bytes; raises StoreError where there is none."""
        with _explained(self._name(key)):
            body: bytes = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key)["Body"].read()
            return body

    def put_file(self, key: str, path: Path) -> None:
        """Write a file's content as an object, in parts where it is large; raises StoreError."""
        with _explained(self._name(key)):
            self._client.upload_file(
                str(path), self._bucket, self._prefix + key, ExtraArgs=self._encryption or None
            )

    def get_file(self, key: str, path: Path, sha256: str = "") -> None:
        """Write an object's content into a file: whole, or not at all.

        Args:
            sha256: of the content, where it is known.
        Raises:
            StoreError: there is no such object, or its content is another.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
        digest = hashlib.sha256()
        try:
            with _explained(self._name(key)), temporary.open("wb") as file:
                body = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key)["Body"]
                for piece in body.iter_chunks(_PIECE_BYTES):
                    digest.update(piece)
                    file.write(piece)
            if sha256 and digest.hexdigest() != sha256:
                raise StoreError(self._name(key), f"its SHA-256 is {digest.hexdigest()}, not {sha256}")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def has(self, key: str) -> bool:
        """Whether there is such an object; raises StoreError where that cannot be told."""
        with _explained(self._name(key)):
            try:
                self._client.head_object(Bucket=self._bucket, Key=self._prefix + key)
            except ClientError as err:
                if err.response["Error"]["Code"] in _GONE:
                    return False
                raise
            return True

    def list_keys(self, prefix: str) -> list[str]:
        """The keys that begin with `prefix`, sorted; raises StoreError."""
        with _explained(self._name(prefix)):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + prefix
            )
            return [found["Key"][len(self._prefix) :] for page in pages for found in page.get("Contents", ())]

    def _name(self, key: str) -> str:
        return f"s3://{self._bucket}/{self._prefix}{key}"


@contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        yield
    except ClientError as err:
        raise StoreError(name, _describe(err)) from err
    except BotoCoreError as err:
        raise StoreError(name, str(err)) from err


def _describe(err: ClientError) -> str:
    code, message = err.response["Error"]["Code"], err.response["Error"].get("Message", "")
    if code in ("AccessDenied", "403"):
        return "access denied: the role or profile lacks the right, or there is no such object"
    return "there is no such object" if code in _GONE else f"{code}: {message}"
