"""A few seconds of a recording, read without the rest, with the event and the decision of `locate`."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from whalefinder.array.geometry import HydrophoneArray
from whalefinder.bearings.judge import Heard, Judge, Judgement
from whalefinder.calls import events
from whalefinder.calls.events import Event, EventSettings
from whalefinder.calls.hydrophones import hearing
from whalefinder.calls.masks import CALL, Masks
from whalefinder.errors import OptionError, RecordingError
from whalefinder.pipeline import Locator
from whalefinder.sound import spectrogram
from whalefinder.sound.recording import Recording, Samples, resampled
from whalefinder.sound.spectrogram import CELL_FRAMES, FRAME_S, HOP, RATE_HZ

GRID_FRAMES = 15 * CELL_FRAMES
GRID_S = GRID_FRAMES * HOP / RATE_HZ
"""Excerpts begin at multiples of this, 1.28 s. So frames and covariance cells are the same as in the whole recording.
It is a whole number of samples at all usual rates."""


Levels = NDArray[np.float64]
REACH_S = 12.0  # read before and after: 5 s for planes, covariances and network, and room for a long event
NEAR_S = 0.25  # an event this near counts, since people read the time from a picture
AROUND_S = 0.5  # shown before and after an event
CONTEXT_S = 75.0  # `calls.context.REACH_S`, and what the search looks at before and after an event
SAME_S = 0.1  # begins of one event in two searches differ by less
BARE_S = 1.5  # shown before and after a time at which there is no event
LONGEST_S = 8.0


@dataclass(frozen=True, kw_only=True)
class Excerpt:
    """The sound around a time, with its masks, event and decision.

    Args:
        masks: masks of the hydrophones that are used together, with some seconds before and after.
        array: geometry of these hydrophones, or None if it is unknown or only one hydrophone hears.
        channels: channels of these hydrophones, from 1.
        event: the event at that time (frames counted from the begin of `masks`), or None.
        judgement: the decision of `locate` about the event, or None.
        begin, end: frames to explain, counted from the begin of `masks`.
    """

    masks: Masks
    array: HydrophoneArray | None
    channels: tuple[int, ...]
    event: Event | None
    judgement: Judgement | None
    begin: int
    end: int

    def seconds(self, frame: int) -> float:
        """Time in the recording, in seconds, of a frame counted from the begin of `masks`."""
        return max(0.0, (self.masks.first_frame + frame - 0.5) * FRAME_S)

    def box(self) -> tuple[float, float, float, float] | None:
        """(begin s, end s, low Hz, high Hz) of the event in the recording, or None."""
        event = self.event
        if event is None:
            return None
        return self.seconds(event.begin), self.seconds(event.end), event.low_hz, event.high_hz

    def level_db(self, first_frame: int, frames: int) -> Levels:
        """Mean level of the hydrophones, dB re full scale, in `frames` frames from a frame of the recording on.

        Shape:
            → `[frequency, frame]`.
        """
        begin = first_frame - self.masks.first_frame
        power = spectrogram.power(self.masks.spectra[..., begin : begin + frames]).mean(0)
        return spectrogram.level_db(power.double()).numpy()  # type: ignore[no-any-return]


def listen(recording: Recording, at_s: float, judge: Judge, settings: EventSettings | None = None) -> Excerpt:
    """Masks, event and decision around a time, computed as in `locate`.

    If the places of the hydrophones are unknown, there is a decision for each hydrophone alone. Of their events at that
    time the likeliest call is used.

    Args:
        recording: the recording.
        at_s: the time, in seconds from its start.
        judge: that of a `Locator` with `all_events`. Otherwise events that cannot be a call have no decision.
        settings: how masks become events, or None for the shipped settings.

    Raises:
        OptionError: `at_s` lies outside the recording.
        RecordingError: the recording cannot be read there, or all hydrophones are silent there.
    """
    samples, first_frame = read_excerpt(recording, at_s, REACH_S)
    if not len(hearing(samples)):
        raise RecordingError(f"{recording.name}: silent around {at_s:g} s; there is nothing to explain")
    middle = round(at_s / FRAME_S) - first_frame
    groups = judge.heard(judge.masks(samples, first_frame, recording), recording)
    settings = settings or EventSettings()
    parts = [part for group in groups for part in _events_at(group, middle, judge, settings)]
    judged = [(group, event, judge(event, group)) for event, group in parts]
    if judged:
        heard, event, judgement = max(judged, key=lambda each: _rank(each[2]))
    else:
        heard, event, judgement = max(groups, key=lambda group: _call_near(group, middle)), None, None
    begin, end = _window(event, middle, heard.masks.spectra.shape[-1])
    channels = tuple(recording.labels[m] for m in heard.hydrophones)
    return Excerpt(
        masks=heard.masks, array=heard.array, channels=channels, event=event, judgement=judgement, begin=begin, end=end
    )


def in_context(excerpt: Excerpt, recording: Recording, locator: Locator) -> Excerpt:
    """The same excerpt with the decision that `locate` makes in the end: what goes on like a clock is a machine's.

    For that it searches the minute before and after too, if the event is a call without it.

    Args:
        excerpt: from `listen`.
        recording: the same recording.
        locator: with `all_events`, as for `listen`.
    """
    judgement, box = excerpt.judgement, excerpt.box()
    if judgement is None or box is None or not judgement.is_call:
        return excerpt
    around = recording.part(max(0.0, box[0] - CONTEXT_S), box[1] + CONTEXT_S)
    found = [row for stretch in locator.stream(around) for row in stretch.detections]
    same = min(found, key=lambda row: abs(row.begin_s - box[0]), default=None)
    if same is None or same.is_call or abs(same.begin_s - box[0]) > SAME_S:
        return excerpt
    return replace(excerpt, judgement=locator.judge.of_a_machine(judgement))


def _rank(judgement: Judgement | None) -> tuple[bool, float]:
    """Rank of a decision: calls before others, then by probability, as `locate` chooses between hydrophones."""
    return (False, 0.0) if judgement is None else (judgement.is_call, judgement.probability)


def _call_near(heard: Heard, middle: int) -> float:
    near = slice(max(0, middle - round(BARE_S / FRAME_S)), middle + round(BARE_S / FRAME_S))
    return float(heard.masks.shares[CALL, :, near].square().sum())


def _events_at(heard: Heard, frame: int, judge: Judge, settings: EventSettings) -> list[tuple[Event, Heard]]:
    """The events of all callers at a frame, or at the nearest within `NEAR_S` that has an event, with their masks."""

    def distance(event: Event) -> int:
        return max(event.begin - frame, frame - event.end + 1, 0)

    found = events.find_events(heard.masks.shares[CALL].numpy(), settings)
    nearest = min(range(len(found)), key=lambda k: distance(found[k]), default=None)
    if nearest is None or distance(found[nearest]) > NEAR_S / FRAME_S:
        return []
    parts = judge.calls_with(found, nearest, heard, settings)
    least = max(distance(found[nearest]), min(distance(event) for event, _ in parts))
    return [part for part in parts if distance(part[0]) <= least]


def _window(event: Event | None, middle: int, frames: int) -> tuple[int, int]:
    margin, longest = round(AROUND_S / FRAME_S), round(LONGEST_S / FRAME_S)
    if event is None:
        margin, begin, end = round(BARE_S / FRAME_S), middle, middle + 1
    else:
        begin, end = event.begin, event.end
        if end - begin > longest - 2 * margin:  # of a long event only the part around the time
            half = longest // 2 - margin
            begin, end = max(begin, middle - half), min(end, middle + half)
    return max(0, begin - margin), min(frames, end + margin)


def read_excerpt(recording: Recording, at_s: float, reach_s: float) -> tuple[Samples, int]:
    """Read the samples within `reach_s` seconds of the time `at_s`.

    Returns:
        Samples `[channel, time]` at `RATE_HZ`, and the frame of the recording at which they begin.

    Raises:
        OptionError: `at_s` lies outside the recording.
        RecordingError: the file holds less than its header promises, or cannot be read there.
    """
    if not 0.0 <= at_s < recording.duration_s:
        raise OptionError(
            f"{recording.name}: {at_s:g} s lies outside the recording, which lasts {recording.duration_s:.1f} s; "
            "give a time inside it"
        )
    step = max(0, int((at_s - reach_s) / GRID_S))
    begin = round(step * GRID_S * recording.rate_hz)
    end = round(min(at_s + reach_s, recording.duration_s) * recording.rate_hz)
    blocks = resampled(recording.checked_blocks(begin, end), recording.rate_hz, recording.num_channels)
    samples = np.concatenate([np.zeros((recording.num_channels, 0), np.float32), *blocks], axis=1)
    if samples.shape[1] / RATE_HZ + step * GRID_S <= at_s:
        raise RecordingError(
            f"{recording.name}: ends before {at_s:g} s, earlier than its header promises; copy it again"
        )
    return samples, step * GRID_FRAMES
