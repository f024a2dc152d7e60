"""A sign of life wherever somebody waits, also in a log."""

import io

import pytest
from rich.console import Console

from whalefinder.cli import common


@pytest.fixture
def log(monkeypatch):
    file = io.StringIO()
    monkeypatch.setattr(common, "errors", Console(file=file, force_terminal=False, width=200))
    return file


def after(seconds, progress):
    """As if so much time had passed."""
    for task in progress.tasks:
        task.start_time -= seconds


def test_a_log_gets_a_line_every_half_minute(log):
    with common.progress_bar() as progress:
        task = progress.add_task("evaluate", total=600, note="")
        progress.update(task, completed=1)
        assert log.getvalue() == ""
        after(40, progress)
        for done in range(2, 120):
            progress.update(task, completed=done, note="dev")
        after(40, progress)
        progress.update(task, completed=300, note="live")
        lines = log.getvalue().splitlines()
    assert [line.split(" after ")[0] for line in lines] == ["evaluate: 0 %", "evaluate: 50 %"]
    assert lines[1].endswith("live")


def test_quiet_is_quiet_and_an_unknown_length_is_said(log):
    for quiet in (True, False):
        with common.progress_bar(quiet) as progress:
            task = progress.add_task("study", total=None, note="")
            after(40, progress)
            progress.update(task, note="reading")
            assert log.getvalue() == "" if quiet else log.getvalue().startswith("study: at work after 40")
