"""The start time of a recording, read from its file name.

Times are read as UTC, as is usual in the field, unless an offset follows an ISO 8601 time. The file's modification time
is never used. The patterns follow PAMGuard's list and the manuals of recorders (SoundTrap, AudioMoth, icListen, AMAR,
RTSys, Song Meter, …).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from whalefinder.errors import RecordingError

# (regular expression, strptime format), the most specific first. No digit may stand directly before or after.
PATTERNS = (
    (r"\d{4}_\d{2}_\d{2}_\d{2}_\d{2}_\d{2}", "%Y_%m_%d_%H_%M_%S"),
    (r"\d{4}-\d{2}-\d{2}_\d{2}-\d{2}-\d{2}", "%Y-%m-%d_%H-%M-%S"),
    (r"\d{4}\.\d{2}\.\d{2}_\d{2}\.\d{2}\.\d{2}", "%Y.%m.%d_%H.%M.%S"),
    (r"\d{8}T\d{6}", "%Y%m%dT%H%M%S"),
    (r"\d{8}_\d{6}_\d{3,6}", "%Y%m%d_%H%M%S_%f"),
    (r"\d{8}[_$-]\d{6}", "%Y%m%d#%H%M%S"),
    (r"\d{14}", "%Y%m%d%H%M%S"),
    (r"\d{6}[_-]\d{6}", "%y%m%d#%H%M%S"),
    (r"\d{5}[_-]\d{6}", "%y%j#%H%M%S"),
    (r"\d{12}", "%y%m%d%H%M%S"),
)
AMBIGUOUS = {"%y%m%d#%H%M%S", "%y%j#%H%M%S", "%y%m%d%H%M%S"}
"""Formats with a year of two digits. Their digits could also mean day, month, year."""

OFFSET = re.compile(r"[+-](0\d|1[0-4])(00|15|30|45)(?!\d)")


@dataclass(frozen=True)
class StartTime:
    """A start time read from a file name.

    Args:
        utc: the start in UTC, or None if the name holds no time.
        warning: one line if the name could be read in another way, or None.
        text: the part of the name that was read.
    """

    utc: datetime | None
    warning: str | None = None
    text: str = ""


def start_time(name: str, time_format: str | None = None) -> StartTime:
    """Read the start time from a file name.

    Args:
        name: the file name without its folder.
        time_format: a strptime format that a part of the name matches. It is used instead of the list `PATTERNS`.

    Raises:
        RecordingError: `time_format` fits no part of the name.

    >>> start_time("AMAR173.4.20190920T163858Z.wav").utc.isoformat()
    '2019-09-20T16:38:58+00:00'
    """
    if time_format is not None:
        return _by_format(name, time_format)
    for pattern, layout in PATTERNS:
        for match in re.findall(rf"(?<!\d){pattern}(?!\d)", name):
            text = re.sub(r"[_$-]", "#", match) if "#" in layout else match
            try:
                found = datetime.strptime(text, layout).replace(tzinfo=UTC)
            except ValueError:
                continue
            if not 1970 <= found.year <= 2100:
                continue
            warning = None
            if layout in AMBIGUOUS:
                warning = (
                    f"{name}: start read as {found:%Y-%m-%d %H:%M:%S} UTC from {match}; if wrong give `time_format`"
                )
            offset = OFFSET.match(name.partition(match)[2]) if "T" in layout else None
            if offset:  # only after a time with ISO 8601's T: elsewhere such digits are file numbers
                found = datetime.strptime(match + offset[0], layout + "%z").astimezone(UTC)
            return StartTime(found, warning, match)
    return StartTime(None)


def _by_format(name: str, time_format: str) -> StartTime:
    # Try every part of the name: recorders put serial numbers before the time and channel numbers after it.
    width = _width(time_format)
    for begin in range(len(name)):
        for end in range(len(name), begin, -1) if width is None else (begin + width,):
            try:
                found = datetime.strptime(name[begin:end], time_format)
            except ValueError:
                continue
            # strptime accepts "7" for %m. Accept only text that strftime would write, with no digit before or after it.
            around = name[begin - 1 : begin] + name[end : end + 1]
            same = "%f" in time_format or found.strftime(time_format) == name[begin:end]
            if not same or any(c.isdigit() for c in around):
                continue
            found = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
            return StartTime(found, text=name[begin:end])
    raise RecordingError(f"`time_format` {time_format!r} fits no part of {name!r}; example: %Y%m%d_%H%M%S")


def _width(time_format: str) -> int | None:
    """Number of characters that a format takes, or None if it varies. A known number makes many names quick to read."""
    digits = {"%Y": 4, "%j": 3, **dict.fromkeys(("%m", "%d", "%H", "%M", "%S", "%y"), 2)}
    codes = re.findall(r"%.", time_format)
    if not set(codes) <= set(digits):
        return None
    return len(re.sub(r"%.", "", time_format)) + sum(digits[code] for code in codes)
