"""Budgets: how much wall time and money a run may take, and the prices that money is counted by.

Owns how people write them, and what is said of a plan that exceeds them. Imports the core's `prices`. When it
is wrong, a run is refused that would have fitted, or begun that cannot.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from aliquot.errors import BadOption
from aliquot.prices import Prices

PRICES = "ALIQUOT_PRICES"  # names a JSON file of prices that take the table's place
_WANTED = 'an object of prices is wanted, as {"s3_put": 0.000005}'
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(text: str | float) -> float:
    """Seconds of "90", "90s", "10m", "1.5h" or "2d"; raises BadOption."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,18})?)([smhd]?)", str(text).strip())
    if match is None or float(match[1]) == 0:
        raise BadOption("--budget-time", f"{text!r} is not a time: 90s, 10m, 1.5h or 2d")
    return float(match[1]) * _UNITS[match[2]]


def read_prices() -> Prices:
    """The table's prices, or those of the file that ALIQUOT_PRICES names; raises BadOption."""
    path = os.environ.get(PRICES)
    if not path:
        return Prices()
    try:
        plain = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as err:
        raise BadOption(PRICES, f"{path}: cannot be read: {err.strerror}") from err
    except ValueError as err:
        raise BadOption(PRICES, f"{path}: is not JSON: {err}; {_WANTED}") from err
    if not isinstance(plain, dict):
        raise BadOption(PRICES, f"{path}: is a {type(plain).__name__}: {_WANTED}")
    try:
        return Prices.from_plain(plain)
    except ValueError as err:
        raise BadOption(PRICES, f"{path}: {err}") from err
