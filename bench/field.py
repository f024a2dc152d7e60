"""Draws `docs/field.jpg`: every field recording with the detections in it."""

from __future__ import annotations

import sys
from pathlib import Path

from matplotlib.figure import Figure

from whalefinder.pages.plots import Picture
from whalefinder.pipeline import Locator
from whalefinder.sound.recording import open_recording
from whalefinder.training.clips import find_clips

PAGE = Path("docs/field.jpg")
COLUMNS = 3


def draw(path: Path = PAGE) -> None:
    """Draw spectrograms of all field clips, with the mask of calls (line) and a box around each detection.

    Each hydrophone is searched alone.
    """
    clips = find_clips("field", "train") + find_clips("field", "dev")
    if not clips:
        return  # no data folder
    rows = -(-len(clips) // COLUMNS)
    figure = Figure(figsize=(18, 2.9 * rows), layout="constrained")
    axes = figure.subplots(rows, COLUMNS, squeeze=False)
    locator = Locator()
    for axis, clip in zip(axes.flat, clips, strict=False):
        recording = open_recording(clip.path)
        picture, found = Picture(recording.duration_s), []
        for stretch in locator.stream(recording):
            picture.add(stretch.first_frame, stretch.level_db, stretch.call_share)
            found += stretch.detections
        picture.draw_on(axis, f"{clip.path.stem} ({clip.label})", found)
        axis.set_xlim(0, recording.duration_s)
    for axis in axes.flat[len(clips) :]:
        axis.set_axis_off()
    figure.savefig(path, dpi=60, pil_kwargs={"quality": 75})


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE)
