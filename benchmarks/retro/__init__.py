"""The job `retro` on real data: see `__main__`."""
