"""The folder of results of `locate`: tables that grow during a run, and to which a later run may add.

A recording is the file at its path. One that is searched again replaces its rows; it never counts twice.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from whalefinder.errors import OptionError, OutputError
from whalefinder.files import path_shown_as, untouched, writing
from whalefinder.results.formats import ALL, PER_RECORDING, Row, read_rows, stems_of, write_formats
from whalefinder.results.schema import DETECTIONS, HEALTH, RECORDINGS, TRACKS, Column, names
from whalefinder.results.tables import CsvWriter, Heard, row_of_recording
from whalefinder.words import printable

TABLES: dict[str, tuple[Column, ...]] = {
    "recordings": RECORDINGS, "detections": DETECTIONS, "tracks": TRACKS, "health": HEALTH,
}  # fmt: skip
WHOLE = ("detections.parquet", "detections.json", "detections.jsonl", "health.parquet")
"""Files about all recordings, besides the tables and the Raven table of all."""
PICTURES = (".png", "-tracks.png")
ROUNDED_S = 1e-3
"""Times in tables are rounded, so a part may seem longer than it is by this."""


@dataclass(kw_only=True)
class ResultsFolder:
    """The tables of an output folder.

    Args:
        out: the folder.
        rows: rows of each of `TABLES`, those of earlier runs first.
        formats: formats besides CSV that earlier runs wrote. They go on, with all rows.
        remarks: what is odd about the tables of earlier runs.
        searched: recordings of this run, by name.
    """

    out: Path
    rows: dict[str, list[Row]] = field(default_factory=lambda: {name: [] for name in TABLES})
    formats: tuple[str, ...] = ()
    remarks: list[str] = field(default_factory=list)
    searched: set[str] = field(default_factory=set)
    writers: dict[str, CsvWriter] = field(default_factory=dict)

    @classmethod
    def of(cls, out: Path, *, append: bool = False, overwrite: bool = False) -> ResultsFolder:
        """Look at a folder before a run. Nothing is changed yet.

        Args:
            out: the folder.
            append: add to the results that it holds.
            overwrite: replace them.

        Raises:
            OutputError: it holds results, and neither was said; or it holds an archive.
            OptionError: its tables cannot be added to.
        """
        if (out / "plan.json").exists():
            raise OutputError(
                f"{out}: holds the results of an archive, which only whalefinder archive continues; choose another `out`"
            )
        held = holds_results(out)
        if held is None or overwrite:
            return cls(out=out)
        if not append:
            raise OutputError(
                f"{out}: holds results already ({held}); add to them with `append`, replace them with `overwrite`, "
                "or choose another `out`"
            )
        found = cls(out=out)
        for name, columns in TABLES.items():
            found.rows[name] = _read(out / f"{name}.csv", columns, found.remarks)
        found.formats = found._formats()
        known = {row["recording"] for row in found.rows["recordings"]}
        strange = {row["recording"] for name in TABLES for row in found.rows[name]} - known
        if strange:
            raise OptionError(
                f"{out}: recordings.csv does not name {min(strange)}, so nobody knows which file that was; "
                "choose another `out`, or replace the results with `overwrite`"
            )
        return found

    @property
    def paths(self) -> dict[str, Path]:
        """Path of each recording that was searched earlier, by its name in the tables."""
        return {row["recording"]: Path(row["path"]) for row in self.rows["recordings"]}

    @property
    def last_track(self) -> int:
        """The highest number of a track."""
        return max((row["track"] for row in self.rows["tracks"]), default=0)

    def begin(
        self, recordings: Sequence[Heard], *, with_array: bool, overwrite: bool, formats: Iterable[str] = ()
    ) -> None:
        """Open the tables for a run over these recordings, which writes these formats besides CSV.

        Raises:
            OptionError: a part of a recording would replace results of more of it.
            OutputError: files with the names of new results exist and may not be replaced, or a table cannot be written.
        """
        earlier = {row["recording"]: row for row in self.rows["recordings"]}
        for recording in recordings:
            if recording.name in earlier:
                _refuse_less(recording, earlier[recording.name], self.out)
        if overwrite:
            self._remove_earlier()
        stems = stems_of([*earlier, *(recording.name for recording in recordings)])
        new = (stems[recording.name] for recording in recordings if recording.name not in earlier)
        paths = [path for stem in new for path in self._files_of(stem)]
        if (
            "raven" in {*formats, *self.formats}
            and len(stems) > 1
            and not ("raven" in self.formats and len(earlier) > 1)
        ):
            paths.append(self.out / f"{ALL}{PER_RECORDING['raven']}")
        untouched(paths, overwrite=overwrite)
        for name, columns in TABLES.items():
            if name in ("recordings", "detections") or (name == "tracks" and (with_array or self.rows[name])):
                self.writers[name] = CsvWriter(self.out / f"{name}.csv", names(columns), self.rows[name])

    def start(self, recording: Heard) -> str:
        """Write down that a recording is searched from now on; results of an earlier search of it go. → stem of its files.

        Raises:
            OutputError: a table cannot be written.
        """
        self.searched.add(recording.name)
        row, listed = row_of_recording(recording), self.rows["recordings"]
        place = next((k for k, old in enumerate(listed) if old["recording"] == recording.name), None)
        if place is None:
            self.add("recordings", [row])
            return self.stem(recording.name)
        listed[place] = row
        for name in TABLES:
            if name != "recordings":
                self.rows[name] = [old for old in self.rows[name] if old["recording"] != recording.name]
            if name in self.writers:
                self.writers[name].rewrite(self.rows[name])
        for path in self._files_of(self.stem(recording.name)):
            with writing(path):
                path.unlink(missing_ok=True)
        return self.stem(recording.name)

    def stem(self, recording: str) -> str:
        """Stem of the files of one recording."""
        return stems_of(row["recording"] for row in self.rows["recordings"])[recording]

    def add(self, table: str, rows: Iterable[dict[str, Any]]) -> None:
        """Add rows to a table, in memory and on the disk.

        Raises:
            OutputError: the table cannot be written.
        """
        new = list(rows)
        self.rows[table] += new
        self.writers[table].write(new)

    def close(self) -> None:
        """Close the tables.

        Raises:
            OutputError: the disk is full.
        """
        for writer in self.writers.values():
            writer.close()

    def write_others(self, formats: Iterable[str]) -> None:
        """Write the formats besides CSV from all rows: those of this run, and those that the folder had.

        Files about a recording that this run did not search are kept: rows may have been added to them by hand.

        Raises:
            OutputError: a file cannot be written.
        """
        recordings = self.rows["recordings"]
        stems = stems_of(row["recording"] for row in recordings)
        others = [stem for name, stem in stems.items() if name not in self.searched]
        kept = {path for stem in others for path in self._files_of(stem) if path.exists()}
        write_formats(self.rows["detections"], self.out, {*formats, *self.formats}, recordings, kept=kept)

    def _formats(self) -> tuple[str, ...]:
        """The formats besides CSV of which the folder holds files."""
        stems = stems_of(row["recording"] for row in self.rows["recordings"]).values()
        whole = [kind for kind in ("parquet", "json", "jsonl") if (self.out / f"detections.{kind}").exists()]
        each = PER_RECORDING.items()
        return (*whole, *(kind for kind, end in each if any((self.out / f"{stem}{end}").exists() for stem in stems)))

    def _files_of(self, stem: str) -> list[Path]:
        return [self.out / f"{stem}{ending}" for ending in (*PICTURES, *PER_RECORDING.values())]

    def _remove_earlier(self) -> None:
        """Remove what an earlier run wrote: its tables, and the files of the recordings that they name."""
        try:
            listed = [row["recording"] for row in read_rows(self.out / "recordings.csv", RECORDINGS)]
        except OptionError:  # there is none, or it is of another program
            listed = []
        paths = [self.out / f"{name}.csv" for name in TABLES] + [self.out / name for name in WHOLE]
        paths += [self.out / f"{ALL}{ending}" for ending in PER_RECORDING.values()]
        paths += [path for stem in stems_of(listed).values() for path in self._files_of(stem)]
        for path in paths:
            with writing(path):
                path.unlink(missing_ok=True)


def holds_results(out: Path) -> str | None:
    """Name of a file of results in a folder, or None if it holds none. A table of ours without rows is none."""
    tables = (f"{name}.csv" for name, columns in TABLES.items() if not _is_empty(out / f"{name}.csv", columns))
    return next((name for name in (*tables, *WHOLE) if (out / name).exists()), None)


def _is_empty(path: Path, columns: tuple[Column, ...]) -> bool:
    try:
        header, *rows = path.read_text(encoding="utf-8").splitlines() if path.is_file() else ("",)
    except (OSError, ValueError):  # of another program
        return False
    return not rows and set(header.split(",")) <= set(names(columns))


def _read(path: Path, columns: tuple[Column, ...], remarks: list[str]) -> list[Row]:
    """Rows of a table that is to be written again. A table that does not exist has none. A row that is cut is said."""
    if not path.exists():
        return []

    def cut(row: Row) -> None:
        remarks.append(
            f"{path}: the last row was cut and is left out; search {row.get('recording') or 'its recording'} again"
        )

    rows = read_rows(path, columns, cut)
    with path.open(newline="", encoding="utf-8") as file:
        others = set(next(csv.reader(file), ())) - set(names(columns))
    if others:
        raise OptionError(
            f"{path}: has a column {min(others)!r}, which would be lost; choose another `out`, or take the column away"
        )
    return rows


def _refuse_less(recording: Heard, earlier: Row, out: Path) -> None:
    begin, end = recording.begin_s, recording.begin_s + recording.duration_s
    old_begin, old_end = earlier["heard_from_s"], earlier["heard_to_s"]
    part = begin > 0 or end < recording.file_s
    if part and (begin > old_begin + ROUNDED_S or end < old_end - ROUNDED_S):
        raise OptionError(
            f"{recording.name}: {old_begin:g} to {old_end:g} s of it are in {out} already, and {begin:g} to {end:g} s would "
            "replace them; search a part that holds both, or choose another `out`"
        )


def name_in(path: Path, names: dict[str, Path]) -> str:
    """The name of a recording in tables: that of its file. If another recording has that name, its path.

    Args:
        path: its file.
        names: the files of the recordings that have a name already, by name. The same file keeps its name.
    """
    place = path.resolve()
    known = next((name for name, other in names.items() if path_shown_as(str(other)).resolve() == place), None)
    if known is not None:
        return known
    tried = [printable(text) for text in (path.name, path.as_posix(), path.absolute().as_posix())]
    # Two names that differ only in bytes that cannot be shown get a number, and no name could do more for them.
    tried += [f"{tried[-1]} ({number})" for number in range(2, len(names) + 3)]
    return next(name for name in tried if name not in names)
