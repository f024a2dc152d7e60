"""Formats of times in names, as for strptime, that users give."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from whalefinder.errors import OptionError

PROBE = datetime(2019, 11, 23, 17, tzinfo=UTC)
"""A moment of which nothing can be taken for a default or for something else."""
PARTS = ("year", "month", "day", "hour")
EXAMPLE = "example: %Y%m%d_%H%M%S"


def checked_format(time_format: str) -> str:
    """The same format.

    Raises:
        OptionError: it is none, or a time that is written with it has lost its year, month, day or hour.
    """
    try:
        read = datetime.strptime(PROBE.strftime(time_format), time_format)
    except (ValueError, re.error) as reason:
        repeated = "a part stands in it twice" if isinstance(reason, re.error) else "it cannot be read back"
        raise OptionError(f"`time_format` {time_format!r} is no format of a time, {repeated}; {EXAMPLE}") from reason
    missing = [part for part in PARTS if getattr(read, part) != getattr(PROBE, part)]
    if missing:
        raise OptionError(
            f"`time_format` {time_format!r} gives no {' and no '.join(missing)}; a start needs date and hour, {EXAMPLE}"
        )
    return time_format
