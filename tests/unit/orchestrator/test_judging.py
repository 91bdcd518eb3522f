"""What too many failures mean is the same on a laptop and on a stack."""

import pyarrow as pa
import pyarrow.parquet
import pytest

from aliquot.errors import TooManyFailed
from aliquot.failure_limit import FailureLimit
from orchestrator.judging import judge, too_many

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
