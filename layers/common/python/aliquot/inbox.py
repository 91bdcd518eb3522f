"""The bucket into which people and programs drop datasets and requests, and what is answered there.

    june.run.json  ->  june.accepted.json or june.rejected.json beside it, one of the two

Owns what is read of the inbox, what is copied out of it, and the answers. Clients are arguments. Imports
`aws` and the readers' names of objects. When it is wrong, a reference has other content than its digest says,
or nobody hears why nothing began.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aliquot.aws import S3Objects, S3Store
from aliquot.envelope import is_texts
from aliquot.errors import DatasetError, StoreError, Undecodable
from aliquot.readers import Source
from aliquot.readers.objects import SCHEME, split_url
from aliquot.request_file import MOST_BYTES

REQUEST, ACCEPTED, REJECTED = ".run.json", ".accepted.json", ".rejected.json"
ANSWER_FORMAT = "aliquot/answer/1"
_READ_BYTES = 8 << 20
_CHANGED = frozenset({"PreconditionFailed", "412"})


@dataclass(frozen=True)
class Dropped:
    """A request file as the event of its arrival tells it.

    Args:
        version: what tells this arrival from any other under the same key.
    """

    bucket: str
    key: str
    etag: str
    size_bytes: int
    version: str

    @classmethod
    def read(cls, event: Mapping[str, Any]) -> Dropped:
        """Of an event of EventBridge; raises Undecodable where it is none of a request."""
        try:
            bucket, found = event["detail"]["bucket"]["name"], event["detail"]["object"]
            key, etag, size_bytes = found["key"], found["etag"], found["size"]
        except (KeyError, TypeError) as err:
            raise Undecodable("event", f"lacks {err}") from err
        if not all(isinstance(text, str) for text in (bucket, key, etag)) or not isinstance(size_bytes, int):
            raise Undecodable("event", "names an object that cannot be")
        if not key.endswith(REQUEST):
            raise Undecodable("event", f"is of {key!r}, which is no {REQUEST}")
        # an object of a bucket without versions has none, or "null"; of two puts alike the sequencer differs
        version, sequencer = found.get("version-id", "null"), found.get("sequencer", "")
        if not is_texts([version, sequencer]):
            raise Undecodable("event", "names a version that cannot be")
        if version == "null":
            version = f"{etag}:{sequencer}"
        return cls(bucket, key, etag, size_bytes, version)

    @property
    def name(self) -> str:
        """The key without what marks a request."""
        return self.key.removesuffix(REQUEST)

    @property
    def url(self) -> str:
        """Where it lies."""
        return f"{SCHEME}{self.bucket}/{self.key}"


class Inbox:
    """The inbox of a stack.

    Args:
        client: a boto3 client of S3.
        bucket: its name.
        encryption: arguments of every put.
    """

    def __init__(self, client: Any, bucket: str, encryption: Mapping[str, str]) -> None:
        self._client, self.bucket, self._encryption = client, bucket, dict(encryption)
        self._objects, self._store = S3Objects(client), S3Store(client, bucket, "", encryption)

    def read(self, dropped: Dropped) -> bytes:
        """A request's content, as much of it as a request may have and a byte more.

        Raises DatasetError where it is not that any more, StoreError.
        """
        source = Source(dropped.url, "", size_bytes=dropped.size_bytes, etag=dropped.etag)
        return io.BufferedReader(self._objects.open(source), _READ_BYTES).read(MOST_BYTES + 1)  # type: ignore[type-var]

    def find(self, key: str) -> Source:
        """An object as it lies there; raises DatasetError where there is none, StoreError."""
        path = f"{SCHEME}{self.bucket}/{key}"
        found = next(iter(self._objects.list_objects(self.bucket, key)), None)  # itself before longer ones
        if found is None or found.key != key:
            raise DatasetError(path, "there is no such object")
        return Source(path, "", size_bytes=found.size_bytes, etag=found.etag)

    def digest(self, source: Source) -> str:
        """The SHA-256 of an object, read once from its beginning to its end.

        Raises:
            DatasetError: it was changed meanwhile.
            StoreError: it could not be read.
        """
        with io.BufferedReader(self._objects.open(source), _READ_BYTES) as file:  # type: ignore[type-var]
            return hashlib.file_digest(file, "sha256").hexdigest()

    def copy(self, source: Source, bucket: str, key: str) -> None:
        """Copy an object within S3, in parts where it is large; raises as `digest`."""
        from_bucket, from_key = split_url(source.path)
        given = {"CopySourceIfMatch": f'"{source.etag}"', "TaggingDirective": "REPLACE", **self._encryption}
        try:
            self._client.copy({"Bucket": from_bucket, "Key": from_key}, bucket, key, ExtraArgs=given)
        except self._client.exceptions.ClientError as err:
            if err.response["Error"]["Code"] in _CHANGED:
                raise DatasetError(
                    source.path, "was changed while it was read: drop the request again"
                ) from err
            raise StoreError(source.path, f"could not be copied: {err}") from err

    def answer(self, dropped: Dropped, kind: str, said: Mapping[str, Any]) -> None:
        """Put an answer beside a request, and take away one that an earlier request got; raises StoreError.

        Args:
            kind: ACCEPTED or REJECTED.
        """
        request = {"key": dropped.key, "etag": dropped.etag, "version": dropped.version}
        body = json.dumps({"format": ANSWER_FORMAT, "request": request, **said}, indent=1, ensure_ascii=False)
        self._store.put(f"{dropped.name}{kind}", f"{body}\n".encode(errors="replace"))
        other = REJECTED if kind == ACCEPTED else ACCEPTED
        try:
            self._client.delete_object(Bucket=self.bucket, Key=f"{dropped.name}{other}")
        except self._client.exceptions.ClientError as err:
            raise StoreError(f"{dropped.name}{other}", str(err)) from err
