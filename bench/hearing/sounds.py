"""What is heard: calls of many dialects, sound without an orca by kind and by station, other species.

Real recordings are heard as they are. What is made of them (calls in ships, nuisances over quiet sea) is drawn from seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from whalefinder.sound.spectrogram import RATE_HZ, USABLE_SHARE
from whalefinder.training.clips import Clip, find_clips
from whalefinder.training.stations import DOUBTFUL, whale_in_ambient

Samples = NDArray[np.float32]
UNMIXED, ALONE, OVER_AMBIENT = "unmixed", "alone", "over ambient"
NOT_SAID = "not said"
START_SAMPLES = 200_000
SAME = 0.9  # correlation of copies

# Words in the labels of recordings without an orca, and the kind of sound that each means; the first that fits.
KINDS = (
    (("hwsong",), "humpback song"),
    (("minke",), "minke whale"),
    (("sonar", "echosounder", "pinger", "acousticrelease"), "sonar and pingers"),
    (("sealbomb",), "seal bomb"),
    (("sealion", "pinniped"), "seals"),
    (("midshipman", "toadfish", "grouper", "damselfish", "cod", "fish"), "fish"),  # before ships: midshipman
    (("ship", "vessel", "boat", "tanker"), "ships"),
    (("scuba",), "divers"),
    (("rain",), "rain"),
    (("wind", "hurricane"), "wind and waves"),
    (("shrimp",), "snapping shrimp"),
    (("ambient", "soundscape"), "ambient"),
)
LOWEST_RATE_HZ = 8000  # of what `locate` reads

OTHER_PLACES = {
    "ambient_soundtrap_lifewatch": ("ambient", "North Sea"),
    "fishsound": ("fish", "British Columbia (fishsound)"),
    "osekit": ("ambient", "osekit"),
}
SPECIES = {
    "humpback_call": "humpback whale",
    "humpback": "humpback whale",
    "humpbackwhale": "humpback whale",
    "beluga_white_whale": "beluga",
    "spermwhale": "sperm whale",
    "finwhale": "fin whale",
    "graywhale": "gray whale",
    "minkewhale": "minke whale",
    "northatlanticrightwhale": "right whale",
    "white_sided_dolphine": "white sided dolphin",
    "dolphins": "dolphin",
}


@dataclass(frozen=True, kw_only=True)
class Sound:
    """One recording to hear, a file or made of several.

    Args:
        part: `calls`, `alone` (no orca in it), `nuisances` (simulated ones) or `species`.
        row: dialect, kind of sound or species.
        place: where it was recorded: station or collection.
        split: `train`, `dev` or `test`.
        source: the recording that it rests on: what counts as one independent trial.
        column: ratio of call and ship, or how a nuisance is heard.
        read: → `[time]` at `RATE_HZ`, one hydrophone.
        path: the file, where it is one.
        bandwidth_hz: what its recorder could hold.
        span_s: begin and end of the call, or of the nuisance; None for all of it.
    """

    part: str
    row: str
    place: str
    split: str
    source: str
    read: Callable[[], Samples]
    column: str = UNMIXED
    path: Path | None = None
    bandwidth_hz: float = USABLE_SHARE * RATE_HZ
    span_s: tuple[float, float] | None = None


def of_clip(clip: Clip, part: str, row: str, place: str) -> Sound:
    """A row of the manifest, heard as it is; of several channels the loudest."""
    return Sound(
        part=part, row=row, place=place, split=clip.split, source=clip.path.stem, read=clip.read,
        path=clip.path if soundfile.info(clip.path).channels == 1 else None, bandwidth_hz=clip.bandwidth_hz,
    )  # fmt: skip


def kind_of(label: str) -> str:
    """Kind of sound that a label means.

    >>> kind_of("MB01_sonarechosounder"), kind_of("")
    ('sonar and pingers', 'not said')
    """
    plain = label.lower().replace(" ", "")
    return next((kind for words, kind in KINDS if any(word in plain for word in words)), NOT_SAID)


def without_orcas(split: str) -> list[Sound]:
    """All recordings of a split in which no orca calls: ships, ambient, fish, rain and so on."""
    found = [of_clip(clip, "alone", "ships", "deepship") for clip in find_clips("boats", split)]
    for clip in find_clips("ambient", split):
        folder, name = clip.path.parent.name, clip.path.stem
        if "orcaal" in folder or name in DOUBTFUL:  # labels that the spectrograms contradict
            continue
        whale = whale_in_ambient(clip)
        if folder == "sanctsound":
            row = whale or kind_of(clip.sublabel)
            found.append(of_clip(clip, "alone", row, f"SanctSound {name.split('_')[0]}"))
        elif "alaska" in folder:
            found.append(of_clip(clip, "alone", "SE Alaska, labelled without a call", "SE Alaska"))
        else:
            row, place = OTHER_PLACES.get(folder, ("ambient", folder))
            found.append(of_clip(clip, "alone", whale or row, place))
    return found


def other_species(split: str) -> list[Sound]:
    """Whales and dolphins that are no orca, by species."""
    found = []
    for clip in find_clips("other_species", split):
        if clip.label == "orca_call" or clip.rate_hz < LOWEST_RATE_HZ:  # the folder holds one orca
            continue
        species = clip.sublabel if clip.label == "cetacean" else clip.label
        found.append(of_clip(clip, "species", SPECIES.get(species, species.replace("_", " ")), clip.path.parent.name))
    return found


def _alike(one: Samples, other: Samples) -> bool:
    length = math.sqrt(float((one**2).sum() * (other**2).sum()))
    return length > 0 and float((one * other).sum()) / length > SAME


def distinct(sounds: list[Sound]) -> list[Sound]:
    """Each recording once: the same cut comes under several labels, and cuts of dev again among those of test.

    What was heard in training is no test, and what was chosen on no report: `train` goes first, `dev` next. Copies have as many
    samples and the same sound in their first seconds, though not always the same bits (some went through MP3).
    """
    order = ("train", "dev", "test", "made")
    kept: dict[tuple[int, int], list[Samples]] = {}
    found = []
    for sound in sorted(sounds, key=lambda s: (order.index(s.split), s.row == NOT_SAID)):
        if sound.path is not None:
            start, rate_hz = soundfile.read(sound.path, frames=START_SAMPLES, dtype="float32")
            start = np.diff(start)  # an offset or a swell would make all recordings alike
            others = kept.setdefault((rate_hz, soundfile.info(sound.path).frames), [])
            if any(_alike(start, other) for other in others):
                continue
            others.append(start)
        found.append(sound)
    return found
