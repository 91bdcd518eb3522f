"""Which limit decides how long a run takes, and which quota a run would meet: each with what lifts it.

    find_limit      of one forecast: records, ramp, window, submission, or nothing but the work itself
    list_strained   quotas by the share of them that a run uses, the most strained first

Owns these comparisons. Imports the quotas, and how `spending` counts. When it is wrong, people pay for what
does not help them.
"""

from __future__ import annotations

from dataclasses import dataclass

from aliquot.spending import GETS_PER_OUTCOME, KEYS_PER_LISTING, PUTS_PER_OUTCOME
from orchestrator.forecast.place import Load, Place
from orchestrator.forecast.stack import Forecast
from orchestrator.forecast.work import Work
from orchestrator.quotas import QUOTAS, Quota

_LISTING_S = 0.05
_GET_S = 0.03
_KEY_BYTES = 500  # of an outcome or a chunk in a tally: text, parsed key, spans; by tracemalloc
_ITEM_BYTES = 70  # of a group in the list that the map reads
_RATE_SHARE = 0.5  # of the time until the last answer in which most requests come
_MOST_SHARE = 0.5


@dataclass(frozen=True)
class Strain:
    """A quota, and what a run uses of it."""

    quota: Quota
    used: float

    @property
    def share(self) -> float:
        """Of the limit; above 1 it is met."""
        return self.used / self.quota.limit


def find_limit(work: Work, found: Forecast, load: Load, place: Place) -> str:
    """What decides how long a run takes, and what lifts it, as people read it."""
    even_s = work.total_s / max(1, found.n_workers)
    longest_s = float(work.longest_s[0]) if len(work.longest_s) else 0.0
    if longest_s > _MOST_SHARE * found.wall_s:
        return f"the longest record, some {longest_s:,.0f} s: no worker shares it"
    if load.submit_s > _MOST_SHARE * found.wall_s:
        return "submitting: data that lies in S3 is cut there"
    if even_s < _MOST_SHARE * found.wall_s and found.n_workers >= found.n_tasks:
        return "starting, settling and merging: there is no more work to share"
    if found.ramp_s > _MOST_SHARE * found.answered_s and not place.is_provisioned:
        return f"the ramp of standard pollers ({place.ramp.per_s * 60:,.0f} a minute): Pollers=provisioned"
    if found.n_workers >= place.window:
        return f"{place.window:,} tasks at a time: {_say_what_lifts(place)}"
    return "the work itself"


def list_strained(found: Forecast, place: Place, load: Load) -> list[Strain]:
    """All quotas and what a run uses of them, the most strained first."""
    busy_s = max(1.0, _RATE_SHARE * found.answered_s)
    n_keys = found.n_tasks + load.n_chunks
    used = {
        "concurrent executions": place.window,
        "tasks of a run at a time": place.window,
        "standard pollers": 0 if place.is_provisioned else place.window,
        "GETs a second of a prefix": GETS_PER_OUTCOME * found.n_tasks / busy_s,
        "PUTs and LISTs a second of a prefix": PUTS_PER_OUTCOME * found.n_tasks / busy_s,
        "messages in flight of a queue": found.n_workers,
        "bytes of a group list": _ITEM_BYTES * found.n_groups,
        "chunks of a run": load.n_chunks,
        "seconds of a tally": n_keys / KEYS_PER_LISTING * _LISTING_S,
        "memory of a tally, MB": 150 + n_keys * _KEY_BYTES / 1e6,
        "seconds of a publication": found.n_groups * _GET_S + n_keys / KEYS_PER_LISTING * _LISTING_S,
    }
    strains = [Strain(QUOTAS[name], figure) for name, figure in used.items()]
    return sorted(strains, key=lambda strain: strain.share, reverse=True)


def _say_what_lifts(place: Place) -> str:
    met = QUOTAS["tasks of a run at a time"]
    if place.window >= met.limit:
        return met.lifted_by
    return "a larger Concurrency of the stack, or no --workers and no budget"
