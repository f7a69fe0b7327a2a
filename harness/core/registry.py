"""One file is one plug-in, found by its file name; outside packages join through an entry-point group per kind."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import pkgutil
import re
from dataclasses import dataclass
from typing import Any

from harness.core.errors import ConfigError, UnavailableError, UnknownNameError

#: Package to install for a module that an optional dependency lacks, where the extra is not the default one.
EXTRA_OF_MODULE = {
    "torch": "train", "timm": "train", "lightning": "train", "torchvision": "train", "safetensors": "train", "torchmetrics": "train",
    "onnx": "onnx", "onnxruntime": "onnx", "onnxscript": "onnx", "rasterio": "data", "PIL": "data", "fvcore": "train",
    "matplotlib": "plot", "pandas": "plot", "pynvml": "gpu", "tensorrt": "tensorrt", "openvino": "openvino",
    "torchgeo": "zoo", "terratorch": "zoo", "open_clip": "zoo", "segmentation_models_pytorch": "zoo",
}  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """A kind of plug-in: the package whose files are the plug-ins, and the attribute that each file ends with."""

    word: str
    package: str
    attribute: str

    @property
    def group(self) -> str:
        """The entry-point group for plug-ins of other packages."""
        return f"eo_harness.{self.word.replace(' ', '_')}s"

    def names(self) -> tuple[str, ...]:
        """All names, without importing one plug-in. Files starting with `_` are not plug-ins."""
        return tuple(sorted({*self._files(), *self._entry_points()}))

    def load(self, name: str) -> Any:
        """The plug-in called `name`.

        `family:member` loads the family's file and asks it for the member. Raises UnknownNameError with near matches, and
        UnavailableError with the pip extra when a package that the plug-in needs is missing.
        """
        family, _, member = name.partition(":")
        if family not in self.names() or not re.fullmatch(r"[A-Za-z0-9_]+", family):
            raise UnknownNameError(self.word, name, self.names())
        try:
            if family in self._files():
                plugin = getattr(importlib.import_module(f"{self.package}.{family}"), self.attribute)
            else:
                plugin = self._entry_points()[family].load()
            return self._member(plugin, name, family, member)
        except ModuleNotFoundError as error:
            raise missing_package(f"{self.word} {name!r}", error) from error

    def _member(self, plugin: Any, name: str, family: str, member: str) -> Any:
        has_members = hasattr(plugin, "spec")
        if member and not has_members:
            raise ConfigError(f"{self.word} {family!r} has no members, got {name!r}", f"harness list {self.word}s")
        if has_members and not member:
            raise ConfigError(f"{self.word} {family!r} is a family: name a member, for example {family}:{plugin.examples[0]}", f"harness list {self.word}s")
        return plugin.spec(member) if member else plugin

    def family(self, name: str) -> Any:
        """The family plug-in itself, or the plug-in when it is not a family; for listings."""
        return getattr(importlib.import_module(f"{self.package}.{name}"), self.attribute)

    def _files(self) -> set[str]:
        found = importlib.util.find_spec(self.package)
        if found is None or found.submodule_search_locations is None:
            return set()
        return {module.name for module in pkgutil.iter_modules(list(found.submodule_search_locations)) if not module.name.startswith("_")}

    def _entry_points(self) -> dict[str, importlib.metadata.EntryPoint]:
        return {point.name: point for point in importlib.metadata.entry_points(group=self.group)}


def missing_package(what: str, error: ModuleNotFoundError) -> UnavailableError:
    """The error that names the missing package and the extra to install."""
    module = (error.name or "").partition(".")[0]
    extra = EXTRA_OF_MODULE.get(module)
    fix = f"pip install 'eo-harness[{extra}]'" if extra else f"pip install {module}"
    return UnavailableError(f"{what} needs the package {module!r}, which is not installed", fix)


ENCODERS = Kind("encoder", "harness.encoders", "ENCODER")
DECODERS = Kind("decoder", "harness.decoders", "DECODER")
DATASETS = Kind("dataset", "harness.datasets", "DATASET")
METRICS = Kind("metric", "harness.metrics", "METRIC")
PROBES = Kind("probe", "harness.probes", "PROBE")
BACKENDS = Kind("backend", "harness.backends", "BACKEND")
EXPORTERS = Kind("exporter", "exporters", "EXPORTER")
KINDS = {f"{kind.word}s": kind for kind in (ENCODERS, DECODERS, DATASETS, METRICS, PROBES, BACKENDS, EXPORTERS)}
