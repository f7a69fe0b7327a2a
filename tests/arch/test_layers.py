"""The house keeps its walls: light verbs import no framework, README's commands exist, nothing names a registry host."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cli.main import run
from harness.results.store import write_record
from tests.builders import latency, miou, record

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "onnx", "onnxruntime", "timm", "lightning", "matplotlib", "pandas", "rasterio", "torchgeo", "terratorch"}


def modules_after(*arguments: str) -> set[str]:
    """Top-level modules in memory after a command line ran."""
    code = (
        "import sys, io, contextlib\nfrom harness.cli.main import run\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):\n"
        f"    code = run({list(arguments)!r})\n"
        "print(code, *{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    code_text, *names = done.stdout.split()
    assert code_text == "0", done.stdout
    return set(names)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("table", "--help"),
        ("train", "--help"),
        ("profile", "--help"),
        ("tune", "--help"),
        ("bundle", "--help"),
        ("flops", "--help"),
        ("list", "encoders"),
        ("list", "profiles"),
        ("list", "quantities"),
    ],
    ids=" ".join,
)
def test_light_verbs_import_no_framework(arguments):
    assert not modules_after(*arguments) & (HEAVY | {"numpy"})


def test_a_table_imports_no_framework(tmp_path):
    write_record(tmp_path, record(backend="onnxruntime", measured=(latency(0.01), miou(0.8))))
    assert not modules_after("table", "--records", str(tmp_path), "--format", "csv") & (HEAVY | {"numpy"})


def test_profiling_an_artifact_needs_no_torch():
    code = "import harness.profiling.child, harness.profiling.run, harness.probes.latency, harness.probes.accuracy, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "verb",
    [
        "list",
        "doctor",
        "data prepare",
        "data show",
        "flops",
        "train",
        "export",
        "tune",
        "bundle",
        "profile",
        "table",
        "plot",
        "records list",
        "records show",
        "recommend",
        "check",
        "report",
        "history",
    ],
)
def test_every_verb_has_help_with_an_example(verb):
    from typer.testing import CliRunner

    from harness.cli.main import app

    said = CliRunner().invoke(app, [*verb.split(), "--help"], env={"COLUMNS": "200"}).output
    assert "Example: harness" in said
    assert "--json" in said


def command_lines(page: Path) -> list[str]:
    """Every `harness ...` line of a page's console blocks, and of the jobs in its YAML blocks."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    shown = [line[2:] for line in text.splitlines() if line.startswith("$ harness ")]
    jobs = [job for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) for job in _jobs(yaml.safe_load(block))]
    steps = [step for job in jobs for step in job.get("script", [one.get("run", "") for one in job.get("steps", [])])]
    return [*shown, *(line for step in steps for line in step.splitlines() if line.startswith("harness "))]


def _jobs(content: object) -> list[dict[str, Any]]:
    """The jobs of a GitHub workflow, or of a GitLab pipeline; none of any other YAML."""
    if not isinstance(content, dict):
        return []
    return [job for job in content.get("jobs", content).values() if isinstance(job, dict)]


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.stem)
def test_every_harness_command_in_the_docs_parses(page):
    """Verbs, options and their values are such as the parser takes (nothing is run)."""
    import typer

    from harness.cli.main import app

    command = typer.main.get_command(app)
    for line in command_lines(page):
        words = shlex.split(line, comments=True)[1:]
        context, sub = command.make_context("harness", words, resilient_parsing=True), command
        while hasattr(sub, "commands"):
            assert words[0] in sub.commands, line
            sub, words = sub.commands[words[0]], words[1:]
        sub.make_context(line, words, parent=context)


def test_commands_are_found_in_pages():
    assert len(command_lines(ROOT / "README.md")) >= 6
    found = command_lines(ROOT / "docs" / "ci.md")
    assert [line.split()[1] for line in found].count("check") == 2  # GitHub's and GitLab's
    assert all("--junit check.xml" in line for line in found if line.startswith("harness check"))


def test_the_published_table_is_what_the_tool_says_of_the_committed_records(tmp_path):
    """Figures that were typed in, or of a record that is gone, would differ."""
    published = (ROOT / "bench_results" / "tables" / "demo.md").read_text()
    columns = "rank,model,runtime,miou,parameters,forward_flops,macs,latency,latency_p95,throughput,peak_host_memory,artifact_size,speedup,front"
    arguments = ["table", "--records", str(ROOT / "bench_results" / "records"), "--columns", columns, "--format", "md", "--out", str(tmp_path / "t.md")]
    assert run(arguments) == 0
    assert (tmp_path / "t.md").read_text() == published
    rows = [line for line in published.splitlines() if line.startswith("|")]
    assert rows == [line for line in (ROOT / "README.md").read_text().splitlines() if line in rows]


def test_no_registry_host_is_named_in_tracked_files():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    pattern = re.compile(r"pypi\.org|registry\.npmjs|files\.pythonhosted|deb\.debian")
    for name in tracked:
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".yaml", ".sh"} and path.resolve() != Path(__file__).resolve():
            assert not pattern.search(path.read_text(encoding="utf-8")), name


@pytest.mark.parametrize(("verb", "package", "extra"), [("train unet+unet --data synthetic", "torch", "train"), ("plot", "matplotlib", "plot")])
def test_a_verb_whose_package_is_missing_names_the_extra(verb, package, extra, tmp_path):
    write_record(tmp_path / "bench_results" / "records", record(backend="onnxruntime", measured=(latency(0.01), miou(0.8))))
    code = f"import sys\nsys.modules[{package!r}] = None\nfrom harness.cli.main import main\nmain({verb.split()!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 3
    assert f"eo-harness[{extra}]" in done.stderr
    assert "Traceback" not in done.stderr
