"""Docs that a test can break."""

import re
from pathlib import Path

import whalefinder
from whalefinder.cli import app
from whalefinder.cli.train import train_app

ROOT = Path(__file__).parent.parent


def commands():
    names = [c.name or c.callback.__name__ for c in app.registered_commands]
    return [n.replace("_", "-") for n in names] + [f"train {c.name}" for c in train_app.registered_commands]


def test_every_command_is_in_the_readme():
    readme = (ROOT / "README.md").read_text()
    assert [c for c in commands() if f"whalefinder {c}" not in readme] == []


def test_public_names_are_complete_and_sorted():
    assert sorted(whalefinder.__all__) == whalefinder.__all__
    assert all(hasattr(whalefinder, name) for name in whalefinder.__all__)


def test_every_module_named_in_the_paper_exists():
    text = (ROOT / "docs" / "paper.md").read_text()
    modules = set(re.findall(r"`whalefinder/([\w/]+\.py)`", text))
    assert len(modules) > 5
    assert [m for m in modules if not (ROOT / "whalefinder" / m).exists()] == []
    tests = set(re.findall(r"`(tests/\w+\.py)`", text))
    assert [t for t in tests if not (ROOT / t).exists()] == []


def test_links_between_documents_hold():
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
