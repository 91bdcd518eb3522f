"""Why a host ended, in words for the record that was at hand: its kind of failure and its message.

Owns these words. The index of each failure is left open (-1): whom it is filed on is the supervisor's to
say. Imports `outcome` and `processes`. When it is wrong, people look for the wrong fault in their data.
"""

from __future__ import annotations

from aliquot.outcome import Failure
from aliquot.processes import name_end

_NEAR_CEILING = 0.9  # what kills at so much of it is memory, whatever the signal was


def explain_end(status: int, reached_mib: float, ceiling_mib: int) -> Failure:
    """Why a host ended that nobody here has killed.

    Args:
        status: as `waitpid` gives it, see `processes.name_end`.
        reached_mib: the most private memory that it was seen with.
    """
    if reached_mib >= _NEAR_CEILING * ceiling_mib:
        return exceed_memory(reached_mib, ceiling_mib)
    return Failure(-1, "crash", f"its process {name_end(status)}")


def exceed_memory(reached_mib: float, ceiling_mib: int) -> Failure:
    """Of a host that took too much memory."""
    return Failure(-1, "memory", say_memory(reached_mib, ceiling_mib))


def miss_deadline(timeout_s: float) -> Failure:
    """Of a host that was too long at one record."""
    return Failure(-1, "deadline", f"took longer than {timeout_s:g} s")


def break_protocol(err: Exception) -> Failure:
    """Of a host whose pipe gave what no host writes."""
    return Failure(-1, "crash", f"its process broke the protocol: {err}")


def say_memory(reached_mib: float, ceiling_mib: int) -> str:
    """How much memory it was, beside the ceiling."""
    return f"reached {reached_mib:,.0f} MiB of private memory; the ceiling is {ceiling_mib:,} MiB"
