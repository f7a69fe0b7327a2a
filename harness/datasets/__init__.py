"""Data sets, one per file; each file ends with DATASET. In scope: reading tiles in the sensor's units. Out of scope: normalization, models."""
