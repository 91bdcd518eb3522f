"""What a plan says of an exchange: its requests, its time and its dollars."""

from __future__ import annotations

import pytest

from aliquot.prices import Prices
from aliquot.spending import Tariff
from orchestrator.aws.estimate import describe_exchange
from orchestrator.forecast.exchanges import Exchanged, forecast_exchange, forecast_exchange_here
from orchestrator.forecast.place import Place

PLACE = Place(Tariff(Prices(), "arm64", 150.0), 500)
GB = 1 << 30


def test_ten_thousand_outcomes_and_a_thousand_partitions_are_no_ten_million_reads():
    found = forecast_exchange(Exchanged("look-up", 1e9, 31.25 * GB), 10_000, PLACE)
    assert found.n_partitions == 1000
    assert 20_000 < found.n_reads < 1_000_000
    assert found.n_reads * PLACE.tariff.prices.s3_get < 0.4


def test_small_exchanges_take_their_steps_and_no_more():
    found = forecast_exchange(Exchanged("rank", 1000, 50_000), 3, PLACE)
    assert (found.n_partitions, found.n_rows) == (1, 1000)
    assert found.n_reads + found.n_puts < 20
    assert found.usd < 0.002
    assert "exchange 1,000 rows in 1 partition before stage rank: " in describe_exchange(found)


@pytest.mark.parametrize("factor", [2.0, 10.0])
def test_what_a_sample_showed_is_of_the_whole_dataset(factor):
    one = Exchanged("rank", 1e6, GB)
    more = one.scale(factor)
    assert (more.n_rows, more.n_bytes) == (1e6 * factor, GB * factor)
    assert forecast_exchange_here(more) == pytest.approx(factor * forecast_exchange_here(one))
    assert forecast_exchange(more, 100, PLACE).usd > forecast_exchange(one, 100, PLACE).usd
