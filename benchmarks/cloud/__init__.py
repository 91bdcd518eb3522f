"""What the way through a stack costs besides a job's own work, counted and timed; `make bench-cloud`."""
