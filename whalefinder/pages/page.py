"""HTML pages. All pages are written here; pages of sections have text, tables and pictures. They need no network.

All text goes through the template's autoescape, so the name of a file cannot add markup.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whalefinder.files import replacing
from whalefinder.optional import needs
from whalefinder.version import __version__

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS_PER_INCH = 90


@dataclass(frozen=True)
class Grid:
    """A table of texts. The first column holds the names of the rows."""

    caption: str
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]


@dataclass(frozen=True)
class Drawing:
    """A picture (PNG) with a caption, and perhaps a sound (a path relative to the page)."""

    caption: str
    png: bytes
    sound: str = ""

    @property
    def source(self) -> str:
        """The picture as a `data:` address for a web page."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


@dataclass
class Section:
    """One part of a page with a heading."""

    title: str
    words: list[str] = field(default_factory=list)
    grids: list[Grid] = field(default_factory=list)
    drawings: list[Drawing] = field(default_factory=list)


def png_of(figure: Figure) -> bytes:
    """A figure as PNG without date and version, so that the same data give the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=DOTS_PER_INCH, format="png", metadata={"Software": None})
    return buffer.getvalue()


def write_html(path: Path, template: str, **facts: Any) -> None:
    """Fill a template of `templates/` and write the page. All text is escaped, except our own SVG (marked `safe`).

    Args:
        path: the HTML file. It is written as a whole or not at all.
        template: file name of the template.
        facts: values that the template shows. A missing one is an error. `version` is added.

    Raises:
        OptionError: jinja2 is not installed.
        OutputError: the page cannot be written.
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
    page = templates.get_template(template).render(facts, version=__version__)
    with replacing(path) as beside:
        beside.write_text(page, encoding="utf-8")


def save_page(path: Path, title: str, sections: Sequence[Section]) -> None:
    """Write a page of sections; errors as `write_html`."""
    write_html(path, "page.html", title=title, sections=sections)
