"""`make bench-screen`: the search of `screen` beside RDKit's bulk functions, FPSim2 and chemfp.

`library` makes millions of fingerprints of real ones, `peers` knows each search by one name, `__main__` takes
turns and writes `benchmarks/screen.md`. Imports `aliquot_chem`; peers where they are installed.
"""
