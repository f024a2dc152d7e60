"""Calibrating from files: recordings, an array file and perhaps a track go in, a folder with a new array file comes out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from whalefinder.array.array_file import load_array, save_array
from whalefinder.array.geometry import HydrophoneArray
from whalefinder.array.physics import oddities
from whalefinder.calibration.boats import load_boats, place_of
from whalefinder.calibration.calibrate import Calibration, calibrate, check_array
from whalefinder.calibration.report import draw, write_rows
from whalefinder.calibration.sounds import hear
from whalefinder.errors import OptionError, RecordingError
from whalefinder.files import locked, untouched
from whalefinder.sound.channel_files import group_recordings
from whalefinder.sound.recorders import Times
from whalefinder.sound.recording import Recording, open_recording

FILES = ("array.toml", "calibration.csv", "calibration.png")
"""What is written into the folder of the results."""


def calibrate_recordings(
    paths: list[Path],
    array_path: Path,
    out: Path,
    *,
    track: Path | None = None,
    place: str | None = None,
    times: Times | None = None,
    report: Callable[[float, float, str], None] = lambda done_s, total_s, note: None,
    say: Callable[[str], None] = print,
    overwrite: bool = False,
) -> Calibration:
    """Calibrate an array by recordings of boats. Writes `array.toml`, `calibration.csv` and `calibration.png` into `out`.

    Args:
        paths: recordings, or the files of recordings with one file per channel.
        array_path: the array file. It is never changed.
        out: folder of the results.
        track: table of the tracks of boats (`boats`), or None.
        place: latitude and longitude of the array, for a track in latitudes and longitudes.
        times: how the times of the recordings are read.
        report: is called with (seconds done, seconds in all, note).
        say: is called with each problem of a recording, one line each.
        overwrite: replace the results of an earlier calibration in `out`.

    Raises:
        ArrayError, RecordingError, OptionError: the array cannot be calibrated with this.
        OutputError: a file cannot be written, or exists.
    """
    if out.suffix.lower() == ".toml":
        raise OptionError(
            f"`out` {out}: is the folder of the results; give a folder, the new array file is {FILES[0]} in it"
        )
    if place is not None and track is None:
        raise OptionError(f"`place` {place}: is for a `track` in latitudes and longitudes; give the track too")
    array = load_array(array_path)
    check_array(array)
    for line in oddities(array):
        say(f"warning: {line}")
    boats = None if track is None else load_boats(track, None if place is None else place_of(place))
    if (out / FILES[0]).resolve() == array_path.resolve():
        raise OptionError(f"`out` {out}: holds the array file itself, which is kept; give another folder")
    with locked(out):
        targets = [out / name for name in FILES]
        untouched(targets, overwrite=overwrite)
        recordings = _opened(paths, array, times)
        total_s = sum(recording.duration_s for recording in recordings)
        sounds = hear(recordings, array, lambda done_s, name: report(done_s, total_s, name))
        for recording in recordings:
            for problem in recording.problems:
                say(f"problem: {problem}")
        found = calibrate(sounds, array, boats)
        save_array(found.after, targets[0])
        write_rows(found, targets[1])
        draw(found, targets[2])
    return found


def _opened(paths: list[Path], array: HydrophoneArray, times: Times | None) -> list[Recording]:
    """The recordings of the array. One that is not ends the calibration: a part of the boats could be the wrong part.

    Raises:
        RecordingError: one cannot be read, or has other channels than the array.
    """
    recordings = []
    for path in group_recordings(paths, array):
        recording = open_recording(path, array, times=times)
        if recording.num_channels != array.num_channels:
            raise RecordingError(
                f"{recording.name}: {recording.num_channels} channel; the array has {array.num_channels}, and all are needed"
            )
        recordings.append(recording)
    return recordings
