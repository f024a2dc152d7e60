"""The sounds by which an array is calibrated: free delays of the clearest half seconds of recordings, mostly of boats."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from whalefinder.array.geometry import Floats, HydrophoneArray
from whalefinder.health.windows import Window, clearness, window_of
from whalefinder.sound import spectrogram
from whalefinder.sound.recording import Recording, segments
from whalefinder.sound.spectrogram import FRAME_S, HOP, OVERLAP

FRAMES = 48
"""0.51 s. A boat that passes at 12 m/s in 30 m turns by 12° in it, and the mean of its directions is then 0.2 % short."""
PIECE_FRAMES = 100 * FRAMES
MOST_SOUNDS = 200
"""Of a recording as many sounds are taken, the clearest of every 200th part: the next boat tells more than the next second."""


CLEAR, CLEAREST = 0.02, 0.005
"""Share of the power of a clear sound that no single wavefront explains; and the least share that is believed."""


@dataclass(frozen=True, kw_only=True)
class Sounds:
    """Delays of many short sounds, each from one direction.

    Args:
        time_s: middle of each sound on an axis that all recordings share, `[sound]`.
        own_s: the same from the start of its recording, `[sound]`.
        utc: the same as time of day, or None where it is unknown.
        recording: name of its recording.
        delays_s: free delays, positive is later, `[sound, channel]`; 0 where a hydrophone was dead.
        information: C⁻¹ of the delays, 1/s², `[sound, channel, channel]`. The mean delay has none, nor has a dead hydrophone.
        gains: `[sound, channel]`, of which the median is 1; NaN where a hydrophone was dead.
        coherence: share of the power that one wavefront explains, `[sound]`.
    """

    time_s: Floats
    own_s: Floats
    utc: tuple[datetime | None, ...]
    recording: tuple[str, ...]
    delays_s: Floats
    information: Floats
    gains: Floats
    coherence: Floats

    @property
    def count(self) -> int:
        """How many sounds."""
        return len(self.time_s)

    @property
    def heard(self) -> NDArray[np.bool_]:
        """Which hydrophones heard each sound, `[sound, channel]`."""
        return np.diagonal(self.information, axis1=1, axis2=2) > 0

    @property
    def doubt(self) -> Floats:
        """By how much the delays of each sound are less certain than those of a clear one, `[sound]`.

        Other boats in a sound move its delays by more than their noise, in proportion to the share of the power that its
        wavefront does not explain.
        """
        return np.asarray(np.maximum(1 - self.coherence, CLEAREST) / CLEAR)

    def chosen(self, which: NDArray[Any]) -> Sounds:
        """Some of the sounds, by index or by a mask."""
        index = np.arange(self.count)[which]
        return Sounds(
            time_s=self.time_s[index],
            own_s=self.own_s[index],
            utc=tuple(self.utc[i] for i in index),
            recording=tuple(self.recording[i] for i in index),
            delays_s=self.delays_s[index],
            information=self.information[index],
            gains=self.gains[index],
            coherence=self.coherence[index],
        )


@torch.inference_mode()
def hear(
    recordings: Sequence[Recording],
    array: HydrophoneArray,
    report: Callable[[float, str], None] = lambda seconds_done, name: None,
) -> Sounds:
    """The clearest sounds of recordings.

    Args:
        recordings: opened with `array`.
        array: the geometry. Only its gains are used.
        report: is called with the seconds that are done and the name of the recording.

    Raises:
        RecordingError: a file cannot be read.
    """
    slot_s = max(FRAMES * FRAME_S, sum(recording.duration_s for recording in recordings) / MOST_SOUNDS)
    found: list[tuple[Window, Recording, float]] = []
    before_s = 0.0
    for recording in recordings:
        for slot in _slots(recording, array, slot_s, lambda s, r=recording, b=before_s: report(b + s, r.name)):  # type: ignore[misc]
            if (window := window_of(slot.spectra, slot.time_s)) is not None:
                found.append((window, recording, before_s))
        before_s += recording.duration_s
    return _gathered(found, array.num_channels)


@dataclass
class _Slot:
    """The clearest piece of a stretch of a recording so far."""

    number: int
    clearness: float
    spectra: torch.Tensor
    time_s: float


def _slots(
    recording: Recording, array: HydrophoneArray, slot_s: float, report: Callable[[float], None]
) -> Iterator[_Slot]:
    """The clearest piece of every `slot_s` of a recording, in order."""
    gain = array.relative_gain()[:, None]
    best: _Slot | None = None
    for segment in segments(recording, PIECE_FRAMES * HOP, 0, 0):
        spectra = spectrogram.stft(torch.from_numpy(segment.samples * gain))
        for begin in range(0, spectra.shape[-1] - FRAMES + 1, FRAMES):
            middle_s = (segment.first_sample / HOP + begin + FRAMES / 2) * FRAME_S
            piece = spectra[..., begin : begin + FRAMES]
            new = _Slot(int(middle_s / slot_s), clearness(piece), piece, recording.begin_s + middle_s)
            if best is not None and new.number != best.number and best.clearness > 0:
                yield best
            if best is None or new.number != best.number or new.clearness > best.clearness:
                best = new
        if best is not None:
            best.spectra = best.spectra.clone()  # a view would keep the spectra of the whole piece
        report(min(recording.duration_s, segment.core[1] / spectrogram.RATE_HZ))
    if best is not None and best.clearness > 0:
        yield best


def _gathered(found: Sequence[tuple[Window, Recording, float]], channels: int) -> Sounds:
    delays, gains = np.zeros((len(found), channels)), np.full((len(found), channels), np.nan)
    information = np.zeros((len(found), channels, channels))
    for k, (window, _, _) in enumerate(found):
        phones = window.hydrophones
        delays[k, phones], gains[k, phones] = window.delays_s, window.gains
        # Frames overlap, so that the likelihood counts each sample `OVERLAP` times.
        information[k][np.ix_(phones, phones)] = window.information / OVERLAP
    return Sounds(
        time_s=np.array([before_s + window.time_s - recording.begin_s for window, recording, before_s in found]),
        own_s=np.array([window.time_s for window, _, _ in found]),
        utc=tuple(recording.begin_utc(window.time_s, window.time_s) for window, recording, _ in found),
        recording=tuple(recording.name for _, recording, _ in found),
        delays_s=delays,
        information=information,
        gains=gains,
        coherence=np.array([window.coherence for window, _, _ in found]),
    )
