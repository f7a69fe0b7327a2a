"""The progress bar stands beside what is measured, so that it must not disturb it."""

import threading

from harness.cli.output import progress


def test_the_bar_is_drawn_once_a_second(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    monkeypatch.setenv("TERM", "xterm")
    with progress("profile") as report:
        report(0, 2, "unet")
        (drawing,) = [thread for thread in threading.enumerate() if hasattr(thread, "refresh_per_second")]
        assert drawing.refresh_per_second == 1
    assert "profile: unet" in capsys.readouterr().err
