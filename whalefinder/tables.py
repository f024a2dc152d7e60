"""Detections as tables that other programs read: CSV, Parquet, Raven, DCASE, JSON."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import soundfile

from whalefinder.errors import OptionError, OutputError
from whalefinder.locate import Detection
from whalefinder.tracks import Track

COLUMNS = (
    "recording",
    "begin_s",
    "end_s",
    "start_utc",
    "low_hz",
    "high_hz",
    "label",
    "probability",
    "snr_db",
    "azimuth_deg",
    "elevation_deg",
    "azimuth_sd_deg",
    "elevation_sd_deg",
    "ambiguity",
)
"""The first columns of `detections.csv`, in this order, always."""
EXTRA_COLUMNS = ("range_m", "channel")
TRACK_COLUMNS = (
    "track",
    "time_s",
    "azimuth_deg",
    "elevation_deg",
    "azimuth_sd_deg",
    "elevation_sd_deg",
    "calls",
    "recording",
)
"""The columns of `tracks.csv`, one row a second; `calls`: how many were heard in the second before."""
FORMATS = ("csv", "parquet", "raven", "dcase", "json")
DCASE_FRAME_S = 0.1


def parse_formats(text: str) -> tuple[str, ...]:
    """`"csv,raven"` → `("csv", "raven")`; CSV is always written."""
    wanted = [part.strip().lower() for part in text.split(",") if part.strip()]
    unknown = [name for name in wanted if name not in FORMATS]
    if unknown:
        raise OptionError(f"--format {unknown[0]!r} is unknown; choose from {', '.join(FORMATS)}")
    return tuple(dict.fromkeys(["csv", *wanted]))


def row_of(detection: Detection) -> dict[str, Any]:
    """One detection by column; numbers rounded to what they can mean, None where nothing is known."""
    bearing = detection.bearing
    start = detection.start_utc
    return {
        "recording": detection.recording,
        "begin_s": round(detection.begin_s, 3),
        "end_s": round(detection.end_s, 3),
        "start_utc": None
        if start is None
        else start.strftime("%Y-%m-%dT%H:%M:%S.") + f"{start.microsecond // 1000:03d}Z",
        "low_hz": round(detection.low_hz, 1),
        "high_hz": round(detection.high_hz, 1),
        "label": detection.label,
        "probability": round(detection.probability, 4),
        "snr_db": round(detection.snr_db, 2),
        "azimuth_deg": None if detection.azimuth_deg is None else _azimuth(detection.azimuth_deg),
        "elevation_deg": _rounded(detection.elevation_deg),
        "azimuth_sd_deg": _rounded(detection.azimuth_sd_deg),
        "elevation_sd_deg": _rounded(detection.elevation_sd_deg),
        "ambiguity": "" if bearing is None else bearing.ambiguity,
        "range_m": None if bearing is None else _rounded(bearing.range_m, 1),
        "channel": None if detection.channel is None else detection.channel + 1,
    }


def rows_of(track: Track) -> Iterator[dict[str, Any]]:
    """One track by column, a row a second."""
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
        }


def _azimuth(degrees: float) -> float:
    return round(degrees, 4) % 360.0


def _rounded(value: float | None, digits: int = 4) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, digits)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a full disk or a missing permission into one clear line."""
    try:
        yield
    except (OSError, soundfile.SoundFileError) as reason:
        what = getattr(reason, "strerror", None) or reason
        raise OutputError(
            f"{path}: cannot write ({what}); free space or choose another place (--out), "
            "what was written before is kept"
        ) from reason


class CsvWriter:
    """A CSV file that is written as results come, so that a run that is stopped keeps what it found."""

    def __init__(self, path: Path, columns: tuple[str, ...]) -> None:
        self.path = path
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("w", newline="", encoding="utf-8")
            self._rows = csv.DictWriter(self._file, columns)
            self._rows.writeheader()
            self._file.flush()

    def write(self, rows: Iterable[dict[str, Any]]) -> None:
        """Append rows and hand them to the operating system."""
        with writing(self.path):
            self._rows.writerows(rows)
            self._file.flush()

    def close(self) -> None:
        """Close the file; a disk that fills up at the last moment is reported too."""
        with writing(self.path):
            self._file.close()


def write_others(detections: list[Detection], folder: Path, formats: tuple[str, ...]) -> list[Path]:
    """The formats besides CSV. Raven and DCASE get one file per recording. → the paths written."""
    written = []
    if "parquet" in formats:
        written.append(_write_parquet(detections, folder / "detections.parquet"))
    if "json" in formats:
        path = folder / "detections.json"
        with writing(path):
            path.write_text(json.dumps([row_of(d) for d in detections], indent=1) + "\n", encoding="utf-8")
        written.append(path)
    by_recording: dict[str, list[Detection]] = {}
    for detection in detections:
        by_recording.setdefault(detection.recording, []).append(detection)
    for name, found in by_recording.items():
        stem = folder / safe_stem(name)
        if "raven" in formats:
            written.append(_write_raven(found, stem.with_name(stem.name + ".selections.txt")))
        if "dcase" in formats:
            written.append(_write_dcase(found, stem.with_name(stem.name + ".dcase.csv")))
    return written


def safe_stem(name: str) -> str:
    """A recording's name as the stem of an output file: no folder can hide in it."""
    stem = name.rsplit(".", 1)[0] if "." in name[1:] else name
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in stem).strip("._") or "recording"


def _write_parquet(detections: list[Detection], path: Path) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = {"recording", "start_utc", "label", "ambiguity"}
    units = {"_s": "seconds", "_hz": "hertz", "_deg": "degrees", "_db": "decibels", "_m": "metres"}
    fields = []
    for name in (*COLUMNS, *EXTRA_COLUMNS):
        kind = pa.string() if name in text else pa.int32() if name == "channel" else pa.float64()
        unit = next((word for suffix, word in units.items() if name.endswith(suffix)), "")
        fields.append(pa.field(name, kind, metadata={"unit": unit} if unit else None))
    schema = pa.schema(fields, metadata={"frame": "azimuth clockwise from true north, elevation positive up"})
    table = pa.Table.from_pylist([row_of(d) for d in detections], schema=schema)
    with writing(path):
        pq.write_table(table, path)
    return path


RAVEN_COLUMNS = (
    "Selection",
    "View",
    "Channel",
    "Begin Time (s)",
    "End Time (s)",
    "Low Freq (Hz)",
    "High Freq (Hz)",
    "Begin File",
    "Annotation",
    "Confidence",
    "SNR (dB)",
    "Azimuth (deg)",
    "Elevation (deg)",
    "Azimuth Error (deg)",
    "Elevation Error (deg)",
)


def _write_raven(detections: list[Detection], path: Path) -> Path:
    with writing(path), path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, delimiter="\t", lineterminator="\n")
        rows.writerow(RAVEN_COLUMNS)
        for number, detection in enumerate(detections, start=1):
            row = row_of(detection)
            names = ("azimuth_deg", "elevation_deg", "azimuth_sd_deg", "elevation_sd_deg")
            angles = ["" if row[name] is None else row[name] for name in names]
            rows.writerow(
                [
                    number,
                    "Spectrogram 1",
                    row["channel"] or 1,
                    row["begin_s"],
                    row["end_s"],
                    row["low_hz"],
                    row["high_hz"],
                ]
                + [row["recording"], row["label"], row["probability"], row["snr_db"], *angles]
            )
    return path


def _write_dcase(detections: list[Detection], path: Path) -> Path:
    """`frame,class,source,azimuth,elevation` every 100 ms: front = north, azimuth anticlockwise, -180...180."""
    lines = []
    for source, detection in enumerate(detections):
        if detection.azimuth_deg is None or detection.elevation_deg is None:
            continue
        azimuth = round((180.0 - detection.azimuth_deg) % 360.0 - 180.0)
        elevation = round(detection.elevation_deg)
        first, last = int(detection.begin_s / DCASE_FRAME_S), int(detection.end_s / DCASE_FRAME_S)
        lines += [(frame, 0, source, azimuth, elevation) for frame in range(first, last + 1)]
    with writing(path):
        path.write_text("".join(",".join(map(str, line)) + "\n" for line in sorted(lines)), encoding="utf-8")
    return path
