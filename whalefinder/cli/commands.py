"""All commands in one `app`: each module adds its own when it is imported. `--help` lists them in order of work."""

from __future__ import annotations

import sys

from whalefinder.cli import archive, calibrate, explain, export, judge, plan, recordings, results, train
from whalefinder.cli.common import app

__all__ = ["app", "archive", "calibrate", "explain", "export", "judge", "plan", "recordings", "results", "train"]

_ORDER = (recordings, plan, calibrate, archive, results, explain, judge, export)
app.registered_commands.sort(key=lambda command: _ORDER.index(sys.modules[getattr(command.callback, "__module__", "")]))
