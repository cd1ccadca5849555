"""Failures of machines in the middle of runs, for `benchmarks/faults.py`."""
