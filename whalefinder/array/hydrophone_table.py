"""Reading tables of hydrophone positions: those of PAMGuard, of XAV-arrays, and plain tables of x, y, z in metres."""

from __future__ import annotations

import csv
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from whalefinder.array.geometry import HydrophoneArray, attitude
from whalefinder.array.physics import check
from whalefinder.errors import ArrayError

Row = dict[str, str]
AXIS = re.compile(r"([xyz])(?:[ _]*[(\[]?m[)\]]?)?")
"""Names of a column of positions in metres: x, x_m, x (m), x [m]."""
CHANNELS = ("channel", "ch", "hydrophone", "id")
"""Names of a column of channels, from 1."""
XAV_CHANNELS = ("array_channel", "audio_file_channel")
SOUND_SPEED = ("sound_speed_m_s", "sound_speed")


def import_table(
    path: Path | str,
    sound_speed_m_s: float | None = None,
    *,
    depth_m: float | None = None,
    heading_deg: float = 0.0,
    pitch_deg: float = 0.0,
    roll_deg: float = 0.0,
    **facts: Any,
) -> HydrophoneArray:
    """Read a table of hydrophone positions as an array. The header tells which program wrote the table.

    * XAV-arrays: `name,x,y,z,audio_file_channel,…` in metres, one row per hydrophone.
    * PAMGuard: `…,x,y,z,xErr,yErr,zErr,streamerId,hydrophoneId,…`, x starboard, y forward, z up (typed
      depths are stored negative). If a hydrophone has rows with several time stamps, its first row counts.
      The centre of the hydrophones becomes the origin of the array, and its depth the array's depth.
    * Any other: x, y, z in metres (east, north, up), one row per hydrophone in the order of the channels, or with a
      column `channel` (from 1). Without a header the three columns are x, y, z. Cells are divided by commas,
      semicolons, tabs or spaces; lines that begin with # are comments.

    Args:
        path: the table, a text file in UTF-8.
        sound_speed_m_s: metres per second, or None if the table has a column `sound_speed_m_s`.
        depth_m: depth of the array's origin in metres, positive down, or None if unknown.
        heading_deg: direction of the table's y axis, clockwise from true north.
        pitch_deg, roll_deg: how the array is tilted, positive with y up and with x down (docs/conventions.md).
        facts: further fields of `HydrophoneArray`, such as `position_error_m`. None: as in the table, or unknown.

    Raises:
        ArrayError: the file is not such a table, there is no sound speed, or no such array can exist.
    """
    path = Path(path)
    rows = _rows(path)
    columns = set(rows[0])
    try:
        speed = _sound_speed(rows) if sound_speed_m_s is None else sound_speed_m_s
        kind = _from_plain
        if {"hydrophoneId", "x", "y", "z"} <= columns:
            kind = _from_pamguard
        elif {"name", "x", "y", "z"} <= columns and columns & set(XAV_CHANNELS):
            kind = _from_xav
        array = kind(path, rows, speed, depth_m)
        turned = array.positions_m @ attitude(heading_deg, pitch_deg, roll_deg).T
        given = {name: value for name, value in facts.items() if value is not None}
        return check(replace(array, positions_m=turned, **given))
    except ValueError as reason:
        raise ArrayError(f"{path}: {reason}; coordinates and channels must be numbers") from reason
    except ArrayError as reason:
        raise ArrayError(f"{path}: {reason}") from reason


def _rows(path: Path) -> list[Row]:
    """Every row as a dictionary by column. Three columns without a header are x, y, z."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as reason:
        raise ArrayError(f"{path}: cannot read the table ({reason}); it must be text in UTF-8") from reason
    lines = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    cells = [[cell.strip() for cell in row] for row in _cells(lines)]
    if not cells:
        raise ArrayError(f"{path}: holds no hydrophones; one line per hydrophone is needed, with x, y, z in metres")
    if all(map(_is_number, cells[0])):
        header = ["x", "y", "z"]
        if len(cells[0]) != 3:
            raise ArrayError(
                f"{path}: {len(cells[0])} columns without a header; give x, y, z in metres, or name the columns"
            )
    else:
        header, *cells = cells
    if not cells:
        raise ArrayError(f"{path}: holds a header and no hydrophones; one line per hydrophone is needed")
    long = next((k for k, row in enumerate(cells, start=1) if len(row) > len(header) and any(row[len(header) :])), None)
    if long is not None:
        raise ArrayError(
            f"{path}: hydrophone {long} has {len(cells[long - 1])} of {len(header)} columns; "
            "divide them by semicolons where commas are decimal points"
        )
    short = next((k for k, row in enumerate(cells, start=1) if len(row) < len(header)), None)
    if short is not None:
        raise ArrayError(
            f"{path}: hydrophone {short} has {len(cells[short - 1])} of {len(header)} columns; complete it"
        )
    return [dict(zip(header, row, strict=False)) for row in cells]


def _cells(lines: list[str]) -> list[list[str]]:
    if not lines:
        return []
    if ";" in lines[0]:  # where commas are decimal points
        return [[cell.replace(",", ".") for cell in row] for row in csv.reader(lines, delimiter=";")]
    divider = next((sign for sign in ",\t" if sign in lines[0]), None)
    if divider != ",":
        cells = [line.split() for line in lines] if divider is None else list(csv.reader(lines, delimiter=divider))
        return [[re.sub(r"^(-?\d+),(\d+)$", r"\1.\2", cell) for cell in row] for row in cells]
    return list(csv.reader(lines))


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _sound_speed(rows: list[Row]) -> float:
    column = next((name for name in SOUND_SPEED if name in rows[0]), None)
    if column is None:
        raise ArrayError(
            "no sound speed; give it in m/s (in sea water it is about 1480), or in a column sound_speed_m_s"
        )
    values = {float(row[column]) for row in rows}
    if len(values) > 1:
        raise ArrayError(f"{column} differs between rows ({min(values):g} to {max(values):g} m/s); an array has one")
    return values.pop()


def _from_plain(path: Path, rows: list[Row], c: float, depth_m: float | None) -> HydrophoneArray:
    axes = {found[1]: name for name in rows[0] if (found := AXIS.fullmatch(name.lower()))}
    if set(axes) != set("xyz"):
        raise ArrayError(
            f"columns {', '.join(rows[0])} hold no positions; needed are x, y, z in metres, or the table of PAMGuard "
            "(hydrophoneId, x, y, z) or XAV-arrays (name, x, y, z)"
        )
    numbered = [name for name in rows[0] if name.lower() in CHANNELS]
    unknown = set(rows[0]) - set(axes.values()) - set(numbered) - {"name", *SOUND_SPEED}
    if len(numbered) > 1 or unknown:
        raise ArrayError(
            f"columns {', '.join(sorted(unknown or numbered))} cannot be used; leave x, y, z, one of "
            f"{', '.join(CHANNELS)}, name and sound_speed_m_s, and write the rest into the array file"
        )
    positions = np.array([[float(row[axes[axis]]) for axis in "xyz"] for row in rows])
    channels = tuple(_channel(row[numbered[0]]) if numbered else k for k, row in enumerate(rows))
    if min(channels) < 0:  # channels that count from 0
        channels = tuple(channel + 1 for channel in channels)
    return HydrophoneArray(name=path.stem, positions_m=positions, sound_speed_m_s=c, channels=channels, depth_m=depth_m)


def _channel(text: str) -> int:
    """A channel of a table, which counts from 1, as the program counts it."""
    return int(float(text)) - 1


def _from_pamguard(path: Path, rows: list[Row], c: float, depth_m: float | None) -> HydrophoneArray:
    first: dict[int, Row] = {}
    for row in rows:
        first.setdefault(int(float(row["hydrophoneId"])), row)
    ids = sorted(first)
    if ids != list(range(len(ids))) and ids != list(range(1, len(ids) + 1)):
        raise ArrayError(f"hydrophoneId {ids[0]} to {ids[-1]} has gaps; number the hydrophones from 0, as the channels")
    positions = np.array([[float(first[i][axis]) for axis in "xyz"] for i in ids])
    centre = positions.mean(axis=0)
    errors = [float(first[i].get(name) or 0.0) for i in ids for name in ("xErr", "yErr", "zErr")]
    if depth_m is None and centre[2] < 0:
        depth_m = -float(centre[2])
    error = float(np.sqrt(np.mean(np.square(errors))))
    return HydrophoneArray(
        name=path.stem,
        positions_m=positions - centre,
        sound_speed_m_s=c,
        channels=tuple(range(len(ids))),
        depth_m=depth_m,
        position_error_m=error,
    )


def _from_xav(path: Path, rows: list[Row], c: float, depth_m: float | None) -> HydrophoneArray:
    positions = np.array([[float(row[axis]) for axis in "xyz"] for row in rows])
    key = next((name for name in XAV_CHANNELS if rows[0].get(name)), XAV_CHANNELS[-1])
    numbers = [int(float(row.get(key) or k)) for k, row in enumerate(rows)]
    if len(set(numbers)) < len(numbers):  # one file per hydrophone: every row says channel 0 or 1 of its own file
        numbers = list(range(len(rows)))
    channels = tuple(numbers)
    return HydrophoneArray(name=path.stem, positions_m=positions, sound_speed_m_s=c, channels=channels, depth_m=depth_m)
