"""`harness bundle`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from harness.cli.output import next_command, progress, result


def register(app: typer.Typer) -> None:
    @app.command(epilog="Example: harness bundle runs/unet+unet--synthetic--scratch--seed0 --tiles 32 --out unet.zip")
    def bundle(
        subject: Path = typer.Argument(help="A checkpoint folder, or one of the artifact folders under it."),
        out: Path = typer.Option(..., "--out", help="The zip to write."),
        artifacts: str | None = typer.Option(None, "--artifacts", help="Comma-separated names of a checkpoint's artifacts, as onnx-fp32 (default: all)."),
        data: str | None = typer.Option(None, "--data", help="Data set of the tiles (default: the one it was trained on)."),
        split: str = typer.Option("test", "--split", help="train, val or test."),
        tiles: int | None = typer.Option(None, "--tiles", min=1, help="This many tiles, evenly spread over the split (default: all)."),
        root: Path | None = typer.Option(None, "--root", "--data-root", help="Folder of all data sets."),
        json: bool = typer.Option(False, "--json", help="Print JSON."),
    ) -> None:
        """Pack artifacts, evaluation tiles and PyTorch's outputs into one zip, which a machine without PyTorch can profile."""
        from harness.bundling.make import bundle as make
        from harness.core.files import sha256_of_file

        with progress("bundle") as report:
            names = artifacts.split(",") if artifacts else ()
            manifest = make(subject, out=out, artifacts=names, data=data, split=split, tiles=tiles, root=root, progress=report)
        used, size, sha256 = manifest.data, out.stat().st_size, sha256_of_file(out)
        counted = f"{len(used.tiles)} of the {used.tiles_in_split} tiles of {used.name} {used.split}"
        facts: dict[str, Any] = {"model": manifest.model, "artifacts": manifest.artifacts, "data": used.name, "version": used.version, "split": used.split}
        facts |= {"tiles": len(used.tiles), "tiles_in_split": used.tiles_in_split, "license": used.license, "citation": used.citation}
        said = f"{out}  ({size / 1e6:.1f} MB: {', '.join(manifest.artifacts)}; {counted})"
        result({"path": out, "size": size, "sha256": sha256, **facts}, json, [said])
        next_command("harness profile", out.name)
