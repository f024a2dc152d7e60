"""Recordings of one mono file per hydrophone: which files belong together, and whether they fit together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from whalefinder.array.geometry import HydrophoneArray
from whalefinder.errors import ArrayError, RecordingError
from whalefinder.sound.header_times import header_time
from whalefinder.sound.start_time import start_time

SHARE_OF_ENDS_S = 0.1
"""Files of one recorder may end by this much apart, when it writes them one after the other."""
SAME_BEGIN_S = 1e-3
"""Times in headers that are further apart than this are those of different begins. They have milliseconds."""
A_LITTLE_LATER_S = 60.0
LOOKED_AT = 2000
"""Names of a folder that are read to explain why a file is missing."""
WIDTHS = (1, 2, 3)
"""Digits of a number of a channel. Names of one recording may mix `1` and `02`."""
CHANNEL = {"numbers": r"(?P<channel>\d+)", "letters": r"(?P<channel>[A-Za-z])"}


def pattern_expression(pattern: str, kind: str = "numbers") -> re.Pattern[str]:
    """Turn a file pattern such as `AMAR*.{channel}.*.wav` into a regular expression with a group `channel`.

    Args:
        pattern: the pattern. `*` is any text and `?` any letter.
        kind: whether the channels have `numbers` or `letters`.

    Raises:
        ArrayError: `{channel}` is not in the pattern exactly once.
    """
    if pattern.count("{channel}") != 1:
        raise ArrayError(f"file_pattern = {pattern!r} must hold {{channel}} once, as in 'AMAR*.{{channel}}.*.wav'")
    parts = re.split(r"(\*|\?|\{channel\})", pattern)
    table = {"*": "(.*?)", "?": "(.)", "{channel}": CHANNEL[kind]}
    return re.compile("".join(table.get(part, re.escape(part)) for part in parts) + "$")


def channel_in(name: str, pattern: str) -> re.Match[str] | None:
    """Where a name has its channel, or None if it does not fit the pattern. Numbers are tried before letters."""
    return next(filter(None, (pattern_expression(pattern, kind).match(name) for kind in CHANNEL)), None)


def files_of_all_channels(path: Path, array: HydrophoneArray) -> tuple[Path, ...]:
    """The file of each hydrophone. The names differ only in the number or letter of the channel.

    Numbers may begin at 1 or at 0, letters at A: channel 1 of the array is the first of them.

    Raises:
        RecordingError: the name does not fit the pattern, the file of a hydrophone is missing, or there are more files than
            the array describes.
    """
    pattern = str(array.file_pattern)
    match = channel_in(path.name, pattern)
    if match is None:
        raise RecordingError(
            f"{path}: does not fit file_pattern {pattern!r} of array {array.name!r}; "
            "{channel} stands for a number or one letter"
        )
    described = array.num_channels + len(array.unused_channels)
    found = _siblings(path, match, max(2 * described, *array.channels) + 1)
    if len(found) > described:
        raise RecordingError(
            f"{path}: there are files of {len(found)} channels ({_listed(path, match, found)}), but array {array.name!r} "
            f"describes {described}; move the file without a hydrophone, or name its channel in unused_channels"
        )
    first = 0 if 0 in found else 1
    for channel in array.channels:
        if channel + first not in found:
            raise RecordingError(_missing(path, match, channel, array, found))
    return tuple(found[channel + first] for channel in array.channels)


def _siblings(path: Path, match: re.Match[str], last: int) -> dict[int, Path]:
    """The files that differ from `path` in the channel only, by its number up to `last`. Letters count from 1, as A.

    Raises:
        RecordingError: two files have the same number, as `1` and `01`.
    """
    begin, end = match.span("channel")
    own = match["channel"]
    found: dict[int, Path] = {}
    for number in range(last + 1):
        if own.isalpha():
            letter = chr(ord("A") + number - 1)
            names = [letter if own.isupper() else letter.lower()] if 1 <= number <= 26 else []
        else:
            names = sorted({str(number).zfill(width) for width in (len(own), *WIDTHS)})
        files = [path.with_name(path.name[:begin] + name + path.name[end:]) for name in names]
        there = [file for file in files if file.exists()]
        if len(there) > 1:
            raise RecordingError(f"{there[0]}: {there[1].name} has the same number of a channel; move one of them away")
        if there:
            found[number] = there[0]
    return found


def _listed(path: Path, match: re.Match[str], found: dict[int, Path]) -> str:
    """The channels of files, as in their names."""
    begin, end = match.span("channel")
    behind = len(path.name) - end
    return ", ".join(file.name[begin : len(file.name) - behind] for file in found.values())


def _missing(path: Path, match: re.Match[str], channel: int, array: HydrophoneArray, found: dict[int, Path]) -> str:
    """One line about the missing file of a channel. It names a file of that channel with almost the same time."""
    from_zero = 0 in found
    began = start_time(path.name).utc
    for other in islice(path.parent.iterdir(), LOOKED_AT) if began else ():
        fits = channel_in(other.name, str(array.file_pattern))
        if fits is None or _number(fits["channel"]) != channel + (not from_zero):
            continue
        late = start_time(other.name).utc
        apart_s = 0.0 if late is None or began is None else (late - began).total_seconds()
        if 0 < abs(apart_s) <= A_LITTLE_LATER_S:
            when = "later" if apart_s > 0 else "earlier"
            return (
                f"{path}: {other.name} begins {abs(apart_s):g} s {when}; bearings need files that begin at the same "
                "sample, cut them to a common begin and give them the same time"
            )
    own = match["channel"]
    kind = "letters from A" if own.isalpha() else "numbers from 0" if from_zero else "numbers from 1"
    there = _listed(path, match, found)
    return f"{path}: no file for channel {channel + 1} ({kind}; there are {there}); every hydrophone needs its file"


def _number(channel: str) -> int:
    return ord(channel.upper()) - ord("A") + 1 if channel.isalpha() else int(channel)


def check_side_by_side(paths: Sequence[Path], seconds: Sequence[float], *, cut_short: bool) -> list[str]:
    """Whether the files of the channels can be laid side by side. → warnings, one line each.

    A file that is shorter than the others begins later, lacks samples, or ends earlier; nothing in it tells which.
    In the first two cases all bearings would be wrong, with small standard deviations. So it is refused.

    Args:
        paths: a file for each channel.
        seconds: their lengths.
        cut_short: whether a header says that the end of a file is missing, which explains a difference.

    Raises:
        RecordingError: the files have different begins or lengths.
    """
    if len(paths) < 2:
        return []
    headers = [header_time(path) for path in paths]
    begins = [told.utc() for told in headers if told is not None]
    if len(begins) == len(paths) and (apart := (max(begins) - min(begins)).total_seconds()) > SAME_BEGIN_S:
        late = paths[begins.index(max(begins))]
        raise RecordingError(
            f"{late}: begins {apart:g} s later than the other channels, as the headers say; "
            "cut all files to the same begin and length"
        )
    short, long = min(seconds), max(seconds)
    said = f"lasts {short:.3f} s, another channel {long:.3f} s"
    odd = paths[list(seconds).index(short)]
    if long - short > SHARE_OF_ENDS_S and not cut_short:
        raise RecordingError(
            f"{odd}: {said}; if it begins later or lacks samples all bearings would be wrong, so it is not used: "
            "cut all files to the same begin and length"
        )
    if long - short > SAME_BEGIN_S:
        return [f"{odd.name}: {said}; bearings are right only if it begins with the others and ends earlier"]
    return []


def group_recordings(paths: list[Path], array: HydrophoneArray | None) -> list[Path]:
    """One path per recording: the first of the files that are channels of one recording."""
    return [group[0] for group in groups_of_channels(paths, array)]


def groups_of_channels(paths: list[Path], array: HydrophoneArray | None) -> list[list[Path]]:
    """The files of each recording. It has several if `array.file_pattern` is given: one mono file per channel."""
    if array is None or array.file_pattern is None:
        return [[path] for path in paths]
    groups: dict[str, list[Path]] = {}
    for path in paths:
        match = channel_in(path.name, array.file_pattern)
        key = str(path) if match is None else _without_channel(path, match)
        groups.setdefault(key, []).append(path)
    return list(groups.values())


def _without_channel(path: Path, match: re.Match[str]) -> str:
    begin, end = match.span("channel")
    return str(path.with_name(path.name[:begin] + "#" + path.name[end:]))
