"""Real clips by split and permitted use, found by the manifest of the data folder.

The environment variable `WHALEFINDER_DATA` names the folder (default `../shared/data`). Nothing in it is copied. The
shipped weights are trained only on rows with `split=train` and `use=train`.
"""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from whalefinder.sound.spectrogram import RATE_HZ

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


def training_calls(folder: Path | None = None) -> list[Clip]:
    """All orca calls on which shipped weights may be trained: calls of the catalogue and short field clips."""
    calls = find_clips("calls", "train", "train", folder)
    field = [c for c in find_clips("field", "train", "train", folder) if c.path.stem in SHORT_FIELD_CALLS]
    return calls + field
