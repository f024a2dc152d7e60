"""Detections in the formats of other programs: Raven, Audacity, DCASE, JSON, Parquet.

All functions take rows: dictionaries by column (`schema.DETECTIONS`, `schema.RECORDINGS`), with None for unknown
values. So `locate` and `archive` write the same files.
"""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from whalefinder.errors import OptionError
from whalefinder.files import replacing
from whalefinder.results.schema import DETECTIONS, NO_CALLS, Column, arrow_schema, names

Row = dict[str, Any]
DCASE_FRAME_S = 0.1
ALL = "_all"
"""Stem of files about all recordings together. The stem of a recording never begins with `_`."""
PER_RECORDING = {"raven": ".selections.txt", "audacity": ".labels.txt", "dcase": ".dcase.csv"}


def write_formats(
    rows: Sequence[Row], folder: Path, formats: Iterable[str], recordings: Sequence[Row] = ()
) -> list[Path]:
    """Write the formats besides CSV. Raven, Audacity and DCASE have one file for each recording with detections.

    Args:
        rows: detections, as `tables.row_of` makes them.
        folder: folder of the files.
        formats: some of `tables.FORMATS`.
        recordings: the recordings that were searched, in order, as `tables.row_of_recording` makes them. With them,
            Raven tables say where the files are; and for several recordings there is one Raven table of all, with
            times that run on from file to file.

    Returns:
        The paths written.

    Raises:
        OutputError: a file cannot be written.
    """
    wanted, written = set(formats), []
    for kind, write in (("parquet", _write_parquet), ("json", _write_json), ("jsonl", _write_json_lines)):
        if kind in wanted:
            written.append(folder / f"detections.{kind}")
            write(rows, written[-1])
    known = {recording["recording"]: recording for recording in recordings}
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["recording"], []).append(row)
    writers: dict[str, Callable[[Sequence[Row], Path, Sequence[Row]], None]] = {
        "raven": _write_raven, "audacity": _write_audacity, "dcase": _write_dcase,
    }  # fmt: skip
    stems: set[str] = set()
    for name, mine in found.items():
        stem = _unused(safe_stem(name), stems)
        for kind in PER_RECORDING.keys() & wanted:
            written.append(folder / (stem + PER_RECORDING[kind]))
            writers[kind](mine, written[-1], [known[name]] if name in known else [])
    if "raven" in wanted and len(known) > 1 and found.keys() <= known.keys():
        written.append(folder / (ALL + PER_RECORDING["raven"]))
        _write_raven(rows, written[-1], recordings)
    return sorted(written)


def _unused(stem: str, taken: set[str]) -> str:
    """The stem, with a number if it is taken. Small and capital letters count as the same, as on some disks."""
    tried = (stem if number == 1 else f"{stem}_{number}" for number in itertools.count(1))
    found = next(name for name in tried if name.lower() not in taken)
    taken.add(found.lower())
    return found


def safe_stem(name: str) -> str:
    """The name of a recording as the stem of an output file, without characters that could name another folder."""
    stem = name.rsplit(".", 1)[0] if "." in name[1:] else name
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in stem).strip("._") or "recording"


def _write_parquet(rows: Sequence[Row], path: Path) -> None:
    import pyarrow.parquet as pq

    with replacing(path) as beside:
        pq.write_table(arrow_table(rows, DETECTIONS), beside)


def arrow_table(rows: Sequence[Row], columns: tuple[Column, ...], **metadata: str) -> Any:
    """Rows as an Arrow table with the schema of the columns. A missing value becomes null."""
    import pyarrow as pa

    times = [column.name for column in columns if column.kind == "time"]
    typed = [{**row, **{name: _time(row.get(name)) for name in times}} for row in rows] if times else list(rows)
    return pa.Table.from_pylist(typed, schema=arrow_schema(columns, **metadata))


def _time(text: str | datetime | None) -> datetime | None:
    """The moment in UTC without a zone, from text such as `2026-07-01T12:00:01.000Z` or from a time with a zone."""
    moment = datetime.fromisoformat(text) if isinstance(text, str) else text
    return moment.astimezone(UTC).replace(tzinfo=None) if moment and moment.tzinfo else moment


def _write_json(rows: Sequence[Row], path: Path) -> None:
    with replacing(path) as beside:
        beside.write_text(json.dumps(list(rows), indent=1) + "\n", encoding="utf-8")


def _write_json_lines(rows: Sequence[Row], path: Path) -> None:
    with replacing(path) as beside, beside.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


RAVEN_EXTRAS = (
    ("Annotation", "label"),
    ("Confidence", "probability"),
    ("SNR (dB)", "snr_db"),
    ("Level (dB re 1 uPa)", "level_db"),
    ("Azimuth (deg)", "azimuth_deg"),
    ("Elevation (deg)", "elevation_deg"),
    ("Azimuth Error (deg)", "azimuth_sd_deg"),
    ("Elevation Error (deg)", "elevation_sd_deg"),
    ("Fit", "fit"),
)
"""Further columns of a selection table, which Raven keeps."""
RAVEN_COLUMNS = (
    "Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)",
    "Begin File", "Begin Path", "File Offset (s)", *(title for title, _ in RAVEN_EXTRAS),
)  # fmt: skip


def _write_raven(rows: Sequence[Row], path: Path, recordings: Sequence[Row]) -> None:
    """Write a selection table. Times run on from file to file, as Raven does; file offsets begin at 0 in each file."""
    known, starts, passed = {}, {}, 0.0
    for recording in recordings:
        known[recording["recording"]] = recording
        starts[recording["recording"]] = passed
        passed += recording["duration_s"]
    ordered = sorted(rows, key=lambda row: starts.get(row["recording"], 0.0) + row["begin_s"])
    with replacing(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE, quotechar=None)
        # Without a path Raven would look for a file without a name.
        left_out = () if known else ("Begin Path",)
        table.writerow(title for title in RAVEN_COLUMNS if title not in left_out)
        for number, row in enumerate(ordered, start=1):
            cells = _raven_cells(number, row, starts.get(row["recording"], 0.0), known.get(row["recording"]))
            table.writerow(cells[title] for title in RAVEN_COLUMNS if title not in left_out)


def _raven_cells(number: int, row: Row, start_s: float, recording: Row | None) -> dict[str, Any]:
    # Raven refuses a selection above the Nyquist frequency or beyond the end of the sound.
    nyquist_hz = recording["rate_hz"] / 2 if recording else float("inf")
    end_s = min(row["end_s"], recording["duration_s"]) if recording else row["end_s"]
    extras = {title: "" if row.get(name) is None else _flat(row[name]) for title, name in RAVEN_EXTRAS}
    return {
        "Selection": number,
        "View": "Spectrogram 1",
        "Channel": row.get("channel") or 1,
        "Begin Time (s)": round(start_s + row["begin_s"], 6),
        "End Time (s)": round(start_s + end_s, 6),
        "Low Freq (Hz)": min(row["low_hz"], nyquist_hz),
        "High Freq (Hz)": min(row["high_hz"], nyquist_hz),
        "Begin File": _flat(row["recording"]),
        "Begin Path": _flat(recording["path"]) if recording else "",
        "File Offset (s)": row["begin_s"],
        **extras,
    }


def _flat(value: Any) -> Any:
    """Text without the tabs and line ends that would break a table of lines; numbers as they are."""
    return " ".join(value.split()) if isinstance(value, str) else value


def _write_audacity(rows: Sequence[Row], path: Path, recordings: Sequence[Row]) -> None:
    r"""Write a label track: begin, end and text. The line after it begins with `\` and holds the band."""
    with replacing(path) as beside, beside.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            words = [_flat(row["label"]), f"p={row['probability']:.2f}"]
            words += [
                f"{short}={row[name]:.1f}"
                for short, name in (("az", "azimuth_deg"), ("el", "elevation_deg"))
                if row.get(name) is not None
            ]
            file.write(f"{row['begin_s']:.6f}\t{row['end_s']:.6f}\t{' '.join(words)}\n")
            file.write(f"\\\t{row['low_hz']:.6f}\t{row['high_hz']:.6f}\n")


def _write_dcase(rows: Sequence[Row], path: Path, recordings: Sequence[Row]) -> None:
    """Write `frame,class,source,azimuth,elevation` every 100 ms, with azimuth 0 = north, anticlockwise, -180...180.

    Class 0 is a whale, and 1 is any other label.
    """
    lines = []
    for source, row in enumerate(rows):
        if row["azimuth_deg"] is None or row["elevation_deg"] is None:
            continue
        kind = int(row["label"] in NO_CALLS)
        azimuth = round((180.0 - row["azimuth_deg"]) % 360.0 - 180.0)
        # A millionth is added, since 0.3 / 0.1 is 2.9999… in floating point.
        first, last = (int(row[name] / DCASE_FRAME_S + 1e-6) for name in ("begin_s", "end_s"))
        lines += [(frame, kind, source, azimuth, round(row["elevation_deg"])) for frame in range(first, last + 1)]
    with replacing(path) as beside:
        beside.write_text("".join(",".join(map(str, line)) + "\n" for line in sorted(lines)), encoding="utf-8")


def read_rows(path: Path, columns: tuple[Column, ...]) -> list[Row]:
    """Read the rows of a CSV file, with values of the types of `columns`.

    A column that the file lacks becomes None. A column that is not in `columns` is kept as text.

    Raises:
        OptionError: the file is missing, or a value does not fit its column.
    """
    kinds = {column.name: column.kind for column in columns}
    empty = dict.fromkeys(names(columns))
    rows = []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            for line in reader:
                rows.append(
                    empty | {name: _value(text, kinds.get(name, "text")) for name, text in line.items() if name}
                )
    except (OSError, UnicodeDecodeError, csv.Error) as reason:
        what = getattr(reason, "strerror", None) or reason
        raise OptionError(f"{path}: cannot be read ({what}); give a folder with results of whalefinder") from reason
    except ValueError as reason:
        raise OptionError(f"{path}: line {reader.line_num}: {reason}; was the table edited by hand?") from reason
    return rows


def _value(text: str | None, kind: str) -> Any:
    if kind == "text":
        return text or ""
    if not text:
        return None
    return float(text) if kind == "number" else int(text) if kind == "integer" else text


def unused_name(path: Path, taken: set[str]) -> str:
    """The file's name. If another recording has the same name, the folder or a number is put before it."""
    candidates = [path.name, path.as_posix(), *(f"{n}-{path.name}" for n in range(2, len(taken) + 3))]
    return next(name for name in candidates if safe_stem(name) not in taken)
