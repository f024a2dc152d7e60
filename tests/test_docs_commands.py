"""Every command in the documents can be given, and every figure names the command that made it."""

import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from sitehooks import commands

ROOT = Path(__file__).parent.parent
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", ROOT / "bench" / "RESULTS.md", *sorted((ROOT / "docs").rglob("*.md")))
}
KNOWN = dict(commands.commands())
FENCE = re.compile(r"^ *```\w*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
MADE_BY = re.compile(
    r"whalefinder (evaluate|study|explain|demo|train|plan)|python -m bench\b|make (bench|demo)|tests/test_\w+\.py"
)


def split(line):
    """The commands of a line of a shell: without prompt and comment, divided at && | ; and >."""
    words = shlex.split(re.sub(r"^\$ ", "", line.strip()), comments=True)
    ends = [i for i, word in enumerate(words) if word in ("&&", "|", ";", ">", "&")]
    return [words[a + 1 : b] for a, b in pairwise([-1, *ends, len(words)])]


def fenced(text):
    """Commands in blocks of code; a backslash goes on in the next line."""
    lines = [line for block in FENCE.findall(text) for line in block.replace("\\\n", " ").splitlines()]
    return [words for line in lines if re.match(r" *(\$ )?whalefinder ", line) for words in split(line)]


def inline(text):
    """Commands in prose, which may leave out what a reader fills in."""
    found = re.findall(r"`(whalefinder [^`]*)`", FENCE.sub("", text))
    spans = [
        re.sub(r"(?<= )[A-Z]{2,}\b", "1", " ".join(span.split())) for span in found
    ]  # OUT and SECONDS stand for any
    return [words for span in spans if not re.search(r"\.\.\.|…", span) for words in split(span)]


def complaint(words, whole):
    """What is wrong with a command; "" if it can be given. One that is not `whole` may lack arguments."""
    if words[:1] != ["whalefinder"] or words[1:] in ([], ["--help"], ["--version"]):
        return ""
    name = next((" ".join(words[:n]) for n in (3, 2) if " ".join(words[:n]) in KNOWN), None)
    if name is None:
        group = any(known.startswith(" ".join(words) + " ") for known in KNOWN)
        return "" if group and not whole else "no such command"
    try:
        KNOWN[name].make_context(name, words[len(name.split()) :])
    except Exception as reason:
        lacks = type(reason).__name__ == "MissingParameter" or "requires an argument" in str(reason)
        return "" if lacks and not whole else f"{type(reason).__name__}: {reason}"
    return ""


@pytest.mark.parametrize("page", [*PAGES, "--help"])
def test_every_command_can_be_given(page):
    text = PAGES.get(page) or commands.page()
    given = [(words, True) for words in fenced(text)] + [(words, False) for words in inline(text)]
    wrong = [f"{shlex.join(words)}: {said}" for words, whole in given if (said := complaint(words, whole))]
    assert wrong == []


def test_there_are_commands_to_look_at():
    assert sum(len(fenced(text)) for text in PAGES.values()) > 25
    assert sum(len(inline(text)) for text in PAGES.values()) > 60


@pytest.mark.parametrize(
    ("line", "whole", "right"),
    [
        ("whalefinder locate a.wav --out x", True, True),
        ("whalefinder locate", False, True),
        ("whalefinder locate", True, False),
        ("whalefinder locate a.wav --array", False, True),
        ("whalefinder locate a.wav --arrey b.toml", False, False),
        ("whalefinder locate a.wav --min-probability 2", False, False),
        ("whalefinder train", False, True),
        ("whalefinder trane segmenter", False, False),
        ("whalefinder train segmenter --steps many", False, False),
    ],
)
def test_a_wrong_command_is_seen(line, whole, right):
    assert (complaint(*split(line), whole) == "") is right


def figures(section):
    """Whether a section shows measured figures: a picture, or a table with three cells of decimals or per cent."""
    rows = "\n".join(line for line in section.splitlines() if line.lstrip().startswith("|"))
    return bool(re.search(r"!\[", section)) or len(re.findall(r"\| \**[−-]?\d+(?:\.\d+|,\d+)? ?[%°]?", rows)) >= 3


@pytest.mark.parametrize("page", PAGES)
def test_every_figure_names_its_command(page):
    """In its own section, or in the lines that begin the page."""
    opening, *sections = re.split(r"^## ", PAGES[page], flags=re.MULTILINE)
    lacking = [s.splitlines()[0] for s in [opening, *sections] if figures(s) and not MADE_BY.search(opening + s)]
    assert lacking == []


@pytest.mark.parametrize("script", sorted((ROOT / "bench").glob("*.py")), ids=lambda path: path.stem)
def test_a_picture_that_a_bench_draws_names_it(script):
    drawn = re.findall(r"[\"']docs/([\w/-]+\.(?:png|jpg))", script.read_text(encoding="utf-8"))
    shown = [(name, picture) for name, text in PAGES.items() for picture in drawn if f"]({picture})" in text]
    assert [(name, picture) for name, picture in shown if f"python -m bench.{script.stem}" not in PAGES[name]] == []


def test_the_comparison_quotes_the_benchmark():
    row = next(
        line for line in PAGES["bench/RESULTS.md"].splitlines() if line.startswith("| 3 moving boats, SIR -10, SNR 5 |")
    )
    ours, _, srp, music = (cell.split("<br>")[0].strip() for cell in row.split("|")[2:6])
    quoted = " ".join(PAGES["docs/comparison.md"].split())
    for figure in (*ours.split(" / "), *(cell.split(" / ")[0] for cell in (srp, music)), srp.split(" / ")[1]):
        assert f" {figure}" in quoted, figure
