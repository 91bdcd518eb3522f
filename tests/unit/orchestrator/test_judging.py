"""What too many failures mean is the same on a laptop and on a stack."""

import pyarrow as pa
import pyarrow.parquet
import pytest

from aliquot.errors import StoreError, TooManyFailed
from aliquot.failure_limit import FailureLimit
from orchestrator.judging import judge, too_many
from orchestrator.results import list_failures

SUMMARY = {"done": 95, "failed": 5}


def test_run_beyond_its_limit_quotes_its_first_failure(tmp_path):
    pyarrow.parquet.write_table(pa.table({"message": ["no 0", "no 1"]}), tmp_path / "failures.parquet")
    judge(tmp_path, SUMMARY, FailureLimit.parse("5%"))
    limit = FailureLimit.parse("4")
    with pytest.raises(TooManyFailed, match=r"finished: 5 of 100 .*limit 4.*the first: no 0"):
        judge(tmp_path, SUMMARY, limit)
    said = str(too_many(tmp_path, SUMMARY, limit, is_stopped=True))
    assert said == "stopped: 5 of 100 records failed (limit 4); the first: no 0"


def test_table_of_failures_may_be_missing_or_empty(tmp_path):
    """Somebody may have removed it, and the error has to come all the same."""
    limit = FailureLimit.parse("4")
    assert too_many(tmp_path, SUMMARY, limit, is_stopped=False).example == ""
    empty = pa.table({"message": pa.array([], pa.string())})
    pyarrow.parquet.write_table(empty, tmp_path / "failures.parquet")
    assert too_many(tmp_path, SUMMARY, limit, is_stopped=False).example == ""


@pytest.mark.parametrize("name", ["failures.parquet", "failures.csv"])
def test_table_of_failures_that_is_damaged_is_told(tmp_path, name):
    """`aliquot show` ended in a traceback of pyarrow's."""
    (tmp_path / name).write_bytes(b'"a\n1,2\n')
    with pytest.raises(StoreError, match=rf"{name}: is damaged .* remove it, and `aliquot resume"):
        list_failures(tmp_path, 5)


def test_table_of_failures_that_somebody_cut_is_read_as_far_as_it_goes(tmp_path):
    (tmp_path / "failures.csv").write_text("record,kind\n0,crash\n")
    assert list_failures(tmp_path, 5) == [{"record": 0, "kind": "crash"}]
    assert too_many(tmp_path, SUMMARY, FailureLimit.parse("4"), is_stopped=False).example == ""
