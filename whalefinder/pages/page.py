"""A report as one HTML file: text, tables and pictures inside it, sounds beside it. Opens without a network.

Everything that is shown goes through the template's autoescape, so that a file's name can hold no markup.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from whalefinder.files import writing
from whalefinder.optional import needs
from whalefinder.version import __version__

DOTS_PER_INCH = 90


@dataclass(frozen=True)
class Grid:
    """A table: one cell a string; the first column is the row's name."""

    caption: str
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]


@dataclass(frozen=True)
class Drawing:
    """A picture with its words, and a sound to hear with it (a path relative to the report)."""

    caption: str
    png: bytes
    sound: str = ""

    @property
    def source(self) -> str:
        """The picture as a `data:` address."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


@dataclass
class Section:
    """One headed part of the report."""

    title: str
    words: list[str] = field(default_factory=list)
    grids: list[Grid] = field(default_factory=list)
    drawings: list[Drawing] = field(default_factory=list)


def png_of(figure: Figure) -> bytes:
    """A figure as PNG without dates or versions, so that the same data give the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=DOTS_PER_INCH, format="png", metadata={"Software": None})
    return buffer.getvalue()


def save_page(path: Path, title: str, sections: Sequence[Section]) -> None:
    """Write the HTML file.

    Raises:
        OutputError: it cannot be written.
    """
    needs("jinja2", what="a page")
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(
        loader=PackageLoader("whalefinder.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    facts: dict[str, Any] = {"title": title, "sections": sections, "version": __version__}
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(templates.get_template("page.html").render(facts), encoding="utf-8")
