"""Docs that a test can break."""

import csv
import doctest
import re
import shlex
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner

import whalefinder
from whalefinder.cli import app
from whalefinder.cli.train import train_app

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAPER = ROOT / "docs" / "paper.md"
EXAMPLE = re.compile(r"^```pycon\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LENIENT = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def commands():
    names = [c.name or c.callback.__name__ for c in app.registered_commands]
    return [n.replace("_", "-") for n in names] + [f"train {c.name}" for c in train_app.registered_commands]


def test_every_command_is_in_the_readme():
    readme = (ROOT / "README.md").read_text()
    assert [c for c in commands() if f"whalefinder {c}" not in readme] == []


def test_every_extra_is_in_the_readme():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    rows = (ROOT / "README.md").read_text(encoding="utf-8").split("| extra |")[1].split("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", rows, re.MULTILINE) == list(project["optional-dependencies"])


def test_public_names_are_complete_and_sorted():
    assert sorted(whalefinder.__all__) == whalefinder.__all__
    assert all(hasattr(whalefinder, name) for name in whalefinder.__all__)


def test_every_module_named_in_the_paper_exists():
    text = PAPER.read_text()
    modules = set(re.findall(r"`whalefinder/([\w/]+\.py)`", text))
    assert len(modules) > 5
    assert [m for m in modules if not (ROOT / "whalefinder" / m).exists()] == []


def test_every_test_named_in_the_paper_exists():
    text = PAPER.read_text()
    files = set(re.findall(r"`(tests/\w+\.py)`", text))
    assert [file for file in files if not (ROOT / file).exists()] == []
    defined = {
        name
        for file in (ROOT / "tests").glob("*.py")
        for name in re.findall(r"^def (test_\w+)", file.read_text(), re.M)
    }
    named = set(re.findall(r"`(test_\w+)`", text))
    assert len(named) > 40
    assert sorted(named - defined) == []


QUESTIONS = {1: 12, 2: 4, 3: 6, 4: 6, 5: 4, 6: 2}
"""Questions in each part of the examination paper."""


def index_of_the_paper():
    """Cells of each row, by the examination paper's number."""
    index = PAPER.read_text().split("## Index")[1].split("\n## ")[0]
    rows = [line.strip("|").split(" | ") for line in index.splitlines() if re.match(r"\| \[", line)]
    return {re.match(r" ?\[(.+?)\]", row[0])[1]: row[1:] for row in rows}


def test_the_index_has_every_number_of_the_paper():
    numbers = [f"{part}.{number}" for part, count in QUESTIONS.items() for number in range(1, count + 1)]
    assert list(index_of_the_paper()) == [*numbers, "fig. 1", "fig. 2", "fig. 3"]


def test_every_row_of_the_index_has_an_answer_and_a_test():
    """Tests and modules that are named exist: the tests above and below see to all names of the page."""
    for number, cells in index_of_the_paper().items():
        question, answer, module, command, tests = (cell.strip() for cell in cells)
        assert question and answer and re.fullmatch(r"(`test_\w+`(, )?)+", tests), number
        assert re.fullmatch(r"–|(`whalefinder/[\w/]+\.py`(, )?)+", module), number
        assert re.fullmatch(r"–|`(whalefinder|python -m bench\.)[\w -]*\w`", command), number


def test_it_is_called_an_examination_paper_throughout():
    assert re.findall(r"\b[Tt]he\s+paper\b", PAPER.read_text()) == []


def test_every_command_named_in_the_paper_exists():
    text = PAPER.read_text()
    named = set(re.findall(r"`whalefinder ((?:train )?[a-z-]+)", text))
    assert "train regressor" in named and sorted(named - set(commands())) == []
    benches = set(re.findall(r"`python -m bench\.(\w+)`", text))
    assert [bench for bench in benches if not (ROOT / "bench" / f"{bench}.py").exists()] == []


def test_every_statement_has_its_test_in_the_paper():
    files = [*(ROOT / "tests").glob("test_statements*.py"), ROOT / "tests" / "test_handwriting.py"]
    statements = [name for file in files for name in re.findall(r"^def (test_\w+)", file.read_text(), re.M)]
    assert len(files) == 4
    assert [name for name in statements if f"`{name}`" not in PAPER.read_text()] == []


def test_links_between_documents_hold():
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / "bench").glob("*.md"),
]
LONGEST = 120
FENCED = re.compile(r"^ *```.*?^ *```$|^\$\$$.*?^\$\$$", re.MULTILINE | re.DOTALL)


def prose(page):
    """Lines of a page, with code and formulas blanked."""
    text = page.read_text(encoding="utf-8")
    return FENCED.sub(lambda match: "\n" * match[0].count("\n"), text).split("\n")


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: page.name)
def test_lines_are_short(page):
    """Tables and addresses cannot be broken."""
    breakable = [(n, line) for n, line in enumerate(prose(page), start=1) if not re.search(r"^\||https?://", line)]
    assert [n for n, line in breakable if len(line) > LONGEST] == []


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: page.name)
def test_formulas_hold_together(page):
    """An empty line, or one that begins like a list, would end them; the site sets no environments."""
    text = page.read_text(encoding="utf-8")
    formulas = re.findall(r"^\$\$\n(.*?)^\$\$$", text, re.MULTILINE | re.DOTALL)
    assert len(formulas) == len(re.findall(r"^\$\$$", text, re.MULTILINE)) / 2
    assert [formula for formula in formulas if re.search(r"^$\n|^[-+*] |\\begin", formula, re.MULTILINE)] == []


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: page.name)
def test_lists_and_tables_begin_after_an_empty_line(page):
    """Without one, mkdocs reads them as a paragraph."""
    lines = prose(page)
    joined, in_list = [], False
    for number, (before, line) in enumerate(pairwise(lines), start=2):
        item, row = re.match(r"(?:[-*]|\d+\.) ", line), line.startswith("|")
        free = not before.strip() or before.startswith("#")
        if (item and not in_list and not free) or (row and not free and not before.startswith("|")):
            joined.append(number)
        if item:
            in_list = True
        elif not line.startswith(" "):
            in_list = False
    assert joined == []


def anchors(page):
    """The names that headings get: small letters, spaces to hyphens, other signs dropped."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_into_documents_hold():
    for page in PAGES:
        for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text()):
            assert anchor in anchors(page.parent / target if target else page), f"{page.name}: {target}#{anchor}"


def examples(page):
    """The page with all but its examples blanked, so that lines keep their numbers."""
    text = page.read_text()
    kept = [(match.start(1), match.end(1)) for match in EXAMPLE.finditer(text)]
    inside = bytearray(len(text))
    for begin, end in kept:
        inside[begin:end] = b"\1" * (end - begin)
    return "".join(c if keep or c == "\n" else " " for c, keep in zip(text, inside, strict=True))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_give_what_they_say(page):
    test = doctest.DocTestParser().get_doctest(examples(page), {}, page.name, str(page), 0)
    # An example that no fence holds would never be run.
    assert len(test.examples) == len(re.findall(r"^ *>>> ", page.read_text(), re.M))
    said = []
    doctest.DocTestRunner(optionflags=LENIENT).run(test, out=said.append)
    assert said == [], "".join(said)


def test_the_paper_has_examples():
    assert examples(PAPER).count(">>> ") > 60


def test_the_example_of_the_readme_gives_what_it_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    block = (ROOT / "README.md").read_text(encoding="utf-8").split("```console\n")[1].split("```")[0]
    printed = {}
    for step in block.removeprefix("$ ").split("\n$ "):
        command, *lines = step.splitlines()
        name, *arguments = shlex.split(command)
        if name == "whalefinder":
            result = CliRunner().invoke(app, arguments)
            assert result.exit_code == 0, result.output
        else:  # cut -d, -fCOLUMNS FILE
            printed[arguments[-1]] = lines
    assert list(printed) == ["results/detections.csv", "sea/truth.csv"]
    for file, lines in printed.items():
        with (tmp_path / file).open(encoding="utf-8") as table:
            rows = list(csv.DictReader(table))
        shown = list(csv.DictReader(lines))
        assert len(shown) == len(rows) > 0
        for said, found in zip(shown, rows, strict=True):
            for column, value in said.items():
                # Processors round differently: the last digits may differ.
                same = value == found[column] or float(value) == pytest.approx(float(found[column]), abs=0.01)
                assert same, (file, column, value, found[column])
