"""Profiling. In scope: one artifact to one record, each cell in its own process. Out of scope: reading records."""
