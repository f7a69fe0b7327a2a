"""Backbones, one per file; each file ends with ENCODER. In scope: the network and its official weights. Out of scope: training, data."""
