"""Heads, one per file; each file ends with DECODER. In scope: feature maps to logits. Out of scope: which encoder made the maps."""
