"""The sounds from which labelled examples are mixed: real and simulated calls, boats, nuisances, quiet sea.

All are complex spectra, so mixing is a sum. Of a real call only the bins that stand out are used, without the noise and
the edges of its clip. Otherwise the network could recognise calls by the noise of their recordings.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from whalefinder.sea.boats import random_boat
from whalefinder.sea.calls import near_tonal, pulsed_call, whistle
from whalefinder.sea.other_cetaceans import SPECIES, random_cetacean
from whalefinder.sea.signals import Floats
from whalefinder.sound.spectrogram import RATE_HZ
from whalefinder.training import clips, stations
from whalefinder.training.nuisances import kinds_of, random_nuisance
from whalefinder.training.sounds import call_spectra, levelled, mono_spectrum, played, without_noise

BOAT_S = 6.0
SHIP_SPEEDS = np.array([0.8, 0.9, 1.1, 1.25])
SONG_S, LEAST_SONG_S = 10.0, 4.0  # length of the stretches of songs
MORE_OFTEN = ("humpback", "humpback", "beluga", "beluga")  # they are taken for orcas most often
LONGEST_CALL_S = 4.0  # a real cut that is longer holds several calls


@dataclass(frozen=True)
class Source:
    """A complex spectrum `[frequency, frame]` with power 1 in the band, its name, and its call type or recording."""

    spectrum: Tensor
    name: str
    group: str


@dataclass(kw_only=True)
class Sources:
    """The sounds from which examples are mixed, by kind.

    `songs` are stretches of other cetaceans with all their noise and echoes, by recording; `other` are single sounds
    without the noise of their clips.
    """

    orca: list[Source] = field(default_factory=list)
    other: list[Source] = field(default_factory=list)
    boats: list[Source] = field(default_factory=list)
    ambient: list[Source] = field(default_factory=list)
    nuisances: list[Source] = field(default_factory=list)
    songs: dict[str, list[Source]] = field(default_factory=dict)


# Begin and end of calls in longer field clips of the train split, in seconds; read from their spectrograms.
FIELD_CALLS_S: dict[str, tuple[tuple[float, float], ...]] = {
    "someCalls": (
        (5.4, 7.0), (8.2, 9.2), (10.2, 11.2), (14.0, 15.0), (17.3, 18.6), (20.5, 21.8), (26.4, 27.0), (27.0, 29.3),
        (31.4, 31.8),
    ),
    "210825-1925_L-highlight": ((0.2, 1.9), (5.4, 6.7), (8.1, 8.9)),
    "20181202_25sec": ((2.1, 2.9), (3.7, 4.1), (6.2, 6.6)),
    "example": ((1.5, 2.8), (4.1, 5.5), (9.8, 10.8)),
    "NATURE11_09_02_21_20_2701": (
        (2.2, 2.9), (4.6, 5.1), (5.7, 7.2), (7.9, 9.0), (9.1, 9.9), (11.0, 11.8), (13.2, 14.9), (15.7, 16.6),
        (19.0, 20.4), (22.1, 22.8), (26.4, 27.6), (31.0, 32.2), (42.2, 43.5), (46.1, 46.6), (56.0, 56.4),
    ),
    "call-examples": ((1.0, 2.1), (3.6, 4.7), (12.0, 13.4), (14.4, 15.5), (16.5, 17.0), (19.0, 20.4)),
}  # fmt: skip
# Parts of the train split in which no call can be seen. They are backgrounds of examples with and without a call.
FIELD_QUIET_S: dict[str, tuple[tuple[float, float], ...]] = {
    "live000": ((2.2, 10.0),),
    "live001": ((0.0, 10.0),),
    "live002": ((0.0, 10.0),),
    "NATURE11_09_02_21_20_2701": ((48.2, 51.1),),
    "210825-1925_L-highlight": ((2.2, 5.2),),
    "20181202_25sec": ((9.3, 12.3),),
    "example": ((6.3, 9.4),),
    "someCalls": ((0.2, 3.8),),
}


def build_sources(
    seed: int,
    *,
    real_split: str | None = "train",
    num_calls: int = 900,
    num_boats: int = 300,
    num_nuisances: int = 900,
    ships: list[clips.Clip] | None = None,
    leave_out: Sequence[str] = (),
) -> Sources:
    """Draw the sources. The same seed draws the same sources.

    Args:
        seed: of everything random.
        real_split: add real sounds of the `train` or the `dev` split, or None for simulated ones only. Clips of the
            train split that may only be used for evaluation are left out. With `dev` the nuisances are of the kinds
            for dev, otherwise of the kinds for training.
        num_calls, num_boats, num_nuisances: how many simulated sounds.
        ships: real ships instead of simulated boats, for studies whose weights are not kept.
        leave_out: sources of real calls to leave out (`clips.source_of`, or a whole folder).

    Raises:
        OptionError: a name in `leave_out` is not a source of training calls.
    """
    rng = np.random.default_rng([seed, 11])
    sources = Sources()
    if real_split is not None:
        sources.orca += _real_calls(rng, real_split, leave_out)
    if real_split == "train":
        for samples, clip in stations.other_cetaceans():
            sources.other += _played(rng, samples, clip.path.stem, clip.path.stem)
        for samples, clip in stations.other_cetaceans(piece_s=SONG_S):
            if len(samples) >= LEAST_SONG_S * RATE_HZ:
                song = _source(samples, clip.path.stem, clip.path.stem)
                sources.songs.setdefault(clip.path.stem, []).append(song)
        sources.ambient += _quiet()
        sources.ambient += [
            _source(samples, clip.path.stem, clip.path.stem) for samples, clip in stations.backgrounds()
        ]
    for k in range(num_calls):
        sources.orca.append(_source(_simulated_call(rng), f"simulated call {k}", "simulated"))
    species_in_turn = [*SPECIES, *MORE_OFTEN]
    for k in range(2 * num_calls // 3):  # in turn, so that none is rare
        species, sound = random_cetacean(rng, species_in_turn[k % len(species_in_turn)])
        sources.other.append(_source(sound, f"simulated {species} {k}", "simulated"))
    kinds = kinds_of("dev" if real_split == "dev" else "train")
    for k in range(num_nuisances):  # in turn, so that none is rare
        kind, sound = random_nuisance(rng, kinds[k % len(kinds)])
        sources.nuisances.append(_source(sound, f"{kind} {k}", "simulated"))
    if ships is None:
        for k in range(num_boats):
            sources.boats.append(_source(random_boat(rng, BOAT_S), f"simulated boat {k}", "simulated"))
        if real_split == "train":
            for samples, clip in stations.ships():
                sources.boats += [
                    _source(sound, clip.path.stem, clip.path.stem) for sound in played(samples, SHIP_SPEEDS)
                ]
    else:
        sources.boats += [_source(clip.read(), clip.path.stem, clip.path.stem) for clip in ships]
    return sources


def _source(sound: NDArray[np.floating], name: str, group: str) -> Source:
    return Source(levelled(mono_spectrum(sound)), name, group)


SPEEDS = 4  # a real sound is used as it is, and this many times played slower or faster by up to 15 %


def _played(rng: np.random.Generator, samples: NDArray[np.float32], name: str, group: str) -> list[Source]:
    """A real sound and copies at other speeds, without the noise of the clip."""
    spectra = call_spectra(samples, rng.uniform(0.85, 1.15, SPEEDS), without_noise)
    return [Source(spectrum, name, group) for spectrum in spectra]


def _real_calls(rng: np.random.Generator, split: str, leave_out: Sequence[str]) -> list[Source]:
    rows = clips.training_calls(leave_out=leave_out) if split == "train" else catalogue_calls(split)
    found = []
    for clip in rows:
        samples = clip.read()
        for piece in np.array_split(samples, max(1, math.ceil(len(samples) / (LONGEST_CALL_S * RATE_HZ)))):
            found += _played(rng, piece, clip.path.stem, clip.sublabel or clip.path.stem)
    if split == "train":
        # With half a second before and after, since the call is found by comparing it with the noise around it.
        for samples, clip, begin in _stretches(FIELD_CALLS_S, margin_s=0.5):
            if clips.is_left_out(clip, leave_out):
                continue
            found += _played(rng, samples, f"{clip.path.stem} {begin}", clip.path.stem)
    return found


def _quiet() -> list[Source]:
    found = _stretches(FIELD_QUIET_S)
    return [_source(samples, f"{clip.path.stem} {begin}", clip.path.stem) for samples, clip, begin in found]


def _stretches(
    times_s: dict[str, tuple[tuple[float, float], ...]], margin_s: float = 0.0
) -> Iterator[tuple[NDArray[np.float32], clips.Clip, float]]:
    """Parts of field clips of the train split: samples, clip, begin in seconds."""
    for clip in clips.find_clips("field", "train", "train"):
        samples = clip.read() if clip.path.stem in times_s else None
        for begin, end in times_s.get(clip.path.stem, ()):
            assert samples is not None
            first, last = int(max(0.0, begin - margin_s) * RATE_HZ), int((end + margin_s) * RATE_HZ)
            yield samples[first:last], clip, begin


def _simulated_call(rng: np.random.Generator) -> Floats:
    # No click trains: shrimps, propellers and other whales make short clicks too.
    kind = rng.choice(3, p=[0.68, 0.24, 0.08])
    call = (pulsed_call, whistle, near_tonal)[int(kind)](rng)
    echo = np.zeros(len(call) + int(0.4 * RATE_HZ))
    echo[: len(call)] = call
    for _ in range(int(rng.choice([0, 0, 2, 5]))):  # reverberation: late, weaker copies
        late = int(rng.uniform(0.002, 0.3) * RATE_HZ)
        echo[late : late + len(call)] += call * rng.uniform(-0.3, 0.3)
    return echo


def catalogue_calls(split: str) -> list[clips.Clip]:
    """Calls of the catalogue in a split (dev: types S04 and S09; test: S16, S33 and S42)."""
    return [clip for clip in clips.find_clips("calls", split) if "hallo" in clip.path.parent.name]
