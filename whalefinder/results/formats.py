"""Detections in the formats of other programs: Raven, Audacity, DCASE, JSON, Parquet.

All functions take rows: dictionaries by column (`schema.DETECTIONS`, `schema.RECORDINGS`), with None for unknown
values. So `locate` and `archive` write the same files.
"""

from __future__ import annotations

import csv
import itertools
import json
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from whalefinder.errors import OptionError
from whalefinder.files import replacing, untouched
from whalefinder.results.schema import DETECTIONS, NO_CALLS, Column, arrow_schema, names

Row = dict[str, Any]
DCASE_FRAME_S = 0.1
ALL = "_all"
"""Stem of files about all recordings together. The stem of a recording never begins with `_`."""
PER_RECORDING = {"raven": ".selections.txt", "audacity": ".labels.txt", "dcase": ".dcase.csv"}


def write_formats(
    rows: Sequence[Row],
    folder: Path,
    formats: Iterable[str],
    recordings: Sequence[Row] = (),
    *,
    overwrite: bool = True,
    kept: Collection[Path] = (),
) -> list[Path]:
    """Write the formats besides CSV. Raven, Audacity and DCASE have one file for each recording with detections.

    Args:
        rows: detections, as `tables.row_of` makes them.
        folder: folder of the files.
        formats: some of `tables.FORMATS`.
        recordings: the recordings that were searched, in order, as `tables.row_of_recording` makes them. With them,
            Raven tables say where the files are; and for several recordings there is one Raven table of all, with
            times that run on from file to file.
        overwrite: replace files that exist.
        kept: files that are not written.

    Returns:
        The paths written.

    Raises:
        OutputError: a file cannot be written, or exists and may not be replaced; then nothing is written.
    """
    wanted = set(formats)
    writes: dict[Path, Callable[[Path], None]] = {}
    for kind, write in (("parquet", _write_parquet), ("json", _write_json), ("jsonl", _write_json_lines)):
        if kind in wanted:
            writes[folder / f"detections.{kind}"] = partial(write, rows)
    known = {recording["recording"]: recording for recording in recordings}
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["recording"], []).append(row)
    writers: dict[str, Callable[[Sequence[Row], Sequence[Row], Path], None]] = {
        "raven": _write_raven, "audacity": _write_audacity, "dcase": _write_dcase,
    }  # fmt: skip
    stems = stems_of([*known, *found])
    for name, mine in found.items():
        for kind in PER_RECORDING.keys() & wanted:
            listed = [known[name]] if name in known else []
            writes[folder / (stems[name] + PER_RECORDING[kind])] = partial(writers[kind], mine, listed)
    if "raven" in wanted and len(known) > 1 and found.keys() <= known.keys():
        writes[folder / (ALL + PER_RECORDING["raven"])] = partial(_write_raven, rows, recordings)
    writes = {path: put for path, put in writes.items() if path not in kept}
    untouched(writes, overwrite=overwrite)
    for path, put in writes.items():
        put(path)
    return sorted(writes)


def stems_of(recordings: Iterable[str]) -> dict[str, str]:
    """The stem of the output files of each recording, by its name. Where two are alike, the ending or a number tells.

    >>> stems_of(["a.wav", "a.flac", "b/a.wav"])
    {'a.wav': 'a', 'a.flac': 'a.flac', 'b/a.wav': 'b_a'}
    """
    stems: dict[str, str] = {}
    taken: set[str] = set()
    for name in dict.fromkeys(recordings):
        whole = _safe(name)
        tried = itertools.chain([safe_stem(name), whole], (f"{whole}_{number}" for number in itertools.count(2)))
        # Small and capital letters count as the same, as on some disks. `a-tracks.png` is a picture of `a`.
        stems[name] = next(s for s in tried if not {s.lower(), f"{s}-tracks".lower(), f"{s}-health".lower()} & taken)
        taken |= {(stems[name] + ending).lower() for ending in ("", "-tracks", "-health")}
    return stems


def safe_stem(name: str) -> str:
    """The name of a recording as the stem of an output file, without characters that could name another folder."""
    return _safe(name.rsplit(".", 1)[0] if "." in name[1:] else name)


def _safe(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name).strip("._") or "recording"


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
SEAM_S = 1.0
"""A recording follows another if it begins within this time of its end. Most names give whole seconds."""
BORDER_S = 0.03
"""The last frame of a recording may end this much after its last sample."""
RAVEN_COLUMNS = (
    "Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)",
    "Begin File", "Begin Path", "File Offset (s)", "Beyond File (s)", *(title for title, _ in RAVEN_EXTRAS),
)  # fmt: skip


def _write_raven(rows: Sequence[Row], recordings: Sequence[Row], path: Path) -> None:
    """Write a selection table. Times run on from file to file, as Raven does; file offsets begin at 0 in each file."""
    known, starts, ends, passed = {}, {}, {}, 0.0
    for recording, after in itertools.zip_longest(recordings, recordings[1:]):
        name = recording["recording"]
        known[name], starts[name] = recording, passed
        passed += recording["duration_s"]
        ends[name] = recording["duration_s"] + (after["duration_s"] if _follows(after, recording) else 0.0)
    ordered = sorted(rows, key=lambda row: starts.get(row["recording"], 0.0) + row["begin_s"])
    with replacing(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE, quotechar=None)
        # Without a path Raven would look for a file without a name.
        left_out = () if known else ("Begin Path",)
        table.writerow(title for title in RAVEN_COLUMNS if title not in left_out)
        for number, row in enumerate(ordered, start=1):
            name = row["recording"]
            last_s = ends.get(name, math.inf)
            cells = _raven_cells(number, row, starts.get(name, 0.0), last_s, known.get(name))
            table.writerow(cells[title] for title in RAVEN_COLUMNS if title not in left_out)


def _follows(after: Row | None, before: Row) -> bool:
    """Whether a recording begins where the one before it in the list ends, so that a call goes on in it."""
    if after is None or not after.get("start_utc") or not before.get("start_utc"):
        return False
    starts = [datetime.fromisoformat(row["start_utc"]) for row in (before, after)]
    return abs((starts[1] - starts[0]).total_seconds() - before["duration_s"]) <= SEAM_S


def _raven_cells(number: int, row: Row, start_s: float, last_s: float, recording: Row | None) -> dict[str, Any]:
    # Raven refuses a selection above the Nyquist frequency or beyond the end of the sound. `last_s` is that end, from the
    # start of the recording: the end of its file, or of the next one in the list if the sound goes on there.
    nyquist_hz = recording["rate_hz"] / 2 if recording else float("inf")
    beyond_s = row["end_s"] - recording["duration_s"] if recording else 0.0
    extras = {title: "" if row.get(name) is None else _flat(row[name]) for title, name in RAVEN_EXTRAS}
    return {
        "Selection": number,
        "View": "Spectrogram 1",
        "Channel": row.get("channel") or 1,
        "Begin Time (s)": round(start_s + row["begin_s"], 6),
        "End Time (s)": round(start_s + min(row["end_s"], last_s), 6),
        "Low Freq (Hz)": min(row["low_hz"], nyquist_hz),
        "High Freq (Hz)": min(row["high_hz"], nyquist_hz),
        "Begin File": _flat(row["recording"]),
        "Begin Path": _flat(recording["path"]) if recording else "",
        "File Offset (s)": row["begin_s"],
        "Beyond File (s)": round(beyond_s, 3) if beyond_s > BORDER_S else "",
        **extras,
    }


def _flat(value: Any) -> Any:
    """Text without the tabs and line ends that would break a table of lines; numbers as they are."""
    return " ".join(value.split()) if isinstance(value, str) else value


def _write_audacity(rows: Sequence[Row], recordings: Sequence[Row], path: Path) -> None:
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


def _write_dcase(rows: Sequence[Row], recordings: Sequence[Row], path: Path) -> None:
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


def read_rows(path: Path, columns: tuple[Column, ...], cut: Callable[[Row], None] = lambda row: None) -> list[Row]:
    """Read the rows of a CSV file, with values of the types of `columns`.

    A column that the file lacks becomes None. A column that is not in `columns` is kept as text. A last row without all
    columns is left out, and `cut` is called with its text: the process that wrote it was killed.

    Raises:
        OptionError: the file is missing, or a value does not fit its column.
    """
    kinds = {column.name: column.kind for column in columns}
    empty = dict.fromkeys(names(columns))
    rows = []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            lines = [(reader.line_num, line) for line in reader]
        if lines and None in lines[-1][1].values():
            cut(lines.pop()[1])
        for number, line in lines:  # noqa: B007 - a message names it
            rows.append(empty | {name: _value(text, kinds.get(name, "text")) for name, text in line.items() if name})
    except (OSError, UnicodeDecodeError, csv.Error) as reason:
        what = getattr(reason, "strerror", None) or reason
        raise OptionError(f"{path}: cannot be read ({what}); give a folder with results of whalefinder") from reason
    except ValueError as reason:
        raise OptionError(f"{path}: line {number}: {reason}; was the table edited by hand?") from reason
    return rows


def _value(text: str | None, kind: str) -> Any:
    if kind == "text":
        return text or ""
    if not text:
        return None
    return float(text) if kind == "number" else int(text) if kind == "integer" else text
