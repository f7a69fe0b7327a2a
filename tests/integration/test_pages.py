"""The explorer and the report in a real browser: no errors, no overflow, all by keyboard; skipped where there is no Chromium."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cli.main import run
from harness.core.deployment import Limit
from harness.results.store import write_record
from tests.browser import Page, chromium, page
from tests.builders import failed, miou, outcomes, profile, record

pytestmark = [
    pytest.mark.skipif(chromium() is None, reason="no Chromium on PATH"),
    pytest.mark.skipif(sys.platform == "win32", reason="pipes to the browser need file descriptors"),
]
LONG = "timm:a_very_long_encoder_name_that_does_not_fit_anywhere_at_all_in_a_narrow_window_512+upernet"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with page(tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both pages of the same records, with long names, a failure and verdicts of each kind."""
    folder = tmp_path_factory.mktemp("pages")
    budget = tuple(Limit(**{"quantity": name, way: value}) for name, way, value in (("latency", "max", 0.06), ("miou", "min", 0.95), ("energy", "max", 1.0)))
    settings = profile(budget=budget)
    records = [record(name, backend=backend, profile=settings, measured=[*outcomes(p50=p50), failed("energy", "no counter " + "x" * 80)])
               for name, backend, p50 in (("unet+unet", "torch_eager", 0.08), ("unet+unet", "onnxruntime", 0.04), (LONG, "onnxruntime", 0.05))]  # fmt: skip
    records.append(record("failed+unet", profile=settings, measured=[failed("latency", "killed"), miou(0.5)]))
    paths = [write_record(folder / "records", one) for one in records]
    assert run(["table", "--records", str(folder / "records"), "--format", "html", "--out", str(folder / "explorer.html")]) == 0
    assert run(["report", str(paths[1]), "--out", str(folder / "report.html")]) == 1
    chosen = ["--columns", "rank,runtime,model,threads,latency", "--sort", "latency", "--front", "artifact_size,latency"]
    assert run(["table", "--records", str(folder / "records"), "--format", "html", "--out", str(folder / "chosen.html"), *chosen]) == 0
    return {name: folder / f"{name}.html" for name in ("explorer", "report", "chosen")}


@pytest.mark.parametrize("width", [375, 1280])
@pytest.mark.parametrize("name", ["explorer", "report"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nothing_overflows_and_nothing_is_logged(browser: Page, pages: dict[str, Path], name: str, width: int, dark: bool) -> None:
    browser.problems.clear()
    browser.open(pages[name], width=width, dark=dark)
    assert browser.run("[document.documentElement.scrollWidth, document.documentElement.clientWidth]") == [width, width]
    assert browser.problems == []
    light = browser.run("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number).reduce((a, b) => a + b)")
    assert (light < 200) is dark


@pytest.mark.parametrize("name", ["explorer", "report"])
def test_a_printed_page_is_whole(browser: Page, pages: dict[str, Path], name: str) -> None:
    browser.open(pages[name], width=1020 if name == "explorer" else 680, media="print")
    wide, fits = browser.run("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide <= fits


def test_no_text_of_the_report_stands_over_another(browser: Page, pages: dict[str, Path]) -> None:
    browser.open(pages["report"], width=375)
    assert browser.run("document.querySelectorAll('svg text').length") > 4
    script = """(() => { const boxes = [...document.querySelectorAll('svg')].flatMap((svg) => {
        const all = [...svg.querySelectorAll('text')].map((text) => [text.textContent, text.getBoundingClientRect()]);
        return all.flatMap(([a, p], i) => all.slice(i + 1).filter(([b, q]) => p.left < q.right - 1 && q.left < p.right - 1 && p.top < q.bottom - 1
            && q.top < p.bottom - 1).map(([b]) => [a, b])); }); return boxes; })()"""
    assert browser.run(script) == []


def test_the_explorer_works_by_keyboard(browser: Page, pages: dict[str, Path]) -> None:
    browser.open(pages["explorer"], width=1280)
    seen = []
    for _ in range(40):
        browser.press("Tab")
        seen.append(browser.run("document.activeElement.id || document.activeElement.tagName + '.' + document.activeElement.className"))
    for wanted in ("skip", "machine", "search", "x", "y", "scroll"):
        assert wanted in seen, seen
    browser.run("document.querySelector('#chart svg').focus()")
    browser.press("ArrowRight")
    first = browser.run("document.querySelector('#chart svg').getAttribute('aria-activedescendant')")
    browser.press("ArrowRight")
    assert first
    assert browser.run("document.querySelector('#chart svg').getAttribute('aria-activedescendant')") != first
    browser.press("Enter", "\r")
    assert browser.run("document.getElementById('details').textContent.includes('onnxruntime')")
    browser.run("document.querySelector('#head button').focus()")
    browser.press("Enter", "\r")
    assert browser.run("document.querySelectorAll('#head [aria-sort]').length") == 1
    assert browser.problems == []


def test_the_page_opens_as_the_command_asked(browser: Page, pages: dict[str, Path]) -> None:
    browser.problems.clear()
    browser.open(pages["chosen"], width=1280)
    assert browser.run("[...document.querySelectorAll('#head th')].map((cell) => cell.textContent)") == ["runtime", "model", "threads", "latency p50 (ms) ▲"]
    assert browser.run("[...document.querySelectorAll('#body tr')].map((row) => row.firstChild.textContent)")[0] == "onnxruntime"
    assert browser.run("[document.getElementById('x').value, document.getElementById('y').value]") == ["latency", "artifact_size"]
    assert browser.problems == []


def test_a_view_is_shared_by_its_address(browser: Page, pages: dict[str, Path]) -> None:
    browser.open(pages["explorer"], width=1280)
    browser.run("(() => { const box = document.getElementById('search'); box.value = 'very_long'; box.dispatchEvent(new Event('input')); })()")
    browser.run("new Promise((done) => setTimeout(done, 300))")
    fragment = browser.run("location.hash")
    assert "very_long" in fragment
    browser.open(pages["explorer"], width=1280, fragment=fragment)
    assert browser.run("document.querySelectorAll('#body tr').length") == 1
    assert LONG in json.dumps(browser.run("document.getElementById('body').textContent"))
