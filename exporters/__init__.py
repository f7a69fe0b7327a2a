"""Exporters, one target format per file; each file ends with EXPORTER. They see only harness.core and harness.support."""
