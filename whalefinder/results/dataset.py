"""Results of many runs as one Parquet data set, by deployment and day.

    FOLDER/detections/deployment=lime-kiln-2026/day=2026-07-01/part-0.parquet
    FOLDER/tracks/…, FOLDER/recordings/…

The same rows give the same bytes, in any order of the rows. The file of a day is replaced as a whole, so a reader never
sees half a file. Units and meanings are in the metadata of the fields (`schema`, `docs/results.md`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from whalefinder.errors import OptionError, OutputError
from whalefinder.files import replacing, writing
from whalefinder.results.formats import Row, arrow_table, read_rows
from whalefinder.results.schema import DETECTIONS, RECORDINGS, TRACKS, Column, arrow_schema, names

UNKNOWN = "unknown"
"""The day of rows without a start time."""
TIME_UTC = Column("time_utc", "time", "UTC", "time of day; empty where the name of the recording gives no time")
TABLES = {"detections": DETECTIONS, "tracks": (*TRACKS, TIME_UTC), "recordings": RECORDINGS}
"""Tables of a data set and their columns. Each also has `deployment` and `day`, which are names of folders."""
WHEN = {"detections": "start_utc", "tracks": "time_utc", "recordings": "start_utc"}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def check_deployment(deployment: str) -> None:
    """Check that a deployment can be the name of a folder.

    Raises:
        OptionError: it cannot.
    """
    if not NAME.fullmatch(deployment):
        raise OptionError(
            f"`deployment` {deployment!r} cannot be the name of a folder; use letters, digits, '.', '-' and '_', at most 64"
        )


def write_dataset(rows: Iterable[Row], folder: Path, deployment: str, table: str = "detections") -> list[Path]:
    """Write one table of a deployment. It replaces the table that this deployment had; other deployments stay.

    Args:
        rows: dictionaries by column, in any order. Missing columns become null.
        folder: folder of the data set. It is made if it does not exist.
        deployment: letters, digits, dots, dashes and underscores.
        table: `detections`, `tracks` or `recordings`.

    Returns:
        The files written, one for each day.

    Raises:
        OptionError: the deployment cannot be the name of a folder, or there is no such table.
        OutputError: a file cannot be written. The days written before it stay.
    """
    check_deployment(deployment)
    import pyarrow.parquet as pq

    columns, home = _columns(table), folder / table / f"deployment={deployment}"
    days: dict[str, list[Row]] = {}
    for row in rows:
        days.setdefault(day_of(row.get(WHEN[table])), []).append(row)
    written = []
    for day, mine in sorted(days.items()):
        path = home / f"day={day}" / "part-0.parquet"
        whole = arrow_table(mine, columns).sort_by([(name, "ascending") for name in _order(table)])
        with replacing(path) as beside:
            pq.write_table(whole, beside, compression="zstd")
        written.append(path)
    _remove_others(home, written)
    return written


def _columns(table: str) -> tuple[Column, ...]:
    if table not in TABLES:
        raise OptionError(f"table {table!r} is unknown; choose from {', '.join(TABLES)}")
    return TABLES[table]


def _order(table: str) -> list[str]:
    """Columns by which rows are sorted: time first, then all others, so that the order is always the same."""
    first = {
        "detections": ["start_utc", "recording", "begin_s"],
        "tracks": ["time_utc", "recording", "track", "time_s"],
    }
    begin = first.get(table, ["start_utc"])
    return begin + [name for name in names(TABLES[table]) if name not in begin]


def day_of(moment: str | datetime | None) -> str:
    """The day of a moment as text, `2026-07-01`, or `unknown` if there is none."""
    text = moment.isoformat() if isinstance(moment, datetime) else moment
    return text[:10] if text else UNKNOWN


def _remove_others(home: Path, kept: list[Path]) -> None:
    """Remove the files of days that were written earlier and have no rows now."""
    with writing(home):
        for path in set(home.glob("day=*/part-*.parquet")) - set(kept):
            path.unlink()
            if not any(path.parent.iterdir()):
                path.parent.rmdir()


def open_dataset(folder: Path, table: str = "detections") -> Any:
    """Open one table of a data set, all deployments and days, as a `pyarrow.dataset.Dataset`. No rows are read yet.

    Raises:
        OptionError: there is no such table in the folder.
    """
    import pyarrow as pa
    import pyarrow.dataset

    home = folder / table
    schema = arrow_schema(_columns(table))
    if not home.is_dir():
        raise OptionError(f"{home}: no such folder; give the folder of a data set (whalefinder collect makes one)")
    parts = pa.dataset.partitioning(pa.schema([("deployment", pa.string()), ("day", pa.string())]), flavor="hive")
    whole = pa.schema([*schema, *parts.schema], metadata=schema.metadata)
    return pa.dataset.dataset(home, schema=whole, partitioning=parts, format="parquet", exclude_invalid_files=False)


def collect(outputs: list[Path], folder: Path, deployment: str) -> dict[str, int]:
    """Gather the tables of output folders (of `locate` or `archive`) into a data set.

    Args:
        outputs: the output folders.
        folder: folder of the data set.
        deployment: name of the deployment; its earlier rows are replaced.

    Returns:
        Number of rows for each table.

    Raises:
        OptionError: a folder holds no `detections.csv`, or two of them hold the same recording.
        OutputError: the data set cannot be written, or all new tables are empty while the deployment has results.
    """
    tables: dict[str, list[Row]] = {name: [] for name in TABLES}
    seen: dict[str, Path] = {}
    for output in dict.fromkeys(path.resolve() for path in outputs):
        found = read_output(output)
        for recording in {row["recording"] for row in found["recordings"] or found["detections"]}:
            if seen.setdefault(recording, output) != output:
                raise OptionError(f"{output}: {recording} is in {seen[recording]} too; collect each recording once")
        for name, rows in found.items():
            tables[name] += rows
    if not any(tables.values()) and (folder / "detections" / f"deployment={deployment}").exists():
        raise OutputError(f"{folder}: deployment {deployment} keeps its old results, because the new ones are empty")
    for name, rows in tables.items():
        write_dataset(rows, folder, deployment, name)
    return {name: len(rows) for name, rows in tables.items()}


def read_output(output: Path, wanted: Collection[str] = tuple(TABLES)) -> dict[str, list[Row]]:
    """Read the tables of one output folder, with values of the right types.

    Rows of tracks get `time_utc` if the start of their recording is known. Tables that are not in `wanted` stay empty.

    Raises:
        OptionError: there is no `detections.csv`, or a table cannot be read.
    """
    needed = {*wanted, *(("detections", "recordings") if "tracks" in wanted else ())}
    tables: dict[str, list[Row]] = {}
    for name, columns in TABLES.items():
        path = output / f"{name}.csv"
        there = name == "detections" or path.exists()
        tables[name] = read_rows(path, columns) if there and name in needed else []
    if any(not row["time_utc"] for row in tables["tracks"]):  # `archive` writes this column, `locate` does not
        _date_tracks(tables)
    return tables


def _date_tracks(tables: dict[str, list[Row]]) -> None:
    """Give times of day to tracks. Where a recording has gaps, the call with which a track begins tells the time."""
    starts = starts_of(tables)
    calls: dict[str, list[tuple[float, datetime]]] = {}
    for row in tables["detections"]:
        if row["start_utc"]:
            zero = datetime.fromisoformat(row["start_utc"]) - timedelta(seconds=row["begin_s"])
            calls.setdefault(row["recording"], []).append((row["begin_s"], zero))
    zeros: dict[tuple[str, int], datetime] = {}
    for row in tables["tracks"]:
        recording, track = row["recording"], (row["recording"], row["track"])
        if track not in zeros and recording in starts:
            near = ((abs(row["time_s"] - begin_s), zero) for begin_s, zero in calls.get(recording, []))
            zeros[track] = min(near, default=(0.0, starts[recording]))[1]
        if track in zeros and not row["time_utc"]:
            row["time_utc"] = zeros[track] + timedelta(seconds=row["time_s"])


def starts_of(tables: dict[str, list[Row]]) -> dict[str, datetime]:
    """Time of the first sample of every recording, from its own row or from one of its calls, if it is known."""
    starts = {}
    for row in tables["detections"]:
        if row["start_utc"]:
            starts[row["recording"]] = datetime.fromisoformat(row["start_utc"]) - timedelta(seconds=row["begin_s"])
    for row in tables["recordings"]:
        if row["start_utc"]:
            starts[row["recording"]] = datetime.fromisoformat(row["start_utc"])
    return starts
