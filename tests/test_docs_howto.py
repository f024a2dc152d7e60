"""The examples of the how-to pages are run, and print what the pages say."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [path for path in sorted((ROOT / "docs" / "how-to").glob("*.md")) if "```console\n" in path.read_text("utf-8")]
PROGRAM = f'#!/bin/sh\nexec "{sys.executable}" -m whalefinder.cli "$@"\n'
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def steps(page):
    """(command, lines that it prints, as far as they are shown) in the order of the page."""
    blocks = re.findall(r"^```console\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    found = []
    for line in "".join(blocks).splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line.rstrip())
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_print_what_the_page_says(page, tmp_path):
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    program = tmp_path / "bin" / "whalefinder"
    program.parent.mkdir()
    program.write_text(PROGRAM)
    program.chmod(0o755)
    path = os.pathsep.join([str(program.parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "80"}
    for command, shown in steps(page):
        done = subprocess.run(
            ["bash", "-ec", command], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
        )  # fmt: skip
        assert done.returncode == 0, (command, done.stderr[-1000:])
        if not shown:
            continue
        printed = [line.rstrip() for line in done.stdout.splitlines()]
        assert [NUMBER.sub("#", line) for line in printed] == [NUMBER.sub("#", line) for line in shown], command
        for said, found in zip(NUMBER.findall(" ".join(shown)), NUMBER.findall(" ".join(printed)), strict=True):
            # Processors round differently: the last digits may differ.
            assert float(found) == pytest.approx(float(said), rel=0.05, abs=0.02), command


def test_there_are_examples_that_print():
    assert len(PAGES) >= 3 and sum(bool(shown) for page in PAGES for _, shown in steps(page)) >= 3
