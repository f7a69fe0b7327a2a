"""The `harness` command: verbs, errors and exit codes."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import Any

import typer

import harness
from harness.cli import bundle, check, data, doctor, export, flops, history, import_, list_, plot, profile, recommend, records, report, table, train, tune
from harness.core.errors import HarnessError
from harness.core.registry import EXTRA_OF_MODULE, missing_package

INTERRUPTED = 130
#: The base of wrong usage. Newer typers bring a click of their own, so it is found through typer.
ClickError: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")

app = typer.Typer(
    name="harness",
    help="Which Earth-observation segmentation model to deploy: accuracy and compute, measured together on the artifact that runs.",
    epilog="A first walk: harness data prepare synthetic; harness train unet+unet --data synthetic; then follow the commands that each verb prints.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verb in (list_, doctor, data, flops, train, import_, export, tune, bundle, profile, table, plot, recommend, report, check, history, records):
    verb.register(app)


def _version(wanted: bool) -> None:
    if wanted:
        print(harness.__version__)
        raise typer.Exit


@app.callback()
def _options(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
    version: bool = typer.Option(False, "--version", help="Print the version.", callback=_version, is_eager=True),
) -> None:
    """Options of every verb."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command line and exit with its code: 0 fine, 1 a FAIL verdict, 2 usage, 3 something is missing here, 4 data or work failed."""
    sys.exit(run(list(sys.argv[1:] if argv is None else argv)))


def _told(error: HarnessError) -> int:
    print(f"error: {_visible(error.message)}", file=sys.stderr)
    if error.hint:
        print(f"  try: {_visible(error.hint)}", file=sys.stderr)
    return error.exit_code


def _visible(text: str) -> str:
    """The text with control characters spelled out: names from somebody's file must not steer the terminal."""
    return re.sub(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", lambda found: f"\\x{ord(found[0]):02x}", text)


def run(arguments: list[str]) -> int:
    """The exit code of a command line; errors are printed here and nowhere else."""
    debug = "--debug" in arguments
    try:
        code = app([argument for argument in arguments if argument != "--debug"], standalone_mode=False, prog_name="harness")
    except HarnessError as error:
        if debug:
            raise
        return _told(error)
    except ModuleNotFoundError as error:
        if debug or (error.name or "").partition(".")[0] not in EXTRA_OF_MODULE:
            raise
        return _told(missing_package(f"harness {' '.join(arguments[:1])}", error))
    except ClickError as error:
        error.show()
        return 2
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except BrokenPipeError:
        return 0
    if code == INTERRUPTED:  # newer typers turn Ctrl-C into this code themselves
        print("stopped; what was finished is kept, nothing is half-written", file=sys.stderr)
    return code if isinstance(code, int) else 0
