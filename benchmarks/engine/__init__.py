"""The engine beside its peers: the same work, two workers each, results on disk as Parquet.

    python -m benchmarks.engine                         # all of it: `make bench-engine`
    python -m benchmarks.engine --only a,c --scale 0.1  # two cases, a tenth of the records, into build/bench

    work        the functions that are run; every engine gets the same ones
    declared    one of them as a job with columns
    cases       the datasets, and what is asked of Aliquot in each
    engines     all ways to run a function over records: `own`, and `peers`
    once        one measurement, in a process of its own
    measuring   measurements interleaved; who is too slow does less
    alone       what has no peer: start, memory, submitting, crossref
    server      a local HTTP server that waits
    verdicts    the aims beside what was measured
    table       JSON and Markdown

Peers are installed apart (build/bench-venv); one that is not there is named in the table. Imports the
project, `benchmarks.crossref` and `benchmarks.scheduling`; nothing but its tests imports it. When it is
wrong, we boast.
"""
