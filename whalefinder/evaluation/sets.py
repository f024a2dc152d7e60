"""The clips of an evaluation. None of them was used in training. Thresholds are chosen on `dev` only.

mixtures    half: calls of the split in ships of the split, SIR -10...10 dB; the other half: the ships alone
live        clips of 3 s of one live hydrophone, not mixed, with and without a call
species     other whales and dolphins
alone       recordings without an orca: ships, stations, the North Sea; in windows
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from whalefinder.calls.classification import WINDOW_S, window_begins
from whalefinder.errors import OptionError
from whalefinder.sound.spectrogram import RATE_HZ
from whalefinder.training.clips import Clip, data_folder, find_clips
from whalefinder.training.labelled import LabelledClip, evaluation_mixtures, real_clips
from whalefinder.training.stations import DOUBTFUL

Report = Callable[[int, int, str], None]
SPLITS = ("dev", "test")
RATIO_EDGES_DB = (-10.0, -6.0, -2.0, 2.0, 6.0, 10.0)
DEV_SEED = 1_000_000_001  # other mixtures than those that `--split dev` reports


@dataclass(frozen=True, kw_only=True)
class Sets:
    """The clips of an evaluation. `dev` is used for thresholds only; `alone` has recordings with their labels."""

    dev: list[LabelledClip]
    mixtures: list[LabelledClip]
    live: list[LabelledClip]
    species: list[LabelledClip]
    alone: list[tuple[Clip, str]]


def read_sets(split: str, count: int, report: Report = lambda done, total, note: None) -> Sets:
    """Read all sets.

    Args:
        split: `dev` or `test`, for the mixtures.
        count: number of mixtures.
        report: is called with (done, total, note).

    Raises:
        OptionError: an unknown split, or there are no recordings.
    """
    if split not in SPLITS:
        raise OptionError(f"`split` {split!r} is unknown; choose from {', '.join(SPLITS)}")
    readers: dict[str, Callable[[], Any]] = {
        "dev": lambda: evaluation_mixtures("dev", count, seed=DEV_SEED),
        "mixtures": lambda: evaluation_mixtures(split, count),
        "live": real_clips,
        "species": lambda: real_clips(other_species=True),
        "alone": lambda: recordings_alone(split),
    }
    found = {}
    for done, (name, read) in enumerate(readers.items()):
        report(done, len(readers), f"reading recordings: {name}")
        found[name] = read()
        if not found[name]:
            raise OptionError(
                f"{data_folder()}: no recordings for {name!r}, and the evaluation needs real ones; "
                "set WHALEFINDER_DATA to the folder with manifest.csv"
            )
    return Sets(**found)


def recorder_of(clip: LabelledClip) -> str:
    """The group of a clip in the tables: the kind of its ship, the band of the live hydrophone, or the species."""
    if clip.kind == "mixture":
        return clip.group.rstrip("0123456789_")
    return clip.source if clip.label == "other_cetacean" else f"live hydrophone, {clip.bandwidth_hz / 1e3:.1f} kHz"


def ratio_of(clip: LabelledClip) -> str:
    """The bin of `RATIO_EDGES_DB` for the SIR of a mixture, as text; "" if there is none."""
    for low, high in pairwise(RATIO_EDGES_DB):
        if low <= clip.snr_db <= high:
            return f"{low:+.0f} to {high:+.0f} dB"
    return ""


def recordings_alone(split: str) -> list[tuple[Clip, str]]:
    """Recordings without an orca, with their labels: ships of both splits, and ambient noise of dev (and of test)."""
    ships = find_clips("boats", "dev") + find_clips("boats", "test")
    splits = ("dev", "test") if split == "test" else ("dev",)
    ambient = [
        clip
        for each in splits
        for clip in find_clips("ambient", each)
        if "orcaal" not in clip.path.parent.name and clip.path.stem not in DOUBTFUL
    ]
    return [(c, "boat") for c in ships] + [(c, "ambient") for c in ambient]


def windows(clip: Clip, label: str) -> Iterator[LabelledClip]:
    """A recording in windows of `WINDOW_S`. Each begins in the middle of the one before."""
    sound, length = clip.read(), round(WINDOW_S * RATE_HZ)
    for begin in window_begins(len(sound), length):
        name = f"{clip.path.stem} at {begin / RATE_HZ:.1f} s"
        yield LabelledClip(
            samples=sound[begin : begin + length],
            label=label,
            source=name,
            group=clip.path.stem,
            bandwidth_hz=clip.bandwidth_hz,
            kind="alone",
        )
