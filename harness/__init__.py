"""Accuracy and compute of Earth-observation segmentation models, measured together on the artifact that is deployed.

Importing this package loads no ML framework.
"""

__version__ = "0.1.0"
