"""A run over many recordings. A bad file does not end the run: it is reported and counted."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from whalefinder.array.array_file import load_array
from whalefinder.array.geometry import HydrophoneArray
from whalefinder.array.physics import oddities
from whalefinder.calls.hydrophones import MAX_HYDROPHONES
from whalefinder.errors import OptionError, OutputError, RecordingError
from whalefinder.files import locked
from whalefinder.health.correct import corrected
from whalefinder.health.findings import Finding
from whalefinder.health.holes import findings_of_holes
from whalefinder.health.monitor import Monitor, listen
from whalefinder.health.report import HealthLog, write_health
from whalefinder.options import LocateOptions
from whalefinder.pipeline import Held, Locator
from whalefinder.results.folder import ResultsFolder, name_in
from whalefinder.results.records import Detection, Track
from whalefinder.results.tables import parse_formats, row_of, rows_of
from whalefinder.sound.channel_files import group_recordings
from whalefinder.sound.recorders import Times, times_of
from whalefinder.sound.recording import Recording, open_recording
from whalefinder.tracks.find import find_tracks
from whalefinder.words import count


@dataclass(kw_only=True)
class Summary:
    """What a run did: recordings read, problems met, seconds of sound, detections, and the number of tracks."""

    recordings: int = 0
    failures: int = 0
    seconds: float = 0.0
    found: list[Detection] = field(default_factory=list)
    tracks: int = 0

    @property
    def calls(self) -> int:
        """Detections that are calls."""
        return sum(detection.is_call for detection in self.found)


LONG_GAP_S = 2.0
"""A gap inside a recording that is shorter does not end a track."""
Report = Callable[[float, float, str], None]


def run_locate(
    paths: list[Path],
    array_path: Path | None,
    out: Path,
    options: LocateOptions,
    *,
    formats: str = "csv",
    pictures: bool = True,
    correct: bool = False,
    causal: bool = False,
    begin_s: float = 0.0,
    end_s: float | None = None,
    append: bool = False,
    overwrite: bool = False,
    report: Report = lambda done_s, total_s, note: None,
    say: Callable[[str], None] = print,
) -> Summary:
    """Locate the calls of many recordings, and write tables and pictures into the folder `out`.

    Args:
        paths: recordings, or the files of recordings with one file per channel.
        array_path: the array file, or None to detect calls without bearings.
        out: folder of the results.
        options: how to search.
        formats: formats of the tables besides detections.csv, divided by commas (`parse_formats`).
        pictures: draw one picture for each recording.
        correct: hear every recording for the health of its array first, and mend polarity, gain, constant delays and order.
        causal: make the tracks from earlier calls alone, by the LSTM, as a live run would; not by the smoother.
        begin_s, end_s: the part of every recording to search, in seconds. None: to its end.
        append: add to the results that `out` holds. A recording that is among them is searched again, and its rows are
            replaced.
        overwrite: replace the results that `out` holds.
        report: is called with (seconds done, seconds in all, note).
        say: is called with each warning and each problem, one line each.

    Raises:
        ArrayError, OptionError, ModelError, OutputError: the run cannot go on, for example since `out` holds results and
            neither `append` nor `overwrite` was said, or since another run works there. A recording that cannot be
            read raises nothing: it is reported to `say` and counted in `Summary.failures`.
    """
    others = parse_formats(formats)
    if append and overwrite:
        raise OptionError("`append` keeps the results of the folder and `overwrite` does not; give one of them")
    array = load_array(array_path) if array_path else None
    locator = Locator.of(array, options)
    summary, health = Summary(), HealthLog()
    times = times_of(options.time_format, options.utc_offset, options.recorders)
    with locked(out):
        opened = _open_all(group_recordings(paths, array), array, times, (begin_s, end_s), summary, say)
        if not opened:
            return summary  # there is nothing to write, and the results of an earlier run must stay
        folder = ResultsFolder.of(out, append=append, overwrite=overwrite)
        _name(opened, folder.paths)
        for line in [*folder.remarks, *times.unused(recording.paths[0] for recording in opened), *_warnings(opened)]:
            say(f"warning: {line}")
        again = sum(recording.name in folder.paths for recording in opened)
        folder.begin(opened, with_array=array is not None, overwrite=overwrite, formats=others)
        if again:
            say(f"{count(again, 'recording')} of {len(opened)} had results here already, which the new ones replace")
        for line in _remarks(opened, array):
            say(line)
        total_s = sum(recording.duration_s for recording in opened)
        try:
            for recording in opened:
                stem = folder.start(recording)
                seconds = partial(_report_from, report, summary.seconds, total_s, recording.name)
                own = locator
                if correct and array is not None and recording.num_channels == array.num_channels:
                    recording, used, mended = _mended(recording, array)
                    for finding in mended:
                        say(f"corrected: {recording.name}: {finding.words}")
                    own = Locator.of(used, options) if mended else locator
                monitor = own.monitor_of(recording)
                try:
                    _one(recording, own, folder, stem if pictures else None, seconds, summary, monitor, causal)
                finally:  # also of a recording whose search was stopped
                    found = monitor.findings() if monitor is not None else []
                    for line in health.add(recording.name, [*findings_of_holes(recording), *found]):
                        say(f"warning: {line}")
                summary.seconds += recording.duration_s
                summary.recordings += 1
                seconds(0.0)
                for problem in recording.problems:
                    say(f"problem: {problem}")
                summary.failures += len(recording.problems)
        finally:
            _finish(folder, health, others)
    return summary


def _remarks(opened: list[Recording], array: HydrophoneArray | None) -> Iterator[str]:
    """What is odd about the array, and what the results will lack, one line each."""
    for line in oddities(array) if array is not None else ():
        yield f"warning: {line}"
    if array is None and any(r.num_channels > 1 for r in opened):
        yield "no array file: each channel is searched alone, and detections come from the best one, without bearings"
    if array is not None and any(r.num_channels == 1 for r in opened):
        yield "one channel: detections without bearings"
    if array is not None and array.num_channels > MAX_HYDROPHONES:
        yield f"{array.num_channels} hydrophones: bearings use the {MAX_HYDROPHONES} that lie furthest apart"


def _finish(folder: ResultsFolder, health: HealthLog, formats: tuple[str, ...]) -> None:
    """Close the tables, and write the files that hold all rows. A stopped run does so too."""
    try:
        folder.close()
    finally:
        formats = tuple({*formats, *folder.formats})
        write_health([*folder.rows["health"], *health.rows], folder.out, formats)
        folder.write_others(formats)


def _mended(recording: Recording, array: HydrophoneArray) -> tuple[Recording, HydrophoneArray, list[Finding]]:
    heard = listen(replace(recording, problems=[]), array)  # the search reports problems of reading
    return corrected(recording, array, heard.findings())


def _report_from(report: Report, before_s: float, total_s: float, note: str, seconds_done: float) -> None:
    report(before_s + seconds_done, total_s, note)


def _open_all(
    paths: list[Path],
    array: HydrophoneArray | None,
    times: Times,
    part: tuple[float, float | None],
    summary: Summary,
    say: Callable[[str], None],
) -> list[Recording]:
    opened: dict[Path, Recording] = {}
    for path in paths:
        try:
            recording = open_recording(path, array, times=times).part(*part)
        except RecordingError as reason:
            say(f"problem: {reason}")
            summary.failures += 1
            continue
        if recording.paths[0].resolve() in opened:
            say(f"warning: {recording.name}: is given twice and searched once")
            continue
        opened[recording.paths[0].resolve()] = recording
    return list(opened.values())


def _name(opened: list[Recording], earlier: dict[str, Path]) -> None:
    """Give each recording the name that it has in the tables. `earlier` are the files of earlier runs, by name."""
    names = dict(earlier)
    for recording in opened:
        recording.name = name_in(recording.paths[0], names)
        names[recording.name] = recording.paths[0]


def _warnings(opened: list[Recording]) -> Iterator[str]:
    """One line for all recordings without a start time, then those of each recording."""
    undated = [recording.name for recording in opened if recording.start_utc is None]
    if undated:
        missing = "1 recording has" if len(undated) == 1 else f"{len(undated):,} recordings have"
        yield (
            f"{missing} no start time in the name, for example {undated[0]}; "
            "start_utc stays empty there, unless you give `time_format`"
        )
    for recording in opened:
        yield from recording.warnings


def _tracks(calls: list[Detection], recording: Recording, causal: bool) -> list[Track]:
    """The tracks of a recording. They end at a gap inside it, after which the animals are elsewhere."""
    gaps = [at for at, length in recording.clock.jumps if abs(length) >= LONG_GAP_S] if recording.clock else []
    stretches: dict[int, list[Detection]] = {}
    for call in calls:
        stretches.setdefault(bisect(gaps, (call.begin_s + call.end_s) / 2), []).append(call)
    ends = [*gaps, recording.begin_s + recording.duration_s]
    found = (find_tracks(stretch, causal=causal, until_s=ends[k]) for k, stretch in stretches.items())
    return [track for tracks in found for track in tracks]


def _one(
    recording: Recording,
    locator: Locator,
    folder: ResultsFolder,
    stem: str | None,
    seconds: Callable[[float], None],
    summary: Summary,
    monitor: Monitor | None,
    causal: bool,
) -> None:
    """Search one recording and add it to the tables, the summary and the pictures (of this stem, or no pictures).

    If an error ends the search early, the calls found so far are kept.
    """
    from whalefinder.pages.plots import Picture, draw_tracks

    found = summary.found
    picture, first, held = Picture(recording.duration_s, recording.begin_s), len(found), Held()
    try:
        for stretch in locator.stream(recording, held, monitor):
            folder.add("detections", map(row_of, stretch.detections))
            found += stretch.detections
            picture.add(stretch.first_frame, stretch.level_db, stretch.call_share)
            seconds(stretch.seconds_done)
    finally:
        rest = locator.rest(recording, held)
        found += rest
        calls = found[first:]
        with_bearing = locator.array is not None and recording.num_channels > 1
        last = folder.last_track
        followed = (
            [replace(t, number=last + t.number) for t in _tracks(calls, recording, causal)] if with_bearing else []
        )
        try:
            folder.add("detections", map(row_of, rest))
            for track in followed:
                summary.tracks += 1
                folder.add("tracks", rows_of(track))
            if stem is not None:
                picture.holes_s = [(hole.begin_s, hole.end_s) for hole in recording.holes]
                picture.save(folder.out / f"{stem}.png", recording.name, calls, with_bearing)
                if followed:
                    draw_tracks(followed, calls, folder.out / f"{stem}-tracks.png", recording.name)
        except OutputError as reason:
            recording.problems.append(str(reason))
