"""Networks of terratorch without terratorch: the few files that hold them are loaded alone.

`import terratorch` takes 11 s, for it imports every data set, model and task that it has. The files that are asked for here need torch,
timm, numpy and einops only.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from harness.core.errors import UnavailableError


def terratorch_module(name: str, package: str = "") -> ModuleType:
    """The module `terratorch.<package>.<name>`; neither terratorch nor the packages above the module are imported.

    `package`: the innermost package, whose modules may import each other. A later terratorch that has moved the file is imported whole.
    Raises UnavailableError when terratorch is not installed.
    """
    whole = ".".join(part for part in ("terratorch", package, name) if part)
    root = _root()
    folder = root.joinpath(*package.split("."))
    if whole in sys.modules or not (folder / f"{name}.py").is_file():
        return importlib.import_module(whole)
    alias = f"_terratorch_{package.replace('.', '_')}"
    if alias not in sys.modules:
        _add_package(alias, folder)
    return importlib.import_module(f"{alias}.{name}")


def _root() -> Path:
    found = importlib.util.find_spec("terratorch")
    if found is None or not found.submodule_search_locations:
        raise UnavailableError("this encoder needs the package 'terratorch', which is not installed", "pip install 'eo-harness[zoo]'")
    return Path(found.submodule_search_locations[0])


def _add_package(alias: str, folder: Path) -> None:
    """An empty package whose modules are the files of `folder`; the folder's own `__init__` is not run."""
    package = ModuleType(alias, "Some files of terratorch.")
    package.__path__ = [str(folder)]
    sys.modules[alias] = package
