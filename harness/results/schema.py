"""The JSON Schema of a record, made from ProfileRecord; published as docs/record.schema.json."""

from __future__ import annotations

import json

from harness.core.record import ProfileRecord

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def record_schema() -> str:
    """The schema as indented JSON text."""
    return json.dumps({"$schema": DIALECT, **ProfileRecord.model_json_schema(by_alias=True)}, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
