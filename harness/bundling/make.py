"""A bundle of a checkpoint's artifacts, or of one artifact: equal inputs give equal bytes."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from harness.bundling.archive import write_archive
from harness.bundling.manifest import MANIFEST_FILE, FileFacts, Manifest
from harness.bundling.opened import ARTIFACTS, DATA, FORMATS
from harness.bundling.tiles import write_tiles
from harness.core.artifact import ARTIFACT_FILE, CHECKPOINT_FILE, Artifact, Checkpoint, artifacts_in, read_artifact, read_checkpoint, read_subject
from harness.core.deployment import DeploymentProfile
from harness.core.errors import BundleError, ConfigError, HarnessError, MeasurementError
from harness.core.files import sha256_of_file, write_value
from harness.core.leftovers import marked, sweep
from harness.core.registry import DATASETS
from harness.profiling.isolate import run_job
from harness.profiling.job import Job
from harness.profiling.plan import REFERENCE, CellPlan, home_of
from harness.stages import data_of
from harness.support.bundled import GRAPH_FLOPS_FILE, NAME, BundledData, GraphFlops, require_arrays
from harness.support.bundled import REFERENCE as OUTPUTS

Progress = Callable[[int, int, str], None]
PACKAGES = ("eo-harness", "numpy", "torch", "onnx", "onnxruntime", "openvino", "tensorrt")
#: Long enough for any split; the machine that makes a bundle is nobody's production.
WEEK = 7 * 24 * 3600.0


def bundle(
    subject: Path,
    *,
    out: Path,
    artifacts: Sequence[str] = (),
    data: str | None = None,
    split: str = "test",
    tiles: int | None = None,
    root: Path | None = None,
    progress: Progress,
) -> Manifest:
    """Write the bundle `out`, whole or not at all: artifacts, tiles, and the logits of the checkpoint in PyTorch on one thread over these tiles.

    Raises ConfigError, DataError, CheckpointError, BundleError, or UnavailableError where torch is missing.
    """
    if out.suffix != ".zip":
        raise ConfigError(f"a bundle is a .zip, got {out}", f"--out {out.with_suffix('.zip')}")
    chosen, home = _chosen(subject, artifacts)
    _require_names(chosen)
    checkpoint = _checkpoint(chosen, home)
    name, folder = data_of(next(iter(chosen.values()))[1], data, root)
    if name is None or folder is None:
        raise ConfigError(f"{subject} does not say what it was trained on", f"harness bundle {subject} --data NAME --out {out}")
    sweep([Path(tempfile.gettempdir()), out.parent])
    with tempfile.TemporaryDirectory(prefix=marked("harness-bundle-")) as scratch:
        work = Path(scratch)
        files = _artifact_files(chosen, work)
        facts = write_tiles(DATASETS.load(name), folder, split, tiles=tiles, out=work / DATA, progress=progress)
        progress(0, 1, f"running {checkpoint.model} in PyTorch")
        _write_reference(home, work / DATA, facts, work / "reference-run")
        files |= {str(path.relative_to(work)): path for path in sorted((work / DATA).rglob("*.npy"))}
        manifest = _manifest(checkpoint, tuple(chosen), facts, files)
        write_archive(out, (MANIFEST_FILE, manifest.model_dump_json(indent=1).encode()), files, progress)
    return manifest


def _chosen(subject: Path, names: Sequence[str]) -> tuple[dict[str, tuple[Path, Artifact]], Path]:
    """The artifacts by folder name, and the folder of the checkpoint that they were made from."""
    if (subject / ARTIFACT_FILE).is_file() and not names:
        artifact = read_artifact(subject)
        home = home_of(CellPlan(subject.resolve(), artifact, REFERENCE))
        if home is None:
            raise BundleError(f"{subject} does not lie in the folder of its checkpoint, whose outputs a bundle holds", "harness bundle CHECKPOINT --out X.zip")
        return {subject.resolve().name: (subject, artifact)}, home
    if not (subject / CHECKPOINT_FILE).is_file():
        read_subject(subject)
        raise ConfigError(f"{subject} is an artifact, and --artifacts chooses among those of a checkpoint", "leave --artifacts out")
    found = {folder.name: folder for folder in artifacts_in(subject / "artifacts")}
    if not found:
        raise ConfigError(f"{subject} has no artifact", f"harness export {subject} --to onnx")
    unknown = [name for name in names if name not in found]
    if unknown:
        raise ConfigError(f"{subject} has no artifact {unknown[0]!r}; it has {', '.join(found)}", f"--artifacts {','.join(found)}")
    read = {name: (found[name], read_artifact(found[name])) for name in names or found}
    kept = {name: entry for name, entry in read.items() if entry[1].format in FORMATS or names}
    return kept or read, subject


def _require_names(chosen: Mapping[str, tuple[Path, Artifact]]) -> None:
    """Raises ConfigError for a folder whose name can't be one in a bundle, before any work."""
    for name, (folder, _) in chosen.items():
        if not re.fullmatch(NAME, name):
            raise ConfigError(f"the folder {folder} has a name that no bundle can hold: letters, digits, and . _ + - only", "rename it")
    if len({name.lower() for name in chosen}) < len(chosen):
        raise ConfigError(f"the folders {', '.join(chosen)} differ in case only, and are one on some systems", "rename one, or choose with --artifacts")


def _checkpoint(chosen: Mapping[str, tuple[Path, Artifact]], home: Path) -> Checkpoint:
    """The checkpoint in `home`. Raises BundleError for an artifact that is not of it, or that needs PyTorch to run."""
    checkpoint = read_checkpoint(home)
    for name, (folder, artifact) in chosen.items():
        if artifact.checkpoint_sha256 != checkpoint.sha256:
            again = f"harness export {home} --to {artifact.format} --precision {artifact.precision} --out {folder}"
            raise BundleError(f"{folder} was exported from another checkpoint than the one in {home}", again)
        if artifact.format not in FORMATS:
            raise BundleError(
                f"{name} is a {artifact.format}, which needs PyTorch to run; a bundle holds {', '.join(FORMATS)}", f"harness export {home} --to onnx"
            )
    return checkpoint


def _artifact_files(chosen: Mapping[str, tuple[Path, Artifact]], work: Path) -> dict[str, Path]:
    """Path inside the bundle to file, and the FLOP of each graph, which the other machine can't count without onnx."""
    files: dict[str, Path] = {}
    for name, (folder, artifact) in chosen.items():
        files |= {f"{ARTIFACTS}/{name}/{file}": folder / file for file in (ARTIFACT_FILE, artifact.file, *artifact.files)}
        counted = _graph_flops(folder, artifact)
        if counted is not None:
            (work / ARTIFACTS / name).mkdir(parents=True)
            files[f"{ARTIFACTS}/{name}/{GRAPH_FLOPS_FILE}"] = write_value(work / ARTIFACTS / name / GRAPH_FLOPS_FILE, counted)
    return files


def _graph_flops(folder: Path, artifact: Artifact) -> GraphFlops | None:
    if artifact.format != "onnx":
        return None
    from harness.support.graph_flops import flops_of_onnx

    try:
        return GraphFlops(by_operator=flops_of_onnx(folder / artifact.file, artifact.inputs))
    except MeasurementError:
        return None  # the other machine says that it can't be counted


def _write_reference(home: Path, data: Path, facts: BundledData, work: Path) -> None:
    """Logits of the checkpoint over the bundle's tiles, read as the other machine will read them. One thread: sums in one order."""
    profile = DeploymentProfile(format_version=1, name="bundle", purpose="reference outputs", probes=("accuracy",), split=facts.split)
    profile = profile.model_copy(update={"sampling": profile.sampling.model_copy(update={"timeout_seconds": WEEK})})
    job = Job(folder=home.resolve(), backend=REFERENCE, device="cpu", threads=1, profile=profile, dataset=facts.name, data_root=data, work=work)
    answer = run_job(job)
    if answer.failed or not job.outputs_folder.is_dir():
        reason = answer.failed or next((outcome.reason for outcome in answer.outcomes if outcome.kind == "missing"), "no answer")
        raise HarnessError(f"the reference outputs of {home} could not be computed: {reason}", "harness doctor")
    shutil.move(job.outputs_folder, data / OUTPUTS)
    require_arrays(data)


def _manifest(checkpoint: Checkpoint, artifacts: tuple[str, ...], data: BundledData, files: Mapping[str, Path]) -> Manifest:
    return Manifest(
        model=checkpoint.model,
        checkpoint_sha256=checkpoint.sha256,
        artifacts=artifacts,
        data=data,
        files={name: FileFacts(size=files[name].stat().st_size, sha256=sha256_of_file(files[name])) for name in sorted(files)},
        versions={name: version for name in PACKAGES if (version := _version(name))},
    )


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
