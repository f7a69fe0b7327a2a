"""One candidate that waits for its turns: `python -m harness.tuning.arm JOB.json`, told what to do on standard input.

It opens the artifact, takes its memory, warms up and answers with a JSON line; then each line `CALLS` is one visit, answered by the
seconds of its fastest call. It ends when its input does. What libraries print goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from harness.core.errors import HarnessError, MeasurementError
from harness.core.files import read_value
from harness.core.measurement import Measurement, percentile
from harness.core.registry import PROBES
from harness.profiling.child import ask
from harness.profiling.isolate import end_with_parent
from harness.profiling.job import Job
from harness.profiling.paired import call_of
from harness.profiling.rounds import visit
from harness.profiling.subject import OpenSubject, opened
from harness.support.clock import settle
from harness.support.sampling import warm_up

MODULE = "harness.tuning.arm"


def _serve(subject: OpenSubject, turns: TextIO, answers: TextIO) -> None:
    memory = {outcome.quantity: outcome.value for outcome in ask(PROBES.load("memory"), subject) if isinstance(outcome, Measurement)}
    call = call_of(subject.session, subject.examples())
    seconds = percentile(warm_up(call, subject.profile.sampling, subject.clock)[-5:], 0.5)
    _say(answers, {"seconds": seconds, "memory": memory})
    for line in turns:
        _say(answers, {"fastest": visit(call, subject.clock, int(line), rest=settle)})


def _say(answers: TextIO, what: Mapping[str, Any]) -> None:
    answers.write(json.dumps(what) + "\n")
    answers.flush()


def main(argv: list[str]) -> int:
    end_with_parent()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    job = read_value(Path(argv[0]), Job, MeasurementError)
    try:
        with opened(job) as subject:
            _serve(subject, sys.stdin, answers)
    except HarnessError as error:
        _say(answers, {"failed": error.message})
        return error.exit_code
    except MemoryError:
        _say(answers, {"failed": "out of memory"})
        return MeasurementError.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
