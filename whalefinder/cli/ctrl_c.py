"""What Ctrl-C does. While modules are imported there is nothing to keep, so it ends the program with one line.

An exception would not do: it would rise in the middle of an import, which some libraries catch and which others print.
"""

from __future__ import annotations

import os
import signal
from types import FrameType

STOPPED = 130
"""The exit code of a program that was stopped by Ctrl-C: 128 + SIGINT."""


def ends_at_once() -> None:
    """From now on Ctrl-C ends the program with one line, unless its caller has set something else."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def is_raised() -> None:
    """From now on Ctrl-C raises KeyboardInterrupt again, for work whose results are to be kept."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, frame: FrameType | None) -> None:
    os.write(2, b"stopped before anything was done\n")
    os._exit(STOPPED)
