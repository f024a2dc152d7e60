"""Hooks of `mkdocs build`. They add pages that are generated or lie outside `docs/`, and mend links and formulas."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

from sitehooks import commands, models, python
from sitehooks.formulas import typeset

ROOT = Path(__file__).parent.parent
OUTSIDE = {
    "README.md": "index.md",
    "bench/RESULTS.md": "benchmark.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}
"""Documents of the repository that are pages of the site."""
LINK = re.compile(r"(\]\()(?!https?:|#|mailto:)([^)#\s]+)")


def place_of(path: str) -> str:
    """Path on the site of a document of the repository."""
    return OUTSIDE.get(path, path.removeprefix("docs/"))


def relink(text: str, path: str) -> str:
    """The text of a document, with its links changed to links between pages of the site."""
    here = posixpath.dirname(place_of(path))

    def one(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(path), match[2]))
        return match[1] + posixpath.relpath(place_of(target), here or ".")

    return LINK.sub(one, text)


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages, and the pages that lie outside `docs/`."""
    made = {"reference/commands.md": commands.page(), "models.md": models.page(), **python.pages()}
    for path, uri in OUTSIDE.items():
        made[uri] = relink((ROOT / path).read_text(encoding="utf-8"), path)
    for uri, text in made.items():
        files.append(File.generated(config, uri, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Change the links of written pages to documents outside `docs/`."""
    return markdown if page.file.generated_by else relink(markdown, f"docs/{page.file.src_uri}")


def on_page_content(html: str, **_: Any) -> str:
    """Typeset the formulas."""
    return typeset(html)
