"""The pages of the Python reference: a table of the public names, and one page for each sub-package (room)."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import whalefinder

PACKAGE = Path(whalefinder.__file__).parent
ROOMS = (
    "array", "planning", "sound", "networks", "calls", "bearings", "health", "calibration", "tracks", "results", "pages", "explain",
    "archive",
    "evaluation", "training", "export", "sea",
)  # fmt: skip
"""Sub-packages in the order of the data."""
ALONE = ("options", "pipeline", "run", "errors")
"""Modules outside the sub-packages that have their own page."""


def modules(room: str) -> list[str]:
    """Dotted names of the modules of a sub-package, without its `__init__`."""
    files = sorted((PACKAGE / room).rglob("*.py"))
    names = [".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts) for file in files]
    return [name.removesuffix(".__init__") for name in names if name != f"whalefinder.{room}.__init__"]


def about(path: Path) -> str:
    """First paragraph of the docstring of a module, in one line."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.split("\n\n")[0].replace("\n", " ")


def index() -> str:
    """The page with the public names and the list of sub-packages, as Markdown."""
    lines = ["# Python", "", "What `import whalefinder` gives:", "", "| name | what it is |", "| --- | --- |"]
    for name in whalefinder.__all__:
        thing = getattr(whalefinder, name)
        if inspect.getmodule(thing) is not None:
            full = f"{thing.__module__}.{thing.__qualname__}"
            summary = (inspect.getdoc(thing) or "").split("\n\n")[0].replace("\n", " ").replace("|", "\\|")
            lines.append(f"| [`{name}`][{full}] | {summary} |")
    lines += ["", "The package is laid out in rooms, in the order of the data:", ""]
    lines += [f"- [`whalefinder.{room}`]({room}.md): {about(PACKAGE / room / '__init__.py')}" for room in ROOMS]
    lines += [f"- [`whalefinder.{module}`]({module}.md): {about(PACKAGE / f'{module}.py')}" for module in ALONE]
    return "\n".join([*lines, ""])


def pages() -> dict[str, str]:
    """All pages as Markdown, by their path."""
    made = {"reference/python/index.md": index()}
    for room in ROOMS:
        text = [f"# whalefinder.{room}", "", about(PACKAGE / room / "__init__.py"), ""]
        for module in modules(room):
            text += [f"::: {module}", ""]
        made[f"reference/python/{room}.md"] = "\n".join(text)
    for module in ALONE:
        made[f"reference/python/{module}.md"] = f"# whalefinder.{module}\n\n::: whalefinder.{module}\n"
    return made
