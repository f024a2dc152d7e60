"""The health of the array in many recordings. A bad file does not end the check: it is reported and counted."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from whalefinder.array.array_file import load_array
from whalefinder.array.geometry import HydrophoneArray
from whalefinder.array.physics import oddities
from whalefinder.errors import RecordingError
from whalefinder.files import locked, untouched
from whalefinder.health.holes import findings_of_holes
from whalefinder.health.monitor import listen
from whalefinder.health.report import draw, row_of_finding, write_health
from whalefinder.results.folder import name_in
from whalefinder.results.formats import stems_of
from whalefinder.sound.channel_files import group_recordings
from whalefinder.sound.recording import Recording, open_recording


def check_recordings(
    paths: list[Path],
    array_path: Path,
    out: Path,
    report: Callable[[float, float, str], None] = lambda done_s, total_s, note: None,
    say: Callable[[str], None] = print,
    *,
    overwrite: bool = False,
) -> tuple[list[dict[str, Any]], int]:
    """Hear recordings for the health of their array. Writes `health.csv` and one picture per recording into `out`.

    Args:
        paths: recordings, or the files of recordings with one file per channel.
        array_path: the array file.
        out: folder of the results.
        report: is called with (seconds done, seconds in all, note).
        say: is called with each problem, one line each.
        overwrite: replace the results of an earlier check in `out`.

    Returns:
        Rows of `health.csv`, and the number of recordings that could not be read.

    Raises:
        ArrayError, OutputError: the check cannot go on, for example since files that it writes exist already.
    """
    array = load_array(array_path)
    for line in oddities(array):
        say(f"warning: {line}")
    rows: list[dict[str, Any]] = []
    with locked(out):
        opened, failures = _open_all(paths, array, say)
        stems = stems_of(recording.name for recording in opened)
        pictures = {name: out / f"{stem}-health.png" for name, stem in stems.items()}
        untouched([out / "health.csv", *pictures.values()], overwrite=overwrite)
        if not opened and overwrite:
            return rows, failures  # the results of an earlier check must stay
        total_s, done_s = sum(recording.duration_s for recording in opened), 0.0
        try:
            for recording in opened:
                name = recording.name
                monitor = listen(recording, array, partial(_report_from, report, done_s, total_s, name))
                findings = [*findings_of_holes(recording), *monitor.findings()]
                rows += [row_of_finding(recording.name, finding) for finding in findings]
                draw(monitor, findings, pictures[name], name)
                for problem in recording.problems:
                    say(f"problem: {problem}")
                failures += bool(recording.problems)
                done_s += recording.duration_s
        finally:
            write_health(rows, out)
    return rows, failures


def _report_from(
    report: Callable[[float, float, str], None], before_s: float, total_s: float, note: str, seconds_done: float
) -> None:
    report(before_s + seconds_done, total_s, note)


def _open_all(paths: list[Path], array: HydrophoneArray, say: Callable[[str], None]) -> tuple[list[Recording], int]:
    """The recordings of the array, each with its name in the table, and the number of those that are not."""
    opened: dict[Path, Recording] = {}
    names: dict[str, Path] = {}
    failures = 0
    for path in group_recordings(paths, array):
        try:
            recording = open_recording(path, array)
            if recording.num_channels != array.num_channels:
                raise RecordingError(
                    f"{recording.name}: {recording.num_channels} channel; the array has {array.num_channels}"
                )
        except RecordingError as reason:
            say(f"problem: {reason}")
            failures += 1
            continue
        recording.name = name_in(recording.paths[0], names)
        names[recording.name] = recording.paths[0]
        opened[recording.paths[0].resolve()] = recording
    return list(opened.values()), failures
