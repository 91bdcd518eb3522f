"""The fault campaign: seeded runs under random faults, each held against the undisturbed answer.

    python -m benchmarks.chaos                    # the whole of it: `make chaos`
    python -m benchmarks.chaos --only local:17    # one run alone

    cases     what is run, and the answers
    faults    the faults of one run, drawn by its seed
    local     a run on the local backend: sessions in processes of their own, which are killed
    stacked   runs on one rehearsed stack
    budgets   runs under a budget, on a simulated stack (benchmarks/simulated) with a simulated bill
    report    what is counted and printed

Imports the project; nothing imports it but tests/functional/chaos.
"""
