"""Accuracy metrics, one per file; each file ends with METRIC. In scope: logits and masks to figures. Out of scope: runtimes."""
