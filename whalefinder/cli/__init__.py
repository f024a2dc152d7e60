"""The command line. Each command reads its options, calls the library and prints the result.

There is one module for each group of commands; importing it adds them to `app`. `--help` lists them in order of work.
"""

from __future__ import annotations

import sys

from whalefinder.cli import archive, explain, export, judge, recordings, results, train
from whalefinder.cli.common import app

__all__ = ["app", "archive", "explain", "export", "judge", "main", "recordings", "results", "train"]

_ORDER = (recordings, archive, results, explain, judge, export)
app.registered_commands.sort(key=lambda command: _ORDER.index(sys.modules[getattr(command.callback, "__module__", "")]))


def main() -> None:
    """Entry point of the `whalefinder` command."""
    app()
