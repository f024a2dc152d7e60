"""The health of the array in many recordings. A bad file does not end the check: it is reported and counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from whalefinder.array.array_file import load_array
from whalefinder.errors import RecordingError
from whalefinder.files import writing
from whalefinder.health.holes import findings_of_holes
from whalefinder.health.monitor import listen
from whalefinder.health.report import draw, row_of_finding, write_health
from whalefinder.results.formats import safe_stem, unused_name
from whalefinder.sound.channel_files import group_recordings
from whalefinder.sound.recording import Recording, open_recording


def check_recordings(
    paths: list[Path],
    array_path: Path,
    out: Path,
    report: Callable[[float, float, str], None] = lambda done_s, total_s, note: None,
    say: Callable[[str], None] = print,
) -> tuple[list[dict[str, Any]], int]:
    """Hear recordings for the health of their array. Writes `health.csv` and one picture per recording into `out`.

    Args:
        paths: recordings, or the files of recordings with one file per channel.
        array_path: the array file.
        out: folder of the results.
        report: is called with (seconds done, seconds in all, note).
        say: is called with each problem, one line each.

    Returns:
        Rows of `health.csv`, and the number of recordings that could not be read.

    Raises:
        ArrayError, OutputError: the check cannot go on.
    """
    array = load_array(array_path)
    rows: list[dict[str, Any]] = []
    opened: list[Recording] = []
    failures, done_s = 0, 0.0
    for path in group_recordings(paths, array):
        try:
            recording = open_recording(path, array)
            recording.name = unused_name(path, {safe_stem(other.name) for other in opened})
            opened.append(recording)
        except RecordingError as reason:
            say(f"problem: {reason}")
            failures += 1
    total_s = sum(recording.duration_s for recording in opened)
    try:
        for recording in opened:
            if recording.num_channels != array.num_channels:
                say(f"problem: {recording.name}: {recording.num_channels} channel; the array has {array.num_channels}")
                failures += 1
                continue
            before_s, name = done_s, recording.name
            monitor = listen(recording, array, lambda s, before=before_s, name=name: report(before + s, total_s, name))  # type: ignore[misc]
            findings = [*findings_of_holes(recording), *monitor.findings()]
            rows += [row_of_finding(recording.name, finding) for finding in findings]
            with writing(out):
                out.mkdir(parents=True, exist_ok=True)
            draw(monitor, findings, out / f"{safe_stem(recording.name)}-health.png", recording.name)
            for problem in recording.problems:
                say(f"problem: {problem}")
            failures += bool(recording.problems)
            done_s += recording.duration_s
    finally:
        write_health(rows, out)
    return rows, failures
