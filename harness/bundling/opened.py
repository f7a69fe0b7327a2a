"""A bundle opened for profiling: its files in a temporary folder that goes away, checked, and fitting together."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from harness.bundling.manifest import AGAIN, Manifest
from harness.bundling.unpack import unpack
from harness.core.artifact import Artifact, read_artifact
from harness.core.errors import BundleError
from harness.core.files import sha256_of_file, write_value
from harness.core.leftovers import marked
from harness.core.specs import names_of
from harness.profiling.plan import BUNDLED_DATA
from harness.support.bundled import BUNDLED_FILE, Bundled, require_arrays
from harness.support.onnx_wire import external_locations

ARTIFACTS, DATA = "artifacts", BUNDLED_DATA
#: Formats that say what they are without PyTorch. TensorRT's runtime takes its buffers from it, on the machine that has the GPU.
FORMATS = ("onnx", "openvino", "tensorrt")


@contextlib.contextmanager
def opened(bundle: Path) -> Iterator[Path]:
    """The folder with `artifacts/<name>/` and `data/`, for as long as the block lasts.

    Raises BundleError, CheckpointError or MeasurementError naming the file and what is wrong with it.
    """
    if not bundle.is_file():
        raise BundleError(f"{bundle} does not exist", "harness bundle CHECKPOINT --out X.zip makes one")
    with tempfile.TemporaryDirectory(prefix=marked("harness-bundle-")) as name:
        folder = Path(name).resolve()
        manifest = unpack(bundle, folder)
        write_value(folder / DATA / BUNDLED_FILE, Bundled(data=manifest.data, file=bundle.name, sha256=sha256_of_file(bundle)))
        require_arrays(folder / DATA)
        _require_listed(manifest, bundle)
        for artifact in manifest.artifacts:
            _require_fitting(folder / ARTIFACTS / artifact, manifest, bundle)
        yield folder


def _require_listed(manifest: Manifest, bundle: Path) -> None:
    """Raises BundleError where the folders of artifacts are not those that the manifest lists."""
    found = {path.split("/")[1] for path in manifest.files if path.startswith(f"{ARTIFACTS}/")}
    if found != set(manifest.artifacts):
        raise BundleError(f"{bundle} holds the artifacts {', '.join(sorted(found))}, the manifest lists {', '.join(manifest.artifacts)}", AGAIN)


def _require_fitting(folder: Path, manifest: Manifest, bundle: Path) -> None:
    """Raises BundleError where an artifact is not of the checkpoint, the bands and the classes that the tiles and reference outputs are of."""
    artifact = read_artifact(folder)
    made_of = {artifact.checkpoint_sha256, artifact.checkpoint.sha256}
    data, checkpoint = manifest.data, artifact.checkpoint
    if artifact.format not in FORMATS:
        raise BundleError(f"{bundle}: {folder.name} is a {artifact.format}; a bundle holds {', '.join(FORMATS)}", AGAIN)
    if made_of != {manifest.checkpoint_sha256}:
        raise BundleError(f"{bundle}: {folder.name} is of another checkpoint than the reference outputs", AGAIN)
    if names_of(data.bands) != names_of(checkpoint.bands) or data.classes != checkpoint.classes:
        raise BundleError(f"{bundle}: the tiles have other bands or classes than {folder.name}", AGAIN)
    if {len(data.mean), len(data.std)} != {len(data.bands)}:
        raise BundleError(f"{bundle}: {len(data.bands)} bands, {len(data.mean)} means and {len(data.std)} deviations", AGAIN)
    if artifact.format == "onnx":
        _require_inside(folder, artifact, bundle)


def _require_inside(folder: Path, artifact: Artifact, bundle: Path) -> None:
    outside = sorted(external_locations(folder / artifact.file) - artifact.files.keys())
    if outside:
        raise BundleError(f"{bundle}: {folder.name}/{artifact.file} keeps weights in {outside[0]!r}, which is not in the bundle; refused", AGAIN)
