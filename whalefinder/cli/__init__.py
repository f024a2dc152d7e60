"""The command line. Each command reads its options, calls the library and prints the result.

There is one module for each group of commands, and `commands` imports them all. This module imports nothing that takes
time, so that Ctrl-C ends the program in one line from its first moment.
"""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any

from whalefinder.cli import ctrl_c

if TYPE_CHECKING:
    from whalefinder.cli.commands import app

__all__ = ["app", "main"]


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from whalefinder.cli.commands import app

    return app


def main() -> None:
    """Entry point of the `whalefinder` command."""
    ctrl_c.ends_at_once()
    from whalefinder.cli.commands import app

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names of files can hold what a terminal cannot show
            stream.reconfigure(errors="replace")
    app()
