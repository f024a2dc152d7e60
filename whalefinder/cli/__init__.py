"""The command line: thin. Each command parses, calls the library, prints.

One module a group of commands; importing it adds them to `app`, in the order of `--help`.
"""

from __future__ import annotations

from whalefinder.cli import archive, explain, export, judge, recordings, results, train
from whalefinder.cli.common import app

__all__ = ["app", "archive", "explain", "export", "judge", "main", "recordings", "results", "train"]


def main() -> None:
    """Entry point of the `whalefinder` command."""
    app()
