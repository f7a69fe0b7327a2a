"""Runtimes, one per file; each file ends with BACKEND. In scope: open, bind, run, sync, outputs. Out of scope: clocks and statistics."""
