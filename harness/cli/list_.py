"""`harness list`: what plug-ins and profiles exist."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum
from typing import Any

import typer

from harness.cli.output import result


class Listed(StrEnum):
    ENCODERS = "encoders"
    DECODERS = "decoders"
    DATASETS = "datasets"
    METRICS = "metrics"
    PROBES = "probes"
    BACKENDS = "backends"
    EXPORTERS = "exporters"
    PROFILES = "profiles"
    RECIPES = "recipes"
    QUANTITIES = "quantities"


def register(app: typer.Typer) -> None:
    @app.command("list", epilog="Example: harness list encoders; harness list encoders dofa")
    def list_command(
        kind: Listed,
        name: str | None = typer.Argument(None, help="Show all facts of this one: bands, sizes, options, license, source."),
        json: bool = typer.Option(False, "--json", help="Print JSON."),
    ) -> None:
        """Show what exists: encoders, decoders, datasets, backends, profiles, ..."""
        if name is not None:
            facts = _facts(kind, name)
            width = max(map(len, facts))
            result(facts, json, [f"{key:<{width}}  {_said(value)}" for key, value in facts.items()])
            return
        rows = _rows(kind)
        width = max((len(name) for name in rows), default=0)
        result([{"name": name, "description": text} for name, text in rows.items()], json, [f"{name:<{width}}  {text}".rstrip() for name, text in rows.items()])


def _facts(kind: Listed, name: str) -> dict[str, Any]:
    """What a plug-in says of itself, functions apart. Raises UnknownNameError."""
    from harness.core.deployment import read_profile
    from harness.core.registry import KINDS

    if kind is Listed.PROFILES:
        return read_profile(name).model_dump(mode="json")
    if kind is Listed.RECIPES:
        from harness.training.recipe import read_recipe

        return read_recipe(name).model_dump(mode="json")
    if kind is Listed.QUANTITIES:
        from harness.core.quantity import quantity

        return quantity(name)._asdict()
    plugin = KINDS[kind.value].load(name)
    names = [field.name for field in fields(plugin)] if is_dataclass(plugin) else [key for key in dir(plugin) if not key.startswith("_")]
    values = {key: getattr(plugin, key) for key in names}
    return {"name": name, **{key: _plain(value) for key, value in values.items() if _is_fact(value)}}


def _is_fact(value: Any) -> bool:
    """Known, and neither a function nor a table of functions."""
    return value is not None and not callable(value) and not (isinstance(value, Mapping) and any(map(callable, value.values())))


def _plain(value: Any) -> Any:
    """As JSON has it."""
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    from harness.core.specs import Value

    return value.model_dump(exclude_defaults=True) if isinstance(value, Value) else value


def _said(value: Any) -> str:
    """On one line."""
    if isinstance(value, list):
        return ", ".join(map(_said, value)) or "-"
    if isinstance(value, Mapping):
        return " ".join(f"{key}={_said(item)}" for key, item in value.items()) or "-"
    return str(value) or "-"


def _rows(kind: Listed) -> dict[str, str]:
    from harness.core.deployment import profile_folders, read_profile
    from harness.core.quantity import QUANTITIES
    from harness.core.registry import KINDS

    if kind is Listed.QUANTITIES:
        return {quantity.name: f"[{quantity.unit}] {quantity.definition}" for quantity in QUANTITIES.values()}
    if kind is Listed.PROFILES:
        names = sorted({file.stem for folder in profile_folders() for file in folder.glob("*.yaml")})
        return {name: read_profile(name).purpose for name in names}
    if kind is Listed.RECIPES:
        from harness.training.recipe import recipe_file, recipe_names

        return {name: recipe_file(name).read_text(encoding="utf-8").partition("\n")[0].lstrip("# ") for name in recipe_names()}
    return {name: _first_line(KINDS[kind.value].package, name) for name in KINDS[kind.value].names()}


def _first_line(package: str, name: str) -> str:
    """The first line of a plug-in's docstring, read without importing it (its framework may be missing)."""
    import ast
    import importlib.util

    found = importlib.util.find_spec(f"{package}.{name}")
    if found is None or found.origin is None:
        return ""
    with open(found.origin, encoding="utf-8") as file:  # noqa: PTH123  a module's origin is a string
        text = ast.get_docstring(ast.parse(file.read())) or ""
    return text.partition("\n")[0]
