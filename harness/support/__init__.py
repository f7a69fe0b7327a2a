"""Helpers over frameworks that two or more plug-ins use. In scope: clocks, seeds, rasters, models. Out of scope: knowing a plug-in."""
