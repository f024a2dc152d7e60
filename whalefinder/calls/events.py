"""From masks to call events: their times, their bands, and the figures from which their probability is computed.

The input is the call share `[frequency, frame]`, with the frames and bins of `spectrogram`. An event is a run of frames
that hold enough bins with call, and it should be one call. So clicks, which are short in time, neither begin an event nor
join two, and a run with a deep valley of activity becomes two events.
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
        least_s: bins count if, together with their neighbours in frequency, they last at least so long, seconds.
        gap_s: a shorter gap does not end a run of frames, seconds. But a gap that is also a valley (below) cuts the event.
        valley: an event is cut where its activity stays below this share of the lower one of the two peaks beside it,
        valley_s: for at least so long, seconds. The parts of one call follow each other more closely.
        tail: an event begins and ends where its activity reaches this share of its peak, and `keep` at least.
        min_s: shorter events are dropped, seconds.
        min_probability: report calls whose column `probability` has at least this value. None: the thresholds of
            `classification.LabelSettings`.
    """

    share: float = 0.3
    start: float = 0.6
    keep: float = 0.3
    least_s: float = 0.064
    gap_s: float = 0.25
    valley: float = 0.25
    valley_s: float = 0.085
    tail: float = 0.06
    min_s: float = 0.1
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
SPREAD_BINS = 2
VALLEY_FRAMES = 7  # activity is smoothed over these once more before valleys are looked for
LEAST_PART = 14  # frames; a valley nearer to an end, 0.15 s, cuts off no call


def lasting(call_share: Floats, settings: EventSettings) -> NDArray[np.bool_]:
    """Bins with call that are part of something that lasts: not of a click. `[frequency, frame]` → the same, bool.

    A tone that rises or falls moves to the next bin before it has lasted in its own, so bins are widened by two in both
    directions of frequency before the short ones are taken out (a morphological opening along time).
    """
    bins = call_share >= settings.share
    frames = max(1, round(settings.least_s / FRAME_S))
    # Least and greatest of a line instead of SciPy's morphology, which is three times slower; the second begins one
    # frame later where `frames` is even, so that what is left lies where it lay.
    wide = ndimage.maximum_filter1d(bins.view(np.uint8), 2 * SPREAD_BINS + 1, axis=0, mode="constant")
    long = ndimage.minimum_filter1d(wide, frames, axis=1, mode="constant")
    long = ndimage.maximum_filter1d(long, frames, axis=1, mode="constant", origin=frames % 2 - 1)
    return bins & long.astype(bool)  # type: ignore[no-any-return]


def activity(call_share: Floats, settings: EventSettings) -> Floats:
    """Lasting bins with call per frame, weighted by their call share, smoothed over time. `[frequency, frame]` → `[frame]`."""
    return _bins(call_share, lasting(call_share, settings))


def _bins(call_share: Floats, chosen: NDArray[np.bool_]) -> Floats:
    kept = np.where(chosen, call_share, 0.0).sum(axis=0)
    smooth: Floats = ndimage.uniform_filter1d(kept, SMOOTH_FRAMES, mode="constant").astype(np.float32)
    return smooth


def find_events(call_share: Floats, settings: EventSettings) -> list[Event]:
    """Find all events in the call share `[frequency, frame]`, in order of time."""
    level, every = activity(call_share, settings), _bins(call_share, call_share >= settings.share)
    active = level >= settings.keep
    gap = max(1, round(settings.gap_s / FRAME_S))
    closed = ndimage.binary_closing(np.pad(active, gap), np.ones(gap + 1))[gap:-gap] | active
    events = []
    for (run,) in ndimage.find_objects(ndimage.label(closed)[0]):
        for first, last in _calls(level, every, run.start, run.stop, settings):
            peak = float(level[first:last].max())
            frames = first + np.flatnonzero(level[first:last] >= max(settings.keep, settings.tail * peak))
            if peak < settings.start or (len(frames) and (frames[-1] + 1 - frames[0]) * FRAME_S < settings.min_s):
                continue
            begin, end = int(frames[0]), int(frames[-1]) + 1
            events.append(_describe(call_share[:, begin:end], begin, end, settings))
    return events


def narrowed(call_share: Floats, event: Event, settings: EventSettings) -> Event | None:
    """The part of an event in which some call is left, by another share `[frequency, frame]`; None if it is too short."""
    inside = call_share[:, event.begin : event.end]
    level = activity(inside, settings)
    peak = float(level.max(initial=0.0))
    frames = event.begin + np.flatnonzero(level >= max(settings.keep, settings.tail * peak))
    if peak < settings.start or not len(frames) or (frames[-1] + 1 - frames[0]) * FRAME_S < settings.min_s:
        return None
    begin, end = int(frames[0]), int(frames[-1]) + 1
    return _describe(call_share[:, begin:end], begin, end, settings)


def _calls(level: Floats, every: Floats, begin: int, end: int, settings: EventSettings) -> list[tuple[int, int]]:
    """A run of frames [begin, end), cut at every valley that is deep beside the peaks on its two sides, and wide.

    Args:
        level: lasting bins with call, `activity`.
        every: all bins with call. A steep sweep passes too fast to last in any bin, and is no valley.
    """
    if end - begin < 2 * LEAST_PART + 1:
        return [(begin, end)]
    smooth = ndimage.uniform_filter1d(level[begin:end], VALLEY_FRAMES)
    before, after = np.maximum.accumulate(smooth), np.maximum.accumulate(smooth[::-1])[::-1]
    inside = slice(LEAST_PART, -LEAST_PART)
    peaks = np.maximum(np.minimum(before[inside], after[inside]), 1e-9)
    depth = smooth[inside] / peaks
    # The deepest frame of every valley that is wide enough; the deepest of these is cut first.
    deep = ndimage.binary_opening(depth <= settings.valley, np.ones(max(1, round(settings.valley_s / FRAME_S))))
    deep &= every[begin:end][inside] <= settings.valley * peaks
    if not deep.any():
        return [(begin, end)]
    cut = begin + LEAST_PART + int(np.where(deep, depth, np.inf).argmin())
    return [*_calls(level, every, begin, cut, settings), *_calls(level, every, cut, end, settings)]


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
