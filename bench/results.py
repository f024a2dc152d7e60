"""`bench/RESULTS.md`: one section a table, which the next run of the same table replaces."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")
HEAD = """# Benchmark

`make bench` (or `python -m bench`) writes this page. `python -m bench --parts PARTS` writes only some of its tables.
The terms are explained in the [glossary](../docs/conventions.md#words)."""


def put(table: str, page: Path = RESULTS) -> None:
    """Put a table where the one of the same title was: an hour of figures should not hang on the last table."""
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    sections = {part.split("\n")[0]: part.strip() for part in re.split(r"^(?=## )", text, flags=re.MULTILINE)[1:]}
    sections[table.split("\n")[0]] = "\n".join(map(_wrapped, table.split("\n")))
    page.write_text("\n\n".join([HEAD, *sections.values()]) + "\n", encoding="utf-8")


def _wrapped(line: str) -> str:
    """A line of prose in lines of at most 120 characters; tables and headings as they are."""
    return line if line.startswith(("|", "#", "!")) else textwrap.fill(line, 118, break_long_words=False)
