"""Benchmarks: `make bench-<name>` runs `python -m bench.<name>`."""
