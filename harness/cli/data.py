"""`harness data`: prepare and look at data sets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from harness.cli.output import columns, next_command, progress, remark, result

if TYPE_CHECKING:
    from harness.core.specs import DatasetSpec

ROOT = typer.Option(None, "--root", help="Folder of all data sets (default: $HARNESS_CACHE/data, else ~/.cache/eo-harness/data).")
TILE = typer.Option(None, "--tile", help="Tile size in pixels, where the set offers a choice.")
JSON = typer.Option(False, "--json", help="Print JSON.")


def register(app: typer.Typer) -> None:
    verbs = typer.Typer(no_args_is_help=True, help="Prepare and inspect data sets.")
    app.add_typer(verbs, name="data")

    @verbs.command(epilog="Example: harness data prepare bluemarble_ice")
    def prepare(
        name: str,
        root: Path | None = ROOT,
        tile: int | None = TILE,
        force: bool = typer.Option(False, "--force", help="Build it again."),
        json: bool = JSON,
    ) -> None:
        """Build a data set once; nothing is downloaded from a data host."""
        from harness.stages import prepare_data

        with progress(f"preparing {name}") as report:
            folder, is_new = prepare_data(name, root=root, tile=tile, force=force, progress=report)
        if not is_new:
            remark(f"{name} is already there; --force builds it again")
        result({"dataset": name, "path": folder, "built": is_new}, json, [str(folder)])
        next_command(f"harness data show {name}", root=root, tile=tile)

    @verbs.command(epilog="Example: harness data show bluemarble_ice --out sheet.png")
    def show(
        name: str,
        root: Path | None = ROOT,
        tile: int | None = TILE,
        out: Path | None = typer.Option(None, "--out", help="Where to write the contact sheet (default: NAME.png)."),
        count: int = typer.Option(24, "--count", min=1, help="Tiles on the contact sheet."),
        json: bool = JSON,
    ) -> None:
        """Draw a contact sheet of tiles with masks; print class balance and band statistics."""
        from harness.core.registry import DATASETS
        from harness.stages import data_folder
        from harness.support.data_summary import draw_contact_sheet, summarize

        spec = DATASETS.load(name)
        folder = data_folder(spec, root, tile)
        summary = summarize(spec, folder)
        sheet = draw_contact_sheet(spec, folder, out or Path(f"{name}.png"), count=count)
        if json:
            result({**summary, "contact_sheet": str(sheet)}, json, [])
        else:
            _print(spec, summary)
            print(sheet)
        next_command(f"harness train unet+unet --data {name} --regime scratch", root=root, tile=tile)


def _print(spec: DatasetSpec, summary: dict[str, Any]) -> None:
    """A table per subject, splits side by side."""
    splits = summary["splits"]
    print(f"{spec.name} {spec.version}: {spec.license}\n{spec.caveats}\n{summary['path']}\n")
    figures = {"tiles": [split["tiles"] for split in splits.values()], "regions": [split["regions"] for split in splits.values()]}
    classes = {f"{name}, % of pixels": [f"{100 * split['class_balance'][name]:.1f}" for split in splits.values()] for name in spec.classes}
    scores = {f"mIoU of {name}": [f"{split['baselines_miou'][name]:.3f}" for split in splits.values()] for name in spec.baselines}
    columns(["split", *splits], {**figures, **classes, **scores})
    first = next(iter(splits))
    bands = {name: [f"{values[key]:.1f}" for key in ("mean", "std", "min", "max")] for name, values in splits[first]["bands"].items()}
    columns([f"band ({first})", "mean", "std", "min", "max"], bands)
