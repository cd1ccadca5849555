"""Damaged inputs of every kind that the programs read (`benchmarks/damage.py`)."""
