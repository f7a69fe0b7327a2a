"""What a bundle says of itself: every file with its size and sha256, and the facts of its tiles."""

from __future__ import annotations

import json
import re
from typing import Literal

import pydantic
from pydantic import Field, field_validator

from harness.core.errors import BundleError
from harness.core.files import first_problem
from harness.core.specs import Value
from harness.support.bundled import NAME, BundledData

MANIFEST_FILE = "manifest.json"
SCHEMA = 1
AGAIN = "make the bundle again with `harness bundle`, or copy it again"


class FileFacts(Value):
    """Bytes and their sha256."""

    size: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Manifest(Value):
    """`artifacts`: names of the folders below `artifacts/`; `files`: path inside the bundle to its facts, all but the manifest itself."""

    format_version: Literal[1] = Field(1, alias="schema", serialization_alias="schema")
    model: str
    checkpoint_sha256: str
    artifacts: tuple[str, ...] = Field(min_length=1)
    data: BundledData
    files: dict[str, FileFacts]
    versions: dict[str, str] = {}

    model_config = {"frozen": True, "extra": "forbid", "populate_by_name": True, "serialize_by_alias": True}

    @field_validator("artifacts")
    @classmethod
    def _plain(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not all(re.fullmatch(NAME, name) for name in names):
            raise ValueError("a folder's name is letters, digits, and . _ + -")
        return names


def manifest_from(text: bytes, bundle: str) -> Manifest:
    """Raises BundleError: no JSON, a newer schema, an unknown key, a missing or a wrong one."""
    try:
        content = json.loads(text)
        schema = content.get("schema") if isinstance(content, dict) else None
        if isinstance(schema, int) and schema > SCHEMA:
            raise BundleError(f"{bundle} has the schema {schema}, this harness reads {SCHEMA}: it was made by a newer one", "pip install -U eo-harness")
        return Manifest.model_validate_json(text)
    except pydantic.ValidationError as error:
        raise BundleError(f"{bundle}: {MANIFEST_FILE}: {first_problem(error)}", AGAIN) from error
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{bundle}: {MANIFEST_FILE} is not JSON: {error}", AGAIN) from error
