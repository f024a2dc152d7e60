"""From masks to call events: when, in which band, how likely.

Pure array work on shares `[frequency, frame]`; frames and bins are those of `spectrogram`. An event is a
run of frames whose call-dominated bins add up to enough, closed over short gaps.
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
    """How masks become events; chosen on the dev recordings (`docs/experiments.md`).

    Args:
        share: bins count as call from this call share on.
        start: bins per frame (smoothed) that an event must reach once.
        keep: bins per frame that hold it.
        gap_s: shorter silences do not end an event.
        min_s: shorter events are dropped.
        min_probability: calls are reported from this probability on, as the table shows it; None for the thresholds
            of `classification.LabelSettings`.
    """

    share: float = 0.3
    start: float = 0.6
    keep: float = 0.25
    gap_s: float = 0.4
    min_s: float = 0.06
    min_probability: float | None = None


@dataclass(frozen=True, kw_only=True)
class Event:
    """A candidate call: frames [begin, end), its band, and the figures that its probability rests on."""

    begin: int
    end: int
    low_hz: float
    high_hz: float
    evidence: dict[str, float]


SMOOTH_FRAMES = 5


def activity(call_share: Floats, settings: EventSettings) -> Floats:
    """Call-dominated bins per frame, each weighted by its share, smoothed. `[frequency, frame]` → `[frame]`."""
    kept = np.where(call_share >= settings.share, call_share, 0.0).sum(axis=0)
    smooth: Floats = ndimage.uniform_filter1d(kept, SMOOTH_FRAMES, mode="constant").astype(np.float32)
    return smooth


def find_events(call_share: Floats, settings: EventSettings) -> list[Event]:
    """Every event in the mask `[frequency, frame]`, in order of time."""
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
