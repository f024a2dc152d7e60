"""Real clips by split and permitted use, found by the manifest of the data folder.

The environment variable `WHALEFINDER_DATA` names the folder (default `../shared/data`). Nothing in it is copied. The
shipped weights are trained only on rows with `split=train` and `use=train`.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from whalefinder.errors import OptionError
from whalefinder.sound.spectrogram import RATE_HZ, USABLE_SHARE

SHORT_FIELD_CALLS = ("S199-L-4", "jpod", "kpod", "lpod")
"""Field clips that are one call. Longer ones have calls at times that are not in the manifest."""
REAL_SOURCES = (
    "real recordings of the train split (Ford call catalogue, Open Government Licence - Canada 2.0; "
    "Orcasound and spectrace clips, MIT or CC0)"
)
"""What the cards of the shipped networks say of the recordings that they learned from."""


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One row of the manifest: the path of a clip, what it is, and what it may be used for."""

    path: Path
    kind: str
    label: str
    sublabel: str
    split: str
    use: str
    rate_hz: int

    @property
    def bandwidth_hz(self) -> float:
        """Highest frequency in hertz that the recording can contain."""
        return USABLE_SHARE * self.rate_hz

    def read(self) -> NDArray[np.float32]:
        """Read the loudest channel, `[time]` at `RATE_HZ`, without its mean."""
        samples, rate_hz = soundfile.read(self.path, dtype="float32", always_2d=True)
        loudest = samples[:, int(samples.std(axis=0).argmax())]
        return soxr.resample(loudest - loudest.mean(), rate_hz, RATE_HZ).astype(np.float32)


def data_folder() -> Path:
    """Folder of the real recordings. It may not exist."""
    return Path(os.environ.get("WHALEFINDER_DATA", "../shared/data"))


def find_clips(kind: str, split: str, use: str | None = None, folder: Path | None = None) -> list[Clip]:
    """Rows of the manifest of one kind (`calls`, `boats`, …) and split, sorted by path. Empty if there is no data."""
    root = folder or data_folder()
    manifest = root / "manifest.csv"
    if not manifest.is_file():
        return []
    clips = []
    with manifest.open(newline="") as rows:
        for row in csv.DictReader(rows):
            if row["kind"] == kind and row["split"] == split and use in (None, row["use"]):
                clips.append(
                    Clip(
                        path=root / row["path"],
                        kind=kind,
                        label=row["label"],
                        sublabel=row["sublabel"],
                        split=split,
                        use=row["use"],
                        rate_hz=int(row["rate_hz"]),
                    )
                )
    return sorted(clips, key=lambda clip: clip.path)


def training_calls(folder: Path | None = None, leave_out: Sequence[str] = ()) -> list[Clip]:
    """All orca calls on which shipped weights may be trained: calls of the catalogue and short field clips.

    Args:
        leave_out: sources (`source_of`) or whole folders that are left out. The test of a dialect that was not heard.

    Raises:
        OptionError: a name that is no source of these calls.
    """
    calls = find_clips("calls", "train", "train", folder)
    calls += [c for c in find_clips("field", "train", "train", folder) if c.path.stem in SHORT_FIELD_CALLS]
    known = {name for clip in calls for name in (source_of(clip), clip.path.parent.name)}
    for name in leave_out:
        if name not in known:
            raise OptionError(f"no training calls come from {name!r}; sources are {', '.join(sorted(known)) or 'none'}")
    return [clip for clip in calls if not is_left_out(clip, leave_out)]


def source_of(clip: Clip) -> str:
    """Where a clip comes from: its folder, and for calls their dialect or type, such as `riptide_orca/biggs`."""
    dialect = re.sub("[^a-z0-9]", "", clip.sublabel.lower()) if clip.kind == "calls" else ""
    return f"{clip.path.parent.name}/{dialect}" if dialect else clip.path.parent.name


def is_left_out(clip: Clip, leave_out: Sequence[str]) -> bool:
    """Whether the clip's source or its whole folder is among these names."""
    return source_of(clip) in leave_out or clip.path.parent.name in leave_out
