"""Benchmarks: each states its workload, separates compilation, and prints its share of the machine's own rate."""
