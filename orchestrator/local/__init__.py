"""The local backend: a folder as store, an in-process scheduler, hosts on all cores; no AWS code."""
