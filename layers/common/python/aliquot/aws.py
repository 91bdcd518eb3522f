"""A run's objects in S3 and its tasks in SQS: the same promises as the folder's, kept by AWS.

The objects of a dataset are read by ranges, each as it was pinned by its ETag: one that changes is an error.

The one module of the core that imports boto3's errors; clients are arguments, so nothing here makes one.
S3 is strongly consistent for reads and listings, and a put with `If-None-Match: *` decides between writers.
A client that retries its own successful put meets 412: the object's content decides, as everywhere.

Owns the calls to S3 and SQS. When it is wrong, two workers both believe that they were first.
"""

from __future__ import annotations

import hashlib
import io
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from botocore.exceptions import BotoCoreError, ClientError

from aliquot.errors import AlreadyPut, DatasetError, StoreError
from aliquot.readers.objects import Listed, split_url
from aliquot.readers.sources import Source

_GONE = frozenset({"404", "NoSuchKey", "NotFound"})
_DENIED = frozenset({"AccessDenied", "403"})
_DENIED_TO_STACK = "may not be read by the stack: name its bucket in the stack's DataBuckets"
_CONFLICT = "ConditionalRequestConflict"  # 409: another conditional put is under way
_MOST_CONFLICTS = 5
_PIECE_BYTES = 1 << 20
_MOST_READS = 4  # of one range: botocore tries a request again, not a body that breaks off
_MOST_FETCHES = 2  # of a file whose content is not what it should be
_SHA256 = "sha256"  # under which an object's metadata say it


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

    def view(self, key: str) -> bytes:
        """An object's bytes; raises StoreError where there is none."""
        return self.get(key)

    def get_range(self, key: str, first: int, n_bytes: int) -> bytes:
        """Bytes of an object from `first` on, fewer where it ends; raises StoreError where there is none."""
        span = f"bytes={first}-{first + n_bytes - 1}"
        with _explained(self._name(key)):
            found = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key, Range=span)
            body: bytes = found["Body"].read()
            return body

    def put_file(self, key: str, path: Path) -> None:
        """Write a file's content as an object, in parts where it is large; raises StoreError."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        with _explained(self._name(key)):
            given = {**self._encryption, "Metadata": {_SHA256: digest}}
            self._client.upload_file(str(path), self._bucket, self._prefix + key, ExtraArgs=given)

    def get_file(
        self, key: str, path: Path, sha256: str = "", make_room: Callable[[int], None] | None = None
    ) -> None:
        """Write an object's content into a file: whole, or not at all; fetched again where it is another.

        Args:
            sha256: of the content; where it is not given, and `put_file` has put the object, it is known.
            make_room: told the file's bytes before it is written.
        Raises:
            StoreError: there is no such object, or its content is another.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
        try:
            for attempt in range(_MOST_FETCHES):
                found, wanted = self._write_file(key, temporary, make_room)
                if found == (sha256 or wanted or found):
                    temporary.replace(path)
                    return
                if attempt == _MOST_FETCHES - 1:
                    said = (
                        f"its SHA-256 is {found}, not {sha256 or wanted}: remove it, and put it there again"
                    )
                    raise StoreError(self._name(key), said)
        finally:
            temporary.unlink(missing_ok=True)

    def _write_file(self, key: str, path: Path, make_room: Callable[[int], None] | None) -> tuple[str, str]:
        """The digest of what was written, and what the object says itself that it is."""
        digest = hashlib.sha256()
        with _explained(self._name(key)):
            found = self._open(key)
        with closing(found["Body"]), path.open("wb") as file:
            if make_room is not None:
                make_room(found["ContentLength"])
            for piece in self._read_pieces(key, found):
                digest.update(piece)
                file.write(piece)
        return digest.hexdigest(), found.get("Metadata", {}).get(_SHA256, "")

    def _read_pieces(self, key: str, found: Mapping[str, Any]) -> Iterator[bytes]:
        """An object's content in order; from where a connection breaks off another one goes on."""
        body, at, n_fruitless = found["Body"], 0, 0
        while at < found["ContentLength"]:
            began, reason = at, "it ended early"
            with _explained(self._name(key)):
                try:
                    if at or n_fruitless:
                        body = self._open(key, Range=f"bytes={at}-", IfMatch=found["ETag"])["Body"]
                    for piece in body.iter_chunks(_PIECE_BYTES):
                        at += len(piece)
                        yield piece
                except BotoCoreError as err:
                    reason = str(err)
            n_fruitless = n_fruitless + 1 if at == began else 0
            if n_fruitless == _MOST_READS:
                raise StoreError(self._name(key), f"gives nothing from byte {at:,} on: {reason}")

    def _open(self, key: str, **asked: str) -> dict[str, Any]:
        found: dict[str, Any] = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key, **asked)
        return found

    def has(self, key: str) -> bool:
        """Whether there is such an object; raises StoreError where that cannot be told."""
        return self.measure(key) is not None

    def measure(self, key: str) -> int | None:
        """An object's bytes, None where there is none; raises StoreError where that cannot be told."""
        with _explained(self._name(key)):
            try:
                head = self._client.head_object(Bucket=self._bucket, Key=self._prefix + key)
            except ClientError as err:
                if err.response["Error"]["Code"] in _GONE:
                    return None
                raise
            return int(head["ContentLength"])

    def list_keys(self, prefix: str) -> list[str]:
        """The keys that begin with `prefix`, sorted; raises StoreError."""
        with _explained(self._name(prefix)):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + prefix
            )
            return [found["Key"][len(self._prefix) :] for page in pages for found in page.get("Contents", ())]

    def _name(self, key: str) -> str:
        return f"s3://{self._bucket}/{self._prefix}{key}"


class S3Objects:
    """The objects of datasets, in any bucket that the client may read.

    Args:
        client: a boto3 S3 client.
        denied: what is said of an object that it may not read.
    """

    def __init__(self, client: Any, denied: str = _DENIED_TO_STACK) -> None:
        self._client, self._denied = client, denied

    def list_objects(self, bucket: str, prefix: str) -> Iterator[Listed]:
        """The bucket's objects whose keys begin with `prefix`, in order of keys; raises StoreError."""
        with _explained(f"s3://{bucket}/{prefix}"):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                for found in page.get("Contents", ()):
                    yield Listed(found["Key"], found["Size"], found["ETag"].strip('"'))

    def open(self, source: Source) -> BinaryIO:
        """An object as a raw file of which every read is a request; raises DatasetError, StoreError."""
        return cast("BinaryIO", _ObjectFile(self._client, source, self._denied))


class _ObjectFile(io.RawIOBase):
    """An object as it was pinned, read by ranges."""

    def __init__(self, client: Any, source: Source, denied: str) -> None:
        self._client, self._path, self._denied = client, source.path, denied
        self._bucket, self._key = split_url(source.path)
        self._etag, self._size = source.etag, source.size_bytes or 0
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer, but for the object's end."""
        n_bytes = min(len(buffer), self._size - self._at)
        if n_bytes <= 0:
            return 0
        buffer[:n_bytes] = self._fetch(self._at, n_bytes)
        self._at += n_bytes
        return n_bytes

    def _fetch(self, first: int, n_bytes: int) -> bytes:
        for attempt in range(_MOST_READS):
            try:
                body = self._get(f"bytes={first}-{first + n_bytes - 1}")
            except ClientError as err:
                raise self._judge(err) from err
            except BotoCoreError as err:  # a body that broke off among them
                if attempt == _MOST_READS - 1:
                    raise StoreError(self._path, str(err)) from err
            else:
                if len(body) == n_bytes:
                    return body
        raise StoreError(self._path, f"gives other than {n_bytes:,} bytes from byte {first:,} on")

    def _get(self, span: str) -> bytes:
        pin = {"IfMatch": f'"{self._etag}"'} if self._etag else {}
        found = self._client.get_object(Bucket=self._bucket, Key=self._key, Range=span, **pin)
        body: bytes = found["Body"].read()
        return body

    def _judge(self, err: ClientError) -> Exception:
        code = err.response["Error"]["Code"]
        if code in ("PreconditionFailed", "412", "InvalidRange", "416"):
            return DatasetError(self._path, "has changed since the run began: restore it, or begin a new run")
        if code in _GONE or code == "NoSuchBucket":
            return DatasetError(self._path, "is not there any more: restore it, or begin a new run")
        if code in _DENIED:
            return DatasetError(self._path, self._denied)
        return StoreError(self._path, _describe(err))


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
    if code in _DENIED:
        return "access denied: the role or profile lacks the right, or there is no such object"
    return "there is no such object" if code in _GONE else f"{code}: {message}"
