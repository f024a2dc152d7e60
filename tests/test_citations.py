"""What is cited can be read: documents of the repository, or published sources."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENT = re.compile(r"(?<![\w./-])([\w-]+(?:/[\w-]+)*\.md)\b")
NOT_HERE = ("the specif" + "ication",)


def sources():
    for folder in ("whalefinder", "tests", "bench"):
        yield from sorted((ROOT / folder).rglob("*.py"))


def documents():
    yield from (*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md")


def cited(text):
    return {name for name in DOCUMENT.findall(text) if "example" not in name}


def test_documents_that_the_code_cites_are_in_the_repository():
    assert cited("see docs/losses.md and bearing.md §3") == {"docs/losses.md", "bearing.md"}
    here = {
        path.name for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md"))
    }
    package = sorted((ROOT / "whalefinder").rglob("*.py"))
    lost = [
        f"{path.name}: {name}"
        for path in package
        for name in cited(path.read_text("utf-8"))
        if Path(name).name not in here
    ]
    assert not lost, lost


def test_no_word_points_to_a_document_that_nobody_has():
    names = tuple(f"{stem}.md" for stem in ("bearing", "design", "field", "style"))
    for path in (*sources(), *documents()):
        if path == Path(__file__):
            continue
        text = path.read_text("utf-8")
        found = [name for name in names if re.search(rf"(?<![\w-]){re.escape(name)}", text)]
        found += [words for words in NOT_HERE if words in text.lower()]
        assert not found, (path, found)
