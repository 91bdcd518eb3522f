"""The S3 store keeps the folder store's promises, seen on moto."""

import pytest

from aliquot.aws import S3Store
from aliquot.errors import AlreadyPut, StoreError


@pytest.fixture
def s3(aws):
    return aws("s3")


@pytest.fixture
def store(s3):
    return S3Store(s3, "runs", "runs/r1/")


def test_what_is_put_is_got_and_listed_in_order(store):
    for key in ("chunks/00000001.5", "chunks/00000000.9", "sealed"):
        store.put(key, key.encode())
    assert store.get("sealed") == b"sealed"
    assert store.list_keys("chunks/") == ["chunks/00000000.9", "chunks/00000001.5"]
    assert store.has("sealed")
    assert not store.has("stop/0000.json")


def test_first_writer_of_a_decision_wins(store):
    """Two processes that settle one epoch must both go on with the same roster."""
    store.put_once("roster/match/0000.json", b"first")
    with pytest.raises(AlreadyPut):
        store.put_once("roster/match/0000.json", b"second")
    assert store.get("roster/match/0000.json") == b"first"


def test_listing_goes_past_a_page_of_a_thousand(store):
    for number in range(1003):
        store.put(f"chunks/{number:08d}.1", b"")
    assert len(store.list_keys("chunks/")) == 1003


def test_runs_in_one_bucket_do_not_see_each_other(s3, store):
    S3Store(s3, "runs", "runs/r10/").put("sealed", b"")
    assert not store.has("sealed")
    assert store.list_keys("") == []


def test_missing_object_and_missing_bucket_are_store_errors(s3, store):
    with pytest.raises(StoreError, match="no such object"):
        store.get("manifest.json")
    with pytest.raises(StoreError, match="NoSuchBucket"):
        S3Store(s3, "elsewhere", "").put("a", b"")


def test_what_the_service_refuses_is_an_error_and_not_an_absence():
    """An access error read as "not stopped" would let a cancelled run go on."""

    class Refusing:
        def head_object(self, **_):
            from botocore.exceptions import ClientError

            raise ClientError({"Error": {"Code": "403", "Message": "Forbidden"}}, "HeadObject")

    with pytest.raises(StoreError, match="access denied"):
        S3Store(Refusing(), "runs", "").has("stop/0000.json")


@pytest.mark.parametrize("n_conflicts", [1, 4])
def test_conflicting_put_is_tried_again(n_conflicts):
    """409 says that another conditional put is under way, not who wins."""
    from botocore.exceptions import ClientError

    class Conflicting:
        calls = 0

        def put_object(self, **_):
            self.calls += 1
            if self.calls <= n_conflicts:
                raise ClientError({"Error": {"Code": "ConditionalRequestConflict"}}, "PutObject")

    client = Conflicting()
    S3Store(client, "runs", "").put_once("sealed", b"")
    assert client.calls == n_conflicts + 1
