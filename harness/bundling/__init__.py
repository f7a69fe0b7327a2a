"""Bundles: a model's artifacts with the tiles, the reference outputs and the facts that a bare machine needs to profile them.

In scope: what goes into a bundle, its bytes, and opening one that nobody vouches for. Out of scope: measuring, and copying records home.
"""
