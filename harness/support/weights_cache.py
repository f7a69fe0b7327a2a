"""Published weights of an encoder: from the cache folder, else downloaded once from where their authors keep them."""

from __future__ import annotations

import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

from harness.core.errors import CheckpointError, ConfigError, UnavailableError
from harness.core.files import cache_folder, cannot_write, sha256_of_file
from harness.core.specs import EncoderSpec, WeightsFile

SUFFIXES = (".pth", ".pt", ".ckpt", ".bin", ".safetensors")
BLOCK = 1 << 20
#: Seconds without a byte after which a download is given up.
PATIENCE = 60
Progress = Callable[[int, int, str], None]


def weights_folder(encoder: str) -> Path:
    """Where the weights of an encoder lie: `<cache>/weights/<encoder>`."""
    return cache_folder() / "weights" / encoder.replace(":", "-").replace("/", "-")


def official_file(spec: EncoderSpec, options: Mapping[str, Any]) -> WeightsFile | None:
    """The published file for an encoder with these options, None where no direct location is known."""
    given = {**spec.options, **options}
    return next((file for file in spec.official if all(given.get(key) == value for key, value in file.options.items())), None)


def official_weights(spec: EncoderSpec, options: Mapping[str, Any], *, progress: Progress) -> Path:
    """The path of the published weights in the cache, downloaded if they are not there; `progress` counts MB.

    Raises ConfigError for an encoder without published weights, UnavailableError with the page, the folder and the file name where no
    location is known or it can't be reached, and CheckpointError where the file is not the one that is known by its sha256.
    """
    if spec.load_weights is None:
        raise ConfigError(f"encoder {spec.name} has no published weights, got --weights official", "leave --weights out")
    folder, file = weights_folder(spec.name), official_file(spec, options)
    if file is None:
        return _only_file(spec, folder)
    path = folder / file.name
    if not path.is_file():
        _download(file, path, page=spec.source, progress=progress)
    seen = sha256_of_file(path) if file.sha256 else ""
    if seen != file.sha256:
        raise CheckpointError(f"{path} is not the published file: its sha256 is {seen}, wanted {file.sha256}", f"remove it, or get it from {spec.source}")
    return path


def _only_file(spec: EncoderSpec, folder: Path) -> Path:
    """The weights that somebody put into the folder of an encoder whose file has no known location."""
    found = sorted(path for path in folder.glob("*") if path.suffix in SUFFIXES)
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(path.name for path in found)
        raise ConfigError(f"{folder} holds several files: {names}", f"--weights {found[0]}")
    message = f"no direct location of the weights of {spec.name} is known; they are published at {spec.source}"
    raise UnavailableError(message, f"put the file, {', '.join(SUFFIXES)}, into {folder}, or give it with --weights FILE")


def _download(file: WeightsFile, path: Path, *, page: str, progress: Progress) -> None:
    """Fetch the file whole, with the sha256 that is known, or leave nothing."""
    hint = f"download it from {page} and put it at {path}"
    partial = _new_partial(path)
    try:
        with urllib.request.urlopen(_request(file.url), timeout=PATIENCE) as response, partial.open("wb") as target:
            _require_file(response)
            wanted = int(response.headers.get("Content-Length") or 0)
            done = _copy(response, target, lambda count: progress(count // BLOCK, wanted // BLOCK, f"downloading {file.name}"))
        if wanted and done != wanted:
            raise UnavailableError(f"the download of {file.url} stopped after {done} of {wanted} bytes", hint)
        seen = sha256_of_file(partial) if file.sha256 else ""
        if seen != file.sha256:
            raise CheckpointError(f"{file.url} gave another file than the published one: its sha256 is {seen}, wanted {file.sha256}", hint)
        partial.replace(path)
    except urllib.error.HTTPError as error:
        raise UnavailableError(f"{file.url} answered {error.code} {error.reason}", hint) from error
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError, ValueError) as error:
        raise UnavailableError(f"{file.url} can't be reached: {getattr(error, 'reason', error)}", hint) from error
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        partial.unlink(missing_ok=True)


def _new_partial(path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    os.close(handle)
    return Path(name)


def _request(url: str) -> urllib.request.Request:
    if not url.startswith(("https://", "http://")):
        raise ValueError("not a web address")
    return urllib.request.Request(url, headers={"User-Agent": "eo-harness"})


def _require_file(response: HTTPResponse) -> None:
    """Raises ValueError for a page in place of a file: hosts show one when they ask for a confirmation or a login."""
    if response.headers.get_content_type() == "text/html":
        raise ValueError("it gives a web page, not a file")


def _copy(source: HTTPResponse, target: Any, told: Callable[[int], None]) -> int:
    """Bytes copied."""
    done = 0
    told(done)
    while block := source.read(BLOCK):
        target.write(block)
        done += len(block)
        told(done)
    return done
