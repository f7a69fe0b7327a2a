"""Measurements of our own measuring. Their output is committed under bench_results/benchmarks with machine and versions; no test reads a clock."""
