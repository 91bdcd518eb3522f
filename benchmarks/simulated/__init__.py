"""A stack in memory on a simulated clock, on which an hour takes a second.

Tallies, slices, hand-backs, burials, rosters and sums are the project's own code; what they stand on is not:

    bucket    objects in a dict and what they cost; the ledger as an invocation sees it that ends now
    pollers   how many tasks of a queue run at a time, and which of them find a warm environment
    place     what the stack is like, and how often what goes wrong
    stack     the clock, queues and invocations, and everybody's bill

Imports the core and the documented quotas. Used by benchmarks/chaos and benchmarks/balance.py.
When it is wrong, a benchmark praises an engine that does not exist.
"""
