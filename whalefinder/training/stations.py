"""Recordings of stations without orcas, divided by their use in training: background, ship, or another cetacean.

The labels of the data state what somebody heard. Here the spectrogram in our band decides instead. For example, the
"soundscapes" of two stations are full of humpback song or dolphin whistles, and the calls of fin and right whales lie
far below our band.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from whalefinder.sound.spectrogram import RATE_HZ
from whalefinder.training import clips
from whalefinder.training.clips import Clip

SHIPS = ("vessel", "smallboat")
SONG, WHISTLES = "humpback song", "dolphin whistles"
# Nobody wrote down what calls in these recordings; their spectrograms show it. Part of a file name → what calls.
WHALES_IN_AMBIENT = {
    "hi01_ambienthigh": SONG,
    "hi01_hwsong": SONG,
    "hi01_soundscape": SONG,
    "ci02_highambient": SONG,
    "ci02_soundscape_20200512": SONG,
    "mb01_highambient": SONG,
    "mb01_soundscape_20200421": SONG,
    "pm01_soundscape": SONG,
    "sb03__67": WHISTLES,
    "sb03_soundscape": WHISTLES,
    "pm05_soundscape": WHISTLES,
    "ci04_highambient": WHISTLES,
    "ci04_soundscape_20200405": WHISTLES,
    "sample_220925_223450": WHISTLES,
    "sample_220925_223510": WHISTLES,
}
# Labelled "without a call", but the spectrograms show a short upsweep with harmonics, of an animal that nobody named.
DOUBTFUL = ("neg_04", "neg_13")
BELOW_BAND = ("finwhale", "rightwhale")
FAINT = ("pm05_dolphin", "sb03_minkewhale")  # shrimps are louder than the whale, so these are not used at all
FOLDERS = ("sanctsound", "osekit", "riptide", "orcasound_humpback_catalogue")  # folders that may be used in training
PIECE_S = 10.0  # a long recording is cut into pieces of at most this length
WHALE_PIECE_S = 3.5

Piece = tuple[NDArray[np.float32], Clip]
"""Samples `[time]` at `RATE_HZ`, and the row of the catalogue that describes their recording."""


def backgrounds(split: str = "train") -> Iterator[Piece]:
    """Yield pieces of at most `PIECE_S` without a clear whale or ship."""
    for clip in clips.find_clips("ambient", split):
        if _is_ours(clip) and not _is_of(clip, (*SHIPS, *WHALES_IN_AMBIENT)):
            yield from _pieces(clip, PIECE_S)
    for clip in clips.find_clips("other_species", split):
        if _is_ours(clip) and _is_of(clip, BELOW_BAND):
            yield from _pieces(clip, PIECE_S)


def ships(split: str = "train") -> Iterator[Piece]:
    """Yield the recordings of ships and small boats that pass."""
    for clip in clips.find_clips("ambient", split):
        if _is_of(clip, SHIPS):
            yield clip.read(), clip


def other_cetaceans(split: str = "train", piece_s: float = WHALE_PIECE_S) -> Iterator[Piece]:
    """Yield pieces of at most `piece_s` seconds with another whale or dolphin in our band."""
    for clip in clips.find_clips("ambient", split):
        if _is_of(clip, WHALES_IN_AMBIENT):
            yield from _pieces(clip, piece_s)
    for clip in clips.find_clips("other_species", split):
        # One folder of other species holds an orca.
        if _is_ours(clip) and clip.label != "orca_call" and not _is_of(clip, BELOW_BAND + FAINT):
            yield from _pieces(clip, piece_s)


def whale_in_ambient(clip: Clip) -> str | None:
    """What calls in a recording that is labelled as ambient: humpback song or dolphin whistles. None: nothing known."""
    stem = clip.path.stem.lower()
    return next((whale for name, whale in WHALES_IN_AMBIENT.items() if name in stem), None)


def _is_ours(clip: Clip) -> bool:
    return clip.path.parent.name in FOLDERS


def _is_of(clip: Clip, names: Iterable[str]) -> bool:
    stem = clip.path.stem.lower()
    return any(name in stem for name in names)


def _pieces(clip: Clip, seconds: float) -> Iterator[Piece]:
    """Yield a recording in equal pieces, each of at most `seconds`."""
    samples = clip.read()
    for piece in np.array_split(samples, max(1, int(np.ceil(len(samples) / (seconds * RATE_HZ))))):
        yield piece, clip
