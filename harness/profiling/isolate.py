"""A child process per cell: a crash, a time-out or a kill by the kernel becomes a reason, not the end of the run."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from harness.core.errors import HarnessError, MeasurementError, RecordError
from harness.core.files import read_value, write_value
from harness.core.record import Advice
from harness.profiling.job import Answer, Job

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
#: Variable with the number of the process that started this one.
PARENT = "HARNESS_PARENT"
GRACE_SECONDS = 5
#: How the reason of what took too long begins.
TIMED_OUT = "timed out after"
PR_SET_PDEATHSIG = 1


def run_job(job: Job, module: str = "harness.profiling.child") -> Answer:
    """Measure a cell in a fresh process and wait for it without spinning. What it measured before it died is kept, with why it died.

    A runtime that crashes or hangs when it is closed has measured all the same: that is a warning.
    """
    job.work.mkdir(parents=True, exist_ok=True)
    job.answer_file.unlink(missing_ok=True)  # another process may have answered in this folder before
    job_file = write_value(job.work / "job.json", job)
    with (job.work / "stderr.txt").open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", module, str(job_file)],
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
            env=environment_of(job),
            start_new_session=True,
        )
        offer_to_the_kernel(process.pid)
        try:
            code = process.wait(timeout=job.profile.sampling.timeout_seconds)
            reason = "" if code == 0 else reason_of(code, job.work / "stderr.txt")
        except subprocess.TimeoutExpired:
            reason = f"{TIMED_OUT} {job.profile.sampling.timeout_seconds:g} s"
        finally:
            end(process)
    answer = read_value(job.answer_file, Answer, RecordError) if job.answer_file.exists() else Answer()
    if answer.failed or not reason:
        return answer
    if answer.is_whole:
        message = f"when all was measured, its process ended so: {reason}"
        said = Advice(kind="ended badly", message=message, advice="its figures stand; a newer release of the runtime may close well")
        return answer.model_copy(update={"warnings": (*answer.warnings, said)})
    return answer.model_copy(update={"failed": reason})


def environment_of(job: Job) -> dict[str, str]:
    """Variables of a cell's process: numeric libraries use the cell's threads."""
    return {
        **os.environ,
        **dict.fromkeys(THREAD_VARIABLES, str(job.threads)),
        "PYTHONUNBUFFERED": "1",
        "NO_ALBUMENTATIONS_UPDATE": "1",
        PARENT: str(os.getpid()),
    }


def end_with_parent() -> None:
    """When the process that started this one is killed, the kernel shall end this one too (prctl(2), PR_SET_PDEATHSIG); Linux only.

    The kernel can't know of a parent that was gone before it was asked, so that is looked at after.
    """
    parent = os.environ.pop(PARENT, None)
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent is not None and os.getppid() != int(parent):
        sys.exit(f"process {parent}, which asked for this, is gone")


def serve(argv: list[str], answer: Callable[[Job], object]) -> int:
    """The whole life of a child process: read the job that `argv` names and answer it. Gives the exit code; an error is in the answer's file."""
    end_with_parent()
    job = read_value(Path(argv[0]), Job, MeasurementError)
    try:
        answer(job)
    except HarnessError as error:
        write_value(job.answer_file, Answer(failed=str(error)))
        return error.exit_code
    return 0


def offer_to_the_kernel(pid: int) -> None:
    """When memory runs out, the kernel shall end the child, not this process (proc(5), oom_score_adj)."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text("1000")


def reason_of(code: int, errors: Path) -> str:
    """Why a process ended, from its exit code and the last line that it wrote to `errors`."""
    if code == -signal.SIGKILL:
        return "killed by the system (SIGKILL), most likely out of memory; see `dmesg`, or use a smaller batch"
    if code < 0:
        return f"crashed with {signal.Signals(-code).name}"
    lines = [line.strip() for line in errors.read_text(errors="replace").splitlines() if line.strip()]
    return f"exit code {code}: {lines[-1] if lines else 'no message'}"


def end(process: subprocess.Popen[bytes]) -> None:
    """End the child and all that it started, also when this process was interrupted, or when the child is gone and left others behind."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody is left; on a Mac only those that nobody has waited for
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=GRACE_SECONDS)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
