"""From masks to call events: their times, their bands, and the figures from which their probability is computed.

The input is the call share `[frequency, frame]`, with the frames and bins of `spectrogram`. An event is a run of frames
that hold enough bins with call. Short gaps do not end it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from whalefinder.sound.spectrogram import BIN_HZ, FIRST_BIN, FRAME_S

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class EventSettings:
    """How masks become events. The values were chosen on the dev recordings (`docs/experiments.md`).

    Args:
        share: a bin counts as call if its call share is at least this.
        start: bins per frame (smoothed, see `activity`) that an event must reach at least once.
        keep: bins per frame that every frame of an event must reach, apart from gaps.
        gap_s: a shorter gap does not end an event, seconds.
        min_s: shorter events are dropped, seconds.
        min_probability: report calls whose column `probability` has at least this value. None: the thresholds of
            `classification.LabelSettings`.
    """

    share: float = 0.3
    start: float = 0.6
    keep: float = 0.25
    gap_s: float = 0.4
    min_s: float = 0.06
    min_probability: float | None = None


@dataclass(frozen=True, kw_only=True)
class Event:
    """A candidate for a call.

    Args:
        begin, end: frames [begin, end) of the mask.
        low_hz, high_hz: band that holds 98 % of its call share, in hertz.
        evidence: figures from which its score is computed (`scores`).
    """

    begin: int
    end: int
    low_hz: float
    high_hz: float
    evidence: dict[str, float]


SMOOTH_FRAMES = 5


def activity(call_share: Floats, settings: EventSettings) -> Floats:
    """Bins with call per frame, weighted by their call share, smoothed over time. `[frequency, frame]` → `[frame]`."""
    kept = np.where(call_share >= settings.share, call_share, 0.0).sum(axis=0)
    smooth: Floats = ndimage.uniform_filter1d(kept, SMOOTH_FRAMES, mode="constant").astype(np.float32)
    return smooth


def find_events(call_share: Floats, settings: EventSettings) -> list[Event]:
    """Find all events in the call share `[frequency, frame]`, in order of time."""
    level = activity(call_share, settings)
    active = level >= settings.keep
    gap = max(1, round(settings.gap_s / FRAME_S))
    closed = ndimage.binary_closing(np.pad(active, gap), np.ones(gap + 1))[gap:-gap] | active
    events = []
    for (span,) in ndimage.find_objects(ndimage.label(closed)[0]):
        if level[span].max() < settings.start:
            continue
        frames = np.flatnonzero(active[span]) + span.start
        begin, end = int(frames[0]), int(frames[-1]) + 1
        if (end - begin) * FRAME_S >= settings.min_s:
            events.append(_describe(call_share[:, begin:end], begin, end, settings))
    return events


def _describe(share: Floats, begin: int, end: int, settings: EventSettings) -> Event:
    kept = np.where(share >= settings.share, share, 0.0)
    by_bin = np.cumsum(kept.sum(axis=1))
    total = max(float(by_bin[-1]), 1e-3)
    low, high = np.searchsorted(by_bin, [0.01 * total, 0.99 * total])
    strong = share[share >= settings.share]
    evidence = {
        "log_area": float(np.log(total)),
        "mean_share": float(strong.mean()) if strong.size else 0.0,
    }
    return Event(
        begin=begin,
        end=end,
        low_hz=(FIRST_BIN + int(low) - 0.5) * BIN_HZ,
        high_hz=(FIRST_BIN + int(high) + 0.5) * BIN_HZ,
        evidence=evidence,
    )
