"""Measurements, one per file; each file ends with PROBE. In scope: a subject to outcomes. Out of scope: which runtime it is."""
