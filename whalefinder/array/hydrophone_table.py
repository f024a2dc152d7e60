"""Reading tables of hydrophone positions: those of PAMGuard, of XAV-arrays, and plain tables of x, y, z in metres."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from whalefinder.array.array_file import MOST_CHANNELS, text_of, toml_of
from whalefinder.array.geometry import HydrophoneArray, attitude
from whalefinder.array.physics import check
from whalefinder.array.table_rows import Row, numbers, rows_of, whole_numbers
from whalefinder.errors import ArrayError

AXIS = re.compile(r"([xyz])(?:[ _]*[(\[]?m[)\]]?)?")
"""Names of a column of positions in metres: x, x_m, x (m), x [m]."""
SOUND_SPEED = ("sound_speed_m_s", "sound_speed")
CHANNEL = ("channel", "ch", "hydrophone", "id")
"""Names of a column of channels in a plain table, the best first. Of the last two, text is a name and no channel."""
XAV_CHANNEL = ("array_channel", "audio_file_channel")
NAMES = ("name", *CHANNEL[2:])
"""Columns whose text need not be kept."""


def import_table(
    path: Path | str,
    sound_speed_m_s: float | None = None,
    *,
    depth_m: float | None = None,
    heading_deg: float = 0.0,
    pitch_deg: float = 0.0,
    roll_deg: float = 0.0,
    say: Callable[[str], None] = print,
    **facts: Any,
) -> HydrophoneArray:
    """Read a table of hydrophone positions as an array. The header tells which program wrote the table.

    * XAV-arrays: `name,x,y,z,audio_file_channel,…` in metres, one row per hydrophone.
    * PAMGuard: `…,x,y,z,xErr,yErr,zErr,streamerId,hydrophoneId,…`, x starboard, y forward, z up (typed
      depths are stored negative). If a hydrophone has rows with several time stamps, its first row counts.
      The centre of the hydrophones becomes the origin of the array, and its depth the array's depth.
    * Any other: x, y, z in metres (east, north, up), one row per hydrophone in the order of the channels, or with a
      column `channel`, `ch`, `hydrophone` or `id`; and `sensitivity_db`. Without a header the three columns are x, y, z.
      Cells are divided by commas, semicolons, tabs or spaces (where it is no comma, commas are decimal points); lines
      that begin with # are comments.

    Channels that count from 0 are counted from 1, channels without a hydrophone are unused, and columns that are not
    used stay out of the array; each of these is said.

    Args:
        path: the table, a text file in UTF-8 or UTF-16.
        sound_speed_m_s: metres per second, or None if the table has a column `sound_speed_m_s`.
        depth_m: depth of the array's origin in metres, positive down, or None if unknown.
        heading_deg: direction of the table's y axis, clockwise from true north.
        pitch_deg, roll_deg: how the array is tilted, positive with y up and with x down (docs/conventions.md).
        say: is called with each line about what was changed or left out.
        facts: further fields of `HydrophoneArray`, such as `position_error_m`. None: as in the table, or unknown.

    Raises:
        ArrayError: the file is not such a table, there is no sound speed, or no such array can exist.
    """
    path = Path(path)
    rows = rows_of(path, _read(path))
    columns = set(rows[0])
    try:
        speed, speeds = (sound_speed_m_s, set(SOUND_SPEED)) if sound_speed_m_s is not None else _sound_speed(rows)
        kind = _from_plain
        if {"hydrophoneId", "x", "y", "z"} <= columns:
            kind = _from_pamguard
        elif {"x", "y", "z"} <= columns and columns & set(XAV_CHANNEL):
            kind = _from_xav
        found = kind(rows)
        if found.remark:
            say(f"{path}: {found.remark}")
        unused = [name for name in rows[0] if name and name not in (*found.used, *speeds) and name.lower() not in NAMES]
        if unused:
            say(f"{path}: not used: {', '.join(unused)}")
        array = HydrophoneArray(
            name=path.stem,
            positions_m=found.positions_m @ attitude(heading_deg, pitch_deg, roll_deg).T,
            sound_speed_m_s=speed,
            channels=found.channels,
            depth_m=found.depth_m if depth_m is None else depth_m,
            position_error_m=found.position_error_m,
            sensitivity_db=found.sensitivity_db,
        )
        given = {name: value for name, value in facts.items() if value is not None}
        array = _numbered(check(replace(array, **given)), path, say)
        toml_of(array, path)  # no file is written that cannot be read
        return array
    except ArrayError as reason:
        line = str(reason)
        raise ArrayError(line if line.startswith(f"{path}: ") else f"{path}: {line}") from reason


def _read(path: Path) -> str:
    try:
        text = text_of(path.read_bytes())
    except OSError as reason:
        raise ArrayError(f"{path}: cannot read the table ({reason.strerror}); give the path of a table") from reason
    except UnicodeDecodeError as reason:
        raise ArrayError(f"{path}: is neither UTF-8 nor UTF-16; save it as UTF-8") from reason
    if "\0" in text:
        raise ArrayError(f"{path}: is no table of text; save it as CSV in UTF-8")
    return text


@dataclass(kw_only=True)
class _Found:
    """What a table says. `used` are the columns that were read; `remark`: what was changed."""

    positions_m: np.ndarray
    channels: tuple[int, ...]
    used: tuple[str, ...]
    depth_m: float | None = None
    position_error_m: float = 0.0
    sensitivity_db: tuple[float, ...] | None = None
    remark: str = ""


def _numbered(array: HydrophoneArray, path: Path, say: Callable[[str], None]) -> HydrophoneArray:
    """The array, with channels that have no hydrophone as `unused_channels`. A pattern of files finds its channels."""
    last = max(array.channels)
    if array.file_pattern is not None or last >= MOST_CHANNELS:
        return array
    gaps = sorted(set(range(last)) - set(array.channels) - set(array.unused_channels))
    if gaps:
        say(
            f"{path}: no hydrophone on channel {', '.join(str(c + 1) for c in gaps)} of {last + 1}; "
            "written as unused_channels"
        )
    return replace(array, unused_channels=(*array.unused_channels, *gaps))


def _sound_speed(rows: list[Row]) -> tuple[float, set[str]]:
    column = next((name for name in SOUND_SPEED if name in rows[0]), None)
    if column is None:
        raise ArrayError(
            "no sound speed; give it in m/s (in sea water it is about 1480), or in a column sound_speed_m_s"
        )
    values = set(numbers(rows, column, "m/s"))
    if len(values) > 1:
        raise ArrayError(f"{column} differs between rows ({min(values):g} to {max(values):g} m/s); an array has one")
    return values.pop(), {column}


def _positions(rows: list[Row], x: str, y: str, z: str) -> np.ndarray:
    return np.array([numbers(rows, name, "metres") for name in (x, y, z)]).T


def _from_plain(rows: list[Row]) -> _Found:
    axes = {found[1]: name for name in rows[0] if (found := AXIS.fullmatch(name.lower()))}
    if set(axes) != set("xyz"):
        raise ArrayError(
            f"columns {', '.join(rows[0])} hold no positions; needed are x, y, z in metres, or the table of PAMGuard "
            "(hydrophoneId, x, y, z) or XAV-arrays (name, x, y, z, audio_file_channel)"
        )
    columns = {name.lower(): name for name in rows[0]}
    used = tuple(axes.values())
    channels = list(range(1, len(rows) + 1))
    column = next((columns[name] for name in CHANNEL if name in columns and _are_channels(rows, columns[name])), None)
    if column is not None:
        channels, used = whole_numbers(rows, column), (*used, column)
    first = min(1, *channels)
    sensitivity = columns.get("sensitivity_db")
    levels = None
    if sensitivity is not None:
        used = (*used, sensitivity)
        if any(row[sensitivity] for row in rows):
            levels = tuple(numbers(rows, sensitivity, "dB re 1 V/µPa"))
    return _Found(
        positions_m=_positions(rows, axes["x"], axes["y"], axes["z"]),
        channels=tuple(channel - first for channel in channels),
        used=used,
        sensitivity_db=levels,
        remark="" if first else "channels count from 0; written from 1, as in array files",
    )


def _are_channels(rows: list[Row], column: str) -> bool:
    """Whether a column holds channels: not if it is empty, and text in a column of names is a name."""
    cells = [row[column] for row in rows]
    return any(cells) and (column.lower() not in NAMES or all(cell.isdecimal() for cell in cells))


def _from_pamguard(rows: list[Row]) -> _Found:
    first: dict[int, Row] = {}
    for channel, row in zip(whole_numbers(rows, "hydrophoneId"), rows, strict=True):
        first.setdefault(channel, row)
    ids = sorted(first)
    from_1 = ids == list(range(1, len(ids) + 1))
    rows = [first[i] for i in ids]
    positions = _positions(rows, "x", "y", "z")
    centre = positions.mean(axis=0)
    errors = [name for name in ("xErr", "yErr", "zErr") if any(row.get(name) for row in rows)]
    squares = [np.square(numbers(rows, name, "metres")) for name in errors]
    return _Found(
        positions_m=positions - centre,
        channels=tuple(range(len(ids))) if from_1 else tuple(ids),
        used=("hydrophoneId", "x", "y", "z", "xErr", "yErr", "zErr"),
        depth_m=-float(centre[2]) if centre[2] < 0 else None,
        position_error_m=float(np.sqrt(np.sum(squares) / (3 * len(rows)))),
        remark="hydrophoneId counts from 1; taken as the channels from 1" if from_1 else "",
    )


def _from_xav(rows: list[Row]) -> _Found:
    key = next((name for name in XAV_CHANNEL if rows[0].get(name)), None)
    channels = list(range(len(rows))) if key is None else whole_numbers(rows, key)
    if len(set(channels)) < len(channels):  # one file per hydrophone: every row says channel 0 or 1 of its own file
        channels = list(range(len(rows)))
    return _Found(
        positions_m=_positions(rows, "x", "y", "z"), channels=tuple(channels), used=("x", "y", "z", *XAV_CHANNEL)
    )
