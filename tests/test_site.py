"""The documentation site: built once, strictly, so that dead links, anchors and pages without a place end it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import whalefinder
from sitehooks import commands, models, python
from sitehooks.formulas import mathml

ROOT = Path(__file__).parent.parent
FORMULA = re.compile(r"\$\$(.+?)\$\$|(?<![\w$\\])\$(?! )([^$\n]+?(?:\n[^$\n]+?)?)(?<! )\$(?![\w$])", re.DOTALL)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return out


def pages(site):
    return {path.relative_to(site).as_posix(): path.read_text(encoding="utf-8") for path in site.rglob("*.html")}


def test_nothing_is_fetched_from_elsewhere(site):
    outside = re.compile(r"""<(?:script|link|img|iframe|source)[^>]*(?:src|href)=["']?(?:https?:)?//""")
    assert {name for name, text in pages(site).items() if outside.search(text)} == set()
    sheets = [path.read_text(encoding="utf-8") for path in site.rglob("*.css")]
    assert len(sheets) > 2 and not [s for s in sheets if re.search(r"@import|url\([\"']?(?:https?:)?//", s)]


def test_every_formula_is_typeset(site):
    written = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs").rglob("*.md")}
    written = {name: re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL) for name, text in written.items()}
    expected = {name: len(FORMULA.findall(text)) for name, text in written.items() if "$" in text}
    assert expected["how-it-works"] > 50
    for path in site.rglob("*.html"):
        text = re.sub(r"<(code|pre)\b.*?</\1>", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert "arithmatex" not in text and "$$" not in text, path.name
        if path.stem in expected and path.parent.name != "python":
            assert text.count("<math ") == expected[path.stem], path.name


@pytest.mark.parametrize(
    ("formula", "letters"), [(r"\mathbf a", "𝐚"), (r"\mathbb C", "ℂ"), (r"\mathcal N", "𝒩"), (r"\boldsymbol\tau", "𝝉")]
)
def test_letters_have_their_style_without_the_attribute_that_browsers_ignore(formula, letters):
    made = mathml(formula, "inline")
    assert letters in made and not re.search(r'mathvariant="(?!normal)', made)


def test_every_command_and_option_is_in_the_reference(site):
    text = pages(site)["reference/commands.html"]
    for name, command in commands.commands():
        section = text.split(f'<h2 id="{name.replace(" ", "-")}">')[1].split("<h2 ")[0]
        options = [option for p in command.params for option in p.opts if option.startswith("-") and p.name != "help"]
        assert [option for option in options if f"<code>{option}</code>" not in section] == [], name
        assert section.count("<tr>") == 1 + sum(p.name != "help" for p in command.params) or not command.params


def test_every_public_name_is_in_the_reference(site):
    index = pages(site)["reference/python/index.html"]
    text = "".join(page for name, page in pages(site).items() if name.startswith("reference/python/"))
    for name in set(whalefinder.__all__) - {"__version__"}:
        full = f"{getattr(whalefinder, name).__module__}.{name}"
        assert f'id="{full}"' in text and f'#{full}"' in index, full


def test_every_room_has_a_page():
    rooms = {path.parent.name for path in python.PACKAGE.glob("*/__init__.py")}
    assert rooms - {"cli"} == set(python.ROOMS)
    alone = {path.stem for path in python.PACKAGE.glob("*.py")}
    assert alone - set(python.ALONE) <= {"__init__", "version", "files", "demo", "optional", "words"}


def test_every_network_that_ships_has_a_card():
    assert set(models.CARDS) == {path.stem for path in models.WEIGHTS.glob("*.safetensors")}
    page = models.page()
    for name in models.CARDS:
        assert f"## {name.capitalize()}" in page
    assert (
        page.count("| learned from |") == page.count("| licence |") == page.count("| parameters |") == len(models.CARDS)
    )
