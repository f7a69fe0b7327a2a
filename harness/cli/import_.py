"""`harness import`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from harness.cli.output import next_command, options_from, remark, result
from harness.core.errors import ConfigError

#: The regime of a model whose file doesn't say how it was trained.
REGIME = "imported"

if TYPE_CHECKING:
    from harness.core.specs import DatasetSpec
    from harness.support.imports import Facts, Imported


def register(app: typer.Typer) -> None:
    @app.command("import", epilog="Example: harness import checkpoint__best.pth --from pangaea --model dofa+upernet --bands B4,B3,B2 --classes 2")
    def import_(
        file: Path = typer.Argument(metavar="CKPT", help="What the other project saved: .pth, .pt or .safetensors."),
        source: str = typer.Option("pangaea", "--from", help="The project: pangaea (and Cryo-Bench)."),
        model: str = typer.Option(..., "--model", help="<encoder>+<decoder> that the file holds; see `harness list encoders`."),
        data: str | None = typer.Option(None, "--data", help="Data set of ours that it was trained on: gives bands, classes and normalization."),
        bands: str | None = typer.Option(None, "--bands", help="Bands of its images in order, for example B4,B3,B2 or VV,VH (default: the encoder's own)."),
        classes: int | None = typer.Option(None, "--classes", min=1, help="Number of classes; an error where the file has another (default: the file's)."),
        class_names: str | None = typer.Option(None, "--class-names", help="Their names in order, for example water,ice."),
        mean: str | None = typer.Option(None, "--mean", help="Mean of each band in the training's configuration, with commas."),
        std: str | None = typer.Option(None, "--std", help="Standard deviation of each band, with commas."),
        config: Path | None = typer.Option(
            None, "--config", help="configs/config.yaml of the run's folder: says what the flags below, --bands and --classes say."
        ),
        input_size: int | None = typer.Option(None, "--input-size", min=1, help="Side in pixels of the encoder's input (default: the encoder's own)."),
        encoder_option: list[str] = typer.Option([], "--encoder-option", help="NAME=VALUE, repeatable; `harness list encoders` shows them."),
        decoder_option: list[str] = typer.Option([], "--decoder-option", help="NAME=VALUE, repeatable."),
        fill_missing_bands: bool = typer.Option(False, "--fill-missing-bands", help="Give the encoder zeros for bands that the data lacks, as PANGAEA does."),
        regime: str = typer.Option(REGIME, "--regime", help="How it was trained, if you know: frozen, finetune or scratch."),
        out: Path | None = typer.Option(None, "--out", help="Checkpoint folder (default: runs/MODEL--SOURCE--FILE)."),
        force: bool = typer.Option(False, "--force", help="Replace a checkpoint that is there."),
        json: bool = typer.Option(False, "--json", help="Print JSON."),
    ) -> None:
        """Turn a model that was trained elsewhere into a checkpoint: the same logits, every tensor accounted for."""
        from harness.support.imports import Facts, imported, write_imported

        folder = out or Path("runs") / f"{model.replace(':', '-')}--{source}--{file.stem}"
        _require_free(folder, force)
        facts = Facts(
            model=model,
            num_classes=_number_of(classes, class_names),
            bands=_words(bands),
            input_size=input_size,
            mean=_numbers("--mean", mean),
            std=_numbers("--std", std),
            encoder_options=options_from(encoder_option),
            decoder_options=options_from(decoder_option),
            fill_missing=fill_missing_bands,
            classes=_words(class_names),
            regime=regime,
            data=_data_set(data, bands=bands, class_names=class_names, config=config),
        )
        facts = _configured(facts, config) if config else facts
        found = imported(file, facts, source=source)
        checkpoint = write_imported(folder, file, found, source=source)
        result({"path": folder, **checkpoint.model_dump(mode="json")}, json, [f"{folder}  ({_said(found)})"])
        _warn(facts, found)
        next_command("harness profile", folder)


def _require_free(folder: Path, force: bool) -> None:
    """Raises ConfigError where the folder holds something that must not be replaced."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    from harness.core.artifact import CHECKPOINT_FILE

    if not (folder / CHECKPOINT_FILE).is_file():
        raise ConfigError(f"{folder} holds other files and is no checkpoint, so it is not replaced", "choose another folder with --out")
    if not force:
        raise ConfigError(f"{folder} holds a checkpoint already", "--force replaces it; --out chooses another folder")


def _words(text: str | None) -> tuple[str, ...] | None:
    return tuple(word.strip() for word in text.split(",") if word.strip()) if text is not None else None


def _numbers(flag: str, text: str | None) -> tuple[float, ...] | None:
    try:
        return tuple(map(float, _words(text) or ())) if text is not None else None
    except ValueError as error:
        raise ConfigError(f"{flag} is numbers with commas, got {text!r}", f"{flag} 120.1,124.7,123.1") from error


def _number_of(classes: int | None, names: str | None) -> int | None:
    """The number of classes, which the names must have too. Raises ConfigError."""
    words = _words(names)
    if words is not None and classes not in (None, len(words)):
        raise ConfigError(f"--classes is {classes}, --class-names has {len(words)}: {', '.join(words)}", "leave --classes out")
    return classes if words is None else len(words)


def _data_set(name: str | None, **others: object) -> DatasetSpec | None:
    """The data set of this name. Raises ConfigError where it would say twice what another flag says."""
    if name is None:
        return None
    twice = ", ".join(f"--{flag.replace('_', '-')}" for flag, value in others.items() if value is not None)
    if twice:
        raise ConfigError(f"--data {name} gives what {twice} would give", f"leave out {twice}, or --data")
    from harness.core.registry import DATASETS

    spec: DatasetSpec = DATASETS.load(name)
    return spec


def _configured(facts: Facts, path: Path) -> Facts:
    """With what the configuration says, where no flag says it."""
    from harness.support.pangaea_config import read_configuration

    said = read_configuration(path)
    classes = facts.classes or said.classes or None
    return replace(
        facts,
        bands=facts.bands or said.bands,
        mean=said.mean if facts.mean is None else facts.mean,
        std=said.std if facts.std is None else facts.std,
        classes=classes,
        num_classes=facts.num_classes or (len(classes) if classes else None),
        ignore_index=said.ignore_index,
        input_size=facts.input_size or said.input_size,
        encoder_options={**said.options(facts.model.rpartition("+")[0]), **facts.encoder_options},
        wavelengths=said.wavelengths,
        regime=(said.regime or facts.regime) if facts.regime == REGIME else facts.regime,
        seed=said.seed,
        label_fraction=said.label_fraction,
    )


def _said(found: Imported) -> str:
    dropped = sum(len(names) for names in found.report["dropped"].values())
    return f"{found.report['used']} tensors used, {len(found.report['folded'])} folded, {dropped} dropped"


def _warn(facts: Facts, found: Imported) -> None:
    """What the file could not say and nobody said."""
    for reason, names in found.report["dropped"].items():
        remark(f"dropped, {reason}: {', '.join(names[:4])}{', ...' if len(names) > 4 else ''}")
    chosen = [f"{name}={value}" for name, value in found.encoder_options.items() if name not in facts.encoder_options]
    if chosen:
        remark(f"built with {', '.join(chosen)}, as the file's tensors ask")
    if facts.mean is None and facts.std is None and facts.data is None:
        remark("pixels are not normalized: give --mean and --std of the training's configuration, else scores on raw pixels are wrong")
