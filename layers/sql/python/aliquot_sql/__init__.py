"""SQL over a dataset: DuckDB in every host, one query for each chunk, one for what they gave.

Imports DuckDB and pyarrow, and of the core `aliquot.job` and `aliquot.errors` alone.
"""
