"""Files written whole or not at all, canonical JSON, and hashes."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import pydantic

from harness.core.errors import NEWER, ConfigError, HarnessError
from harness.core.leftovers import RETIRED, marked, sweep

Value = TypeVar("Value", bound=pydantic.BaseModel)


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text, so the text can be hashed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256_of_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_of_file(path: Path) -> str:
    """SHA-256 of a file's bytes, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """Where prepared data and downloaded weights live: $HARNESS_CACHE, else the user's cache folder."""
    chosen = os.environ.get("HARNESS_CACHE")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(chosen) if chosen else base / "eo-harness"


def write_atomic(path: Path, content: str | bytes) -> Path:
    """Write `content` to `path` whole or not at all (temporary file beside it, fsync, rename).

    Raises HarnessError (exit code 4) when the folder can't be written or the disk is full.
    """
    with atomic_file(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)
    return path


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a temporary file that becomes `path` when the block ends well, and vanishes otherwise. Raises HarnessError like `write_atomic`."""
    partial: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=marked(f".{path.name}."), suffix=".partial", dir=path.parent)
        partial = Path(name)
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.chmod(0o644)
        partial.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)


def cannot_write(path: Path, error: OSError, hint: str = "choose another folder, or free some space") -> HarnessError:
    """The error for a path that can't be written, with the system's reason."""
    return HarnessError(f"cannot write {path}: {error.strerror or error}", hint)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `path` when the block ends well, and vanishes otherwise.

    An older folder at `path` is replaced. Raises HarnessError when it can't be written, ConfigError where this process is in it.
    """
    require_left(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep([path.parent])
        partial = Path(tempfile.mkdtemp(prefix=marked(f".{path.name}."), suffix=".partial", dir=path.parent))
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        yield partial
        partial.chmod(0o755)
        while not _took_place(partial, path):
            pass  # another process put its own there meanwhile: the last one stays
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _took_place(partial: Path, path: Path) -> bool:
    """Whether the folder `partial` became `path`; False where another one came there after the older one was put aside. Raises OSError."""
    retired = path.with_name(marked(f".{path.name}{RETIRED}"))
    with contextlib.suppress(FileNotFoundError):
        path.rename(retired)
    try:
        partial.rename(path)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            with contextlib.suppress(OSError):
                retired.rename(path)
            raise
        return False
    finally:
        if path.exists():
            shutil.rmtree(retired, ignore_errors=True)
    return True


def require_left(path: Path) -> None:
    """Raises ConfigError where this process is in the folder `path`: after that was replaced, "." would be a folder that is gone."""
    with contextlib.suppress(FileNotFoundError):
        if Path.cwd().is_relative_to(path.resolve()):
            raise ConfigError(f"{path} is where you are, or holds it, and a folder is replaced as a whole", "cd to another folder, and name it from there")


def hold(handle: int, busy: HarnessError) -> None:
    """Lock an open file or folder against other processes until it is closed or this process ends, however it ends (flock(2)).

    Raises `busy` where another one holds it. Where the system or the file system has no such locks nothing is held.
    """
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise busy from error
    except (OSError, ModuleNotFoundError):
        return


def read_value(path: Path, kind: type[Value], error: type[HarnessError], hint: str = "") -> Value:
    """The pydantic value in a JSON file; `error` names the file and the first field that is wrong."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as problem:
        raise error(f"cannot read {path}: {problem.strerror or problem}", hint) from problem
    except pydantic.ValidationError as problem:
        raise error(f"{path}: {first_problem(problem)}{_newer(problem)}", hint) from problem


def _newer(problem: pydantic.ValidationError) -> str:
    """What an unknown key in a file that a program wrote may mean: new optional fields don't change a schema's number."""
    unknown = any(detail["type"] == "extra_forbidden" for detail in problem.errors())
    return f"; {NEWER}" if unknown else ""


def read_yaml(path: Path, kind: type[Value], hint: str = "") -> Value:
    """The pydantic value in a YAML file, read with the safe loader. Raises ConfigError."""
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return kind.model_validate(content)
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigError(f"cannot read {path}: {problem}", hint) from problem
    except yaml.YAMLError as problem:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(problem).split())}", hint) from problem
    except pydantic.ValidationError as problem:
        raise ConfigError(f"{path}: {first_problem(problem)}", hint) from problem


def write_value(path: Path, value: pydantic.BaseModel) -> Path:
    """Write a pydantic value as indented JSON, atomically."""
    return write_atomic(path, value.model_dump_json(indent=1) + "\n")


def first_problem(problem: pydantic.ValidationError) -> str:
    """The first validation error in one line: where, what, and the value seen."""
    details = problem.errors()
    first = details[0]
    if first["type"] == "json_invalid":
        return first["msg"]
    where = ".".join(str(part) for part in first["loc"]) or "the file"
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    if first["type"] == "extra_forbidden":
        return f"unknown key {where!r}{more}"
    seen = "" if first["type"] == "missing" else f", got {str(first['input'])[:80]!r}"
    return f"{where}: {first['msg']}{seen}{more}"
