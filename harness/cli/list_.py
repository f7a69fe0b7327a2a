"""`harness list`: what plug-ins and profiles exist."""

from __future__ import annotations

from enum import StrEnum

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
    @app.command("list", epilog="Example: harness list encoders")
    def list_command(kind: Listed, json: bool = typer.Option(False, "--json", help="Print JSON.")) -> None:
        """Show what exists: encoders, decoders, datasets, backends, profiles, ..."""
        rows = _rows(kind)
        width = max((len(name) for name in rows), default=0)
        result([{"name": name, "description": text} for name, text in rows.items()], json, [f"{name:<{width}}  {text}".rstrip() for name, text in rows.items()])


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
        from importlib.resources import files

        return {
            name.removesuffix(".yaml"): "" for name in sorted(item.name for item in (files("harness.training") / "recipes").iterdir()) if name.endswith(".yaml")
        }
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
