"""Benchmarks: what the mesh costs. `make bench`, or `python -m tests.benchmarks NAME...`."""
