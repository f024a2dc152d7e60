"""Detections and tracks as rows, and CSV files that grow during a run. `schema` says what the columns mean."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from whalefinder.errors import OptionError
from whalefinder.files import replacing, writing
from whalefinder.results.ambiguity import words
from whalefinder.results.records import SHOWN_DIGITS, Detection, Track
from whalefinder.results.schema import CALIBRATION, DETECTIONS, HEALTH, RECORDINGS, TRACKS, names
from whalefinder.words import printable

COLUMNS = names(DETECTIONS)[:14]
"""The first columns of `detections.csv`. Their order never changes."""
EXTRA_COLUMNS = names(DETECTIONS)[14:]
TRACK_COLUMNS = names(TRACKS)
RECORDING_COLUMNS = names(RECORDINGS)
HEALTH_COLUMNS = names(HEALTH)
CALIBRATION_COLUMNS = names(CALIBRATION)
FORMATS = ("csv", "parquet", "raven", "audacity", "dcase", "json", "jsonl")


class Heard(Protocol):
    """What `recordings.csv` needs to know of a recording that was searched. `Recording` has all of it."""

    @property
    def name(self) -> str:
        """Name of the recording, as in the other tables."""

    @property
    def paths(self) -> Sequence[Path]:
        """Paths of its files."""

    @property
    def start_utc(self) -> datetime | None:
        """Time of the first sample, or None if unknown."""

    @property
    def rate_hz(self) -> int:
        """Sample rate of the file."""

    @property
    def begin_s(self) -> float:
        """Begin of the part that is searched, seconds from the start of the file."""

    @property
    def duration_s(self) -> float:
        """Length of the part that is searched, in seconds."""

    @property
    def file_s(self) -> float:
        """Length of the file in seconds."""

    @property
    def num_channels(self) -> int:
        """Number of channels that are used."""


def parse_formats(text: str) -> tuple[str, ...]:
    """Split a list of formats, `"csv,raven"` → `("csv", "raven")`. CSV is always in the result.

    Raises:
        OptionError: a format is unknown.
    """
    wanted = [part.strip().lower() for part in text.split(",") if part.strip()]
    unknown = [name for name in wanted if name not in FORMATS]
    if unknown:
        raise OptionError(f"`formats` {unknown[0]!r} is unknown; choose from {', '.join(FORMATS)}")
    return tuple(dict.fromkeys(["csv", *wanted]))


def row_of(detection: Detection) -> dict[str, Any]:
    """One detection as a row: rounded numbers, and None for unknown values."""
    bearing = detection.bearing
    start = detection.start_utc
    return {
        "recording": detection.recording,
        "begin_s": round(detection.begin_s, 3),
        "end_s": round(detection.end_s, 3),
        "start_utc": utc_text(start),
        "low_hz": round(detection.low_hz, 1),
        "high_hz": round(detection.high_hz, 1),
        "label": detection.label,
        "probability": round(detection.probability, SHOWN_DIGITS),
        "snr_db": round(detection.snr_db, 2),
        "azimuth_deg": None if detection.azimuth_deg is None else _azimuth(detection.azimuth_deg),
        "elevation_deg": _rounded(detection.elevation_deg),
        "azimuth_sd_deg": _rounded(detection.azimuth_sd_deg),
        "elevation_sd_deg": _rounded(detection.elevation_sd_deg),
        "ambiguity": "" if bearing is None else words(bearing.ambiguity),
        "range_m": None if bearing is None else _rounded(bearing.range_m, 1),
        "channel": None if detection.channel is None else detection.channel + 1,
        "level_db": _rounded(detection.level_db, 2),
        "fit": None if bearing is None or bearing.fit is None else float(f"{bearing.fit:.3g}"),
        "range_sd_m": None if bearing is None else _rounded(bearing.range_sd_m, 1),
        "correlation": None if bearing is None else _rounded(bearing.correlation),
        "error_50_deg": None if bearing is None else _rounded(bearing.error_50_deg),
        "error_90_deg": None if bearing is None else _rounded(bearing.error_90_deg),
        "remark": "" if bearing is None else bearing.remark,
    }


def rows_of(track: Track) -> Iterator[dict[str, Any]]:
    """One track as rows, one for each second."""
    for k in range(len(track.time_s)):
        yield {
            "track": track.number,
            "time_s": round(float(track.time_s[k]), 3),
            "azimuth_deg": _azimuth(float(track.azimuth_deg[k])),
            "elevation_deg": round(float(track.elevation_deg[k]), 4),
            "azimuth_sd_deg": round(float(track.azimuth_sd_deg[k]), 4),
            "elevation_sd_deg": round(float(track.elevation_sd_deg[k]), 4),
            "calls": int(track.calls[k]),
            "recording": track.recording,
            "tracker": track.tracker,
        }


def row_of_recording(recording: Heard) -> dict[str, Any]:
    """One recording as a row."""
    return {
        "recording": recording.name,
        "path": printable(str(recording.paths[0].absolute())),
        "start_utc": utc_text(recording.start_utc),
        "duration_s": round(recording.file_s, 6),
        "rate_hz": float(recording.rate_hz),
        "channels": recording.num_channels,
        "heard_from_s": round(recording.begin_s, 6),
        "heard_to_s": round(recording.begin_s + recording.duration_s, 6),
    }


def utc_text(moment: datetime | None) -> str | None:
    """Text of a time in UTC, as in all tables: `2026-07-01T12:00:01.000Z`. None if the time is unknown."""
    return None if moment is None else moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _azimuth(degrees: float) -> float:
    return round(degrees, 4) % 360.0


def _rounded(value: float | None, digits: int = 4) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, digits)


class CsvWriter:
    """A CSV file that is written row by row during a run, so that the rows are kept if the run is stopped.

    Raises:
        OutputError: the file cannot be written (also by `write` and `close`).
    """

    def __init__(self, path: Path, columns: tuple[str, ...], rows: Iterable[dict[str, Any]] = ()) -> None:
        self.path, self.columns = path, columns
        self._begin(rows)

    def _begin(self, rows: Iterable[dict[str, Any]]) -> None:
        with replacing(self.path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, self.columns)
            table.writeheader()
            table.writerows(rows)
        with writing(self.path):
            self._file = self.path.open("a", newline="", encoding="utf-8")
        self._rows = csv.DictWriter(self._file, self.columns)

    def rewrite(self, rows: Iterable[dict[str, Any]]) -> None:
        """Replace all rows, as a whole or not at all. Later rows follow them."""
        self.close()
        self._begin(rows)

    def write(self, rows: Iterable[dict[str, Any]]) -> None:
        """Append rows and pass them to the operating system at once."""
        with writing(self.path):
            self._rows.writerows(rows)
            self._file.flush()

    def close(self) -> None:
        """Close the file. A disk that is full only now is reported too."""
        with writing(self.path):
            self._file.close()


def write_table(path: Path, columns: tuple[str, ...], rows: Iterable[dict[str, Any]]) -> None:
    """Write a whole CSV file.

    Raises:
        OutputError: it cannot be written.
    """
    CsvWriter(path, columns, rows).close()
