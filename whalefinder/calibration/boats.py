"""Tracks of boats, from AIS or GPS: where each boat was at each time, relative to the array.

A table (CSV) with a header: `time` (UTC), then `east_m` and `north_m` from the array's origin, or `latitude` and
`longitude` in degrees; and `boat` (or `mmsi`, `name`) if it has more than one boat.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from whalefinder.array.array_file import text_of
from whalefinder.array.geometry import Floats
from whalefinder.errors import OptionError

NAMES = {
    "time": ("time", "time_utc", "utc", "timestamp", "datetime", "basedatetime"),
    "boat": ("boat", "mmsi", "name", "vessel"),
    "east": ("east_m", "x_m"),
    "north": ("north_m", "y_m"),
    "latitude": ("latitude", "lat", "latitude_deg"),
    "longitude": ("longitude", "lon", "lng", "longitude_deg"),
}
"""Names of columns, small letters."""
MOST_GAP_S = 120.0
"""Between two fixes that are further apart nothing is known of the boat."""
MOST_RANGE_M = 50_000.0
EQUATOR_M, FLATTENING = 6_378_137.0, 1 / 298.257223563
"""Of the ellipsoid of WGS 84 (NIMA TR8350.2)."""


@dataclass(frozen=True, kw_only=True)
class Boat:
    """One boat: `time_s` `[fix]` s of Unix time in rising order, `place_m` `[fix, 2]` (east, north) m from the array."""

    name: str
    time_s: Floats
    place_m: Floats

    def at(self, time_s: Floats) -> Floats:
        """Place at some times, by straight lines between fixes. `[...]` s → `[..., 2]` m, NaN where it is unknown."""
        place = np.stack([np.interp(time_s, self.time_s, self.place_m[:, axis]) for axis in (0, 1)], axis=-1)
        after = np.clip(np.searchsorted(self.time_s, time_s), 1, max(1, len(self.time_s) - 1))
        inside = (time_s >= self.time_s[0]) & (time_s <= self.time_s[-1])
        if len(self.time_s) < 2:
            return np.full_like(place, np.nan)
        near = self.time_s[after] - self.time_s[after - 1] <= MOST_GAP_S
        return np.where((inside & near)[..., None], place, np.nan)

    def heard_at(self, time_s: Floats, sound_speed_m_s: float) -> Floats:
        """Place from which the sound came that is heard at some times. As `at`."""
        place = self.at(time_s)
        for _ in range(2):  # each round makes the error v/c = 1/100 as large
            place = self.at(time_s - np.linalg.norm(place, axis=-1) / sound_speed_m_s)
        return place


def load_boats(path: Path, place_deg: tuple[float, float] | None = None) -> list[Boat]:
    """Read the tracks of boats.

    Args:
        path: a table (see the module).
        place_deg: latitude and longitude of the array's origin; only a table of latitudes and longitudes needs it.

    Raises:
        OptionError: the table cannot be read, or a value is wrong. The line names the row.
    """
    try:
        lines = text_of(path.read_bytes()).splitlines()
    except (OSError, UnicodeDecodeError) as reason:
        said = getattr(reason, "strerror", None) or "not a text in UTF-8"
        raise OptionError(f"`track` {path}: cannot be read ({said}); give a CSV file") from reason
    divider = ";" if lines and lines[0].count(";") > lines[0].count(",") else ","
    rows = list(csv.DictReader(lines, delimiter=divider))
    columns = _columns(path, list(rows[0]) if rows else lines[0].split(divider) if lines else [])
    if "latitude" in columns and "east" not in columns and place_deg is None:
        raise OptionError(
            f"`track` {path}: has latitudes and longitudes; give those of the array with `place`, as in 48.5158,-123.1528"
        )
    found: dict[str, list[tuple[float, float, float]]] = {}
    for number, row in enumerate(rows, start=2):
        name = (row.get(columns.get("boat", "")) or "boat").strip()
        found.setdefault(name, []).append(_fix(path, number, row, columns, place_deg))
    if not found:
        raise OptionError(f"`track` {path}: holds no fixes; give a row for each time and boat")
    return [_boat(path, name, fixes) for name, fixes in found.items()]


def _columns(path: Path, header: list[str]) -> dict[str, str]:
    """The name of each column in the table, by what it holds."""
    small = {(name or "").strip().strip("\ufeff").lower(): name for name in header}
    columns = {what: small[known] for what, names in NAMES.items() for known in names if known in small}
    if "time" not in columns:
        raise OptionError(f"`track` {path}: no column time; the columns are {', '.join(small) or 'none'}")
    if not ({"east", "north"} <= set(columns) or {"latitude", "longitude"} <= set(columns)):
        raise OptionError(
            f"`track` {path}: no places; it needs east_m and north_m, or latitude and longitude (its columns: {', '.join(small)})"
        )
    return columns


def _fix(
    path: Path, number: int, row: dict[str, str], columns: dict[str, str], place_deg: tuple[float, float] | None
) -> tuple[float, float, float]:
    """Time (Unix, s), east and north (m) of one row."""
    text = (row.get(columns["time"]) or "").strip()
    try:
        time = datetime.fromisoformat(text.removesuffix(" UTC"))
    except ValueError as reason:
        raise OptionError(
            f"`track` {path}, line {number}: {text!r} is no time; give UTC as in 2026-07-01T12:00:00Z"
        ) from reason
    time_s = (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    if {"east", "north"} <= set(columns):
        east, north = (_number(path, number, row, columns[name], MOST_RANGE_M) for name in ("east", "north"))
        return time_s, east, north
    assert place_deg is not None
    latitude = _number(path, number, row, columns["latitude"], 90.0)
    longitude = _number(path, number, row, columns["longitude"], 180.0)
    east, north = metres_from(place_deg, (latitude, longitude))
    if math.hypot(east, north) > MOST_RANGE_M:
        raise OptionError(
            f"`track` {path}, line {number}: {math.hypot(east, north) / 1e3:.0f} km from `place` "
            f"{place_deg[0]:g},{place_deg[1]:g}; at most {MOST_RANGE_M / 1e3:.0f} km, correct one of them"
        )
    return time_s, east, north


def _number(path: Path, number: int, row: dict[str, str], column: str, most: float) -> float:
    text = (row.get(column) or "").strip()
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= most:
        raise OptionError(
            f"`track` {path}, line {number}: {column} = {text!r}; give a number from {-most:g} to {most:g}"
        )
    return value


def metres_from(place_deg: tuple[float, float], other_deg: tuple[float, float]) -> tuple[float, float]:
    """East and north in metres from one place to another, both (latitude, longitude) in degrees.

    On the ellipsoid of WGS 84 with its radii of curvature at the first place: along the meridian M = a (1 - e²) / w³, across
    it N = a / w, with w = √(1 - e² sin² φ). Within 10 km the plane is wrong by a few metres.

    >>> [round(x, 1) for x in metres_from((0.0, 0.0), (0.0, 1 / 60))]  # a minute of the equator
    [1855.3, 0.0]
    """
    e2 = FLATTENING * (2 - FLATTENING)
    latitude = math.radians(place_deg[0])
    w = math.sqrt(1 - e2 * math.sin(latitude) ** 2)
    turn = math.radians((other_deg[1] - place_deg[1] + 180) % 360 - 180)
    rise = math.radians(other_deg[0] - place_deg[0])
    return EQUATOR_M / w * math.cos(latitude) * turn, EQUATOR_M * (1 - e2) / w**3 * rise


def _boat(path: Path, name: str, fixes: list[tuple[float, float, float]]) -> Boat:
    table = np.array(sorted(set(fixes)))
    twice = np.flatnonzero(np.diff(table[:, 0]) == 0)
    if len(twice):
        when = datetime.fromtimestamp(table[twice[0], 0], UTC)
        raise OptionError(
            f"`track` {path}: {name} is at two places at {when:%Y-%m-%dT%H:%M:%SZ}; name the boats in a column boat"
        )
    return Boat(name=name, time_s=table[:, 0], place_m=table[:, 1:])


def place_of(text: str) -> tuple[float, float]:
    """Latitude and longitude of a text such as `48.5158,-123.1528`, in degrees.

    Raises:
        OptionError: it is no place.
    """
    try:
        latitude, longitude = (float(part) for part in text.split(","))
    except ValueError:
        latitude = longitude = math.nan
    if not (abs(latitude) <= 90 and abs(longitude) <= 180):
        raise OptionError(f"`place` {text!r}: give latitude and longitude in degrees, as in 48.5158,-123.1528")
    return latitude, longitude
