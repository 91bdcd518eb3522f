"""Plans held to reality, and how cost grows: `make bench-plan`, `make bench-growth`.

    python -m benchmarks.plans            # 100 seeded cases -> plan.md
    python -m benchmarks.plans.growth     # 10^4 to 10^9 records -> growth.md

    cases    datasets of given record times; a run here, a run on a simulated stack
    report   the table of what the intervals held, and the misses
    busy     the job of the runs here

Imports the project, `benchmarks.times` and `benchmarks.simulated`; nothing imports it but tests.
"""
