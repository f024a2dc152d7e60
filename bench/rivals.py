"""Other methods that follow the direction of a whale, for comparison. `python -m bench.tune_tracks` tunes them.

All take `Steps` and return unit vectors `[batch, step, 3]`. Causal methods use only the past; smoothers use the whole
sequence.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from whalefinder.array.geometry import Floats, great_circle_rad
from whalefinder.tracks.fixes import Fixes, Steps
from whalefinder.tracks.kalman import Filtered, FilterSettings, kalman, smooth

Bools = NDArray[np.bool_]

KALMAN_CAUSAL = FilterSettings(acceleration=6e-4, rate_sd=1.4e-3, gate=100.0, resets=5, sd_scale=1.2)
KALMAN_SMOOTHER = FilterSettings(acceleration=9.4e-4, rate_sd=1.4e-3, gate=14.0, resets=6, sd_scale=3.4)
"""Found by `python -m bench.tune_tracks` on 300 training swims; for the IMM and the grid on the first 150 of them."""

HIDDEN_SR = 2 * np.pi
"""An outlier can be anywhere below the horizon, so its density is 1 over this many steradians."""


# --- the fixes themselves -----------------------------------------------------------------------------------------------


def raw(steps: Steps) -> Floats:
    """The last fix, or the first one if there is none before. `[batch, step, 3]`."""
    last, first_to_come = _neighbours(steps)
    return np.take_along_axis(steps.u, np.where(last < 0, first_to_come, last)[..., None], axis=1)


def raw_smoother(steps: Steps) -> Floats:
    """Great-circle interpolation between the fixes before and after. `[batch, step, 3]`."""
    time = np.cumsum(steps.dt_s, axis=1)
    last, coming = _neighbours(steps)
    last, coming = np.where(last < 0, coming, last), np.where(coming >= time.shape[1], last, coming)
    u, v = (np.take_along_axis(steps.u, at[..., None], axis=1) for at in (last, coming))
    begins, ends = (np.take_along_axis(time, at, axis=1) for at in (last, coming))
    share = (time - begins) / np.maximum(ends - begins, 1e-9)
    angle = np.maximum(great_circle_rad(u, v), 1e-9)
    between = np.sin((1 - share) * angle)[..., None] * u + np.sin(share * angle)[..., None] * v
    return np.asarray(between / np.maximum(np.linalg.norm(between, axis=-1, keepdims=True), 1e-12))


def _neighbours(steps: Steps) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Step of the last fix (-1: none) and of the next one (length: none), both including this step. `[batch, step]`."""
    length = steps.present.shape[1]
    here = np.arange(length)
    last = np.maximum.accumulate(np.where(steps.present, here, -1), axis=1)
    coming = np.minimum.accumulate(np.where(steps.present, here, length)[:, ::-1], axis=1)[:, ::-1]
    return last, coming


# --- one Kalman filter with a gate --------------------------------------------------------------------------------------


def kalman_causal(steps: Steps, settings: FilterSettings | None = None) -> Floats:
    """The filter of `whalefinder.tracks.kalman` with its gate, tuned for causal use."""
    return kalman(steps, settings or KALMAN_CAUSAL).u


def kalman_smoother(steps: Steps, settings: FilterSettings | None = None) -> Floats:
    """The same filter with its smoother in both directions of time (`both_ways`), tuned as a smoother."""
    settings = settings or KALMAN_SMOOTHER
    return both_ways(steps, kalman(steps, settings), kalman(backwards(steps), settings))


def backwards(steps: Steps) -> Steps:
    """The steps in reverse order of time. Padding comes first."""
    turned = {field.name: getattr(steps, field.name)[:, ::-1] for field in fields(steps)}
    # In this direction dt belongs to the other of the two steps.
    turned["dt_s"] = np.concatenate([np.zeros((len(steps.dt_s), 1)), steps.dt_s[:, :0:-1]], axis=1)
    return Steps(**turned)


def both_ways(steps: Steps, forward: Filtered, backward: Filtered) -> Floats:
    """Smooth in both directions of time, and take at each step the one whose filter used more of the fixes around it.

    A filter that began at an outlier, or began again late after a gap, is bad up to there. The filter from the other
    side is not.

    Args:
        steps: in order of time.
        forward: result of a filter on `steps`.
        backward: result of the same filter on `backwards(steps)`.

    Shape:
        → directions `[batch, step, 3]`.
    """
    ahead = smooth(steps, forward)[0][..., :3]
    behind = smooth(backwards(steps), backward)[0][:, ::-1, :3]
    share_ahead = _believed_share(forward, steps.present)
    share_behind = _believed_share(backward, steps.present[:, ::-1])[:, ::-1]
    return np.where((share_behind > share_ahead + 1e-9)[..., None], behind, ahead)


def _believed_share(filtered: Filtered, present: Bools) -> Floats:
    """Share of fixes that were used between the restart before and the restart after a step. `[batch, step]`."""
    run = np.cumsum(filtered.restarted, axis=1)
    share = np.zeros(run.shape)
    for row, numbers in enumerate(run):
        fixes = np.bincount(numbers, weights=present[row])
        believed = np.bincount(numbers, weights=filtered.accepted[row] & present[row])
        share[row] = (believed / np.maximum(fixes, 1))[numbers]
    return share


# --- association --------------------------------------------------------------------------------------------------------


def nearest_neighbour(
    fixes: Fixes, gate_rad: float = np.radians(10.0), max_silence_s: float = 60.0
) -> NDArray[np.intp]:
    """Assign each fix to the track with the nearest last fix, if it is near enough and not too old. → `[fix]`.

    Otherwise the fix begins a new track.
    """
    labels = np.full(len(fixes), -1)
    ends: list[int] = []  # last fix of every track
    for k in range(len(fixes)):
        distance = great_circle_rad(fixes.u[ends], fixes.u[k]) if ends else np.zeros(0)
        silent = fixes.time_s[k] - fixes.time_s[ends] > max_silence_s if ends else np.zeros(0, bool)
        distance = np.where(silent, np.inf, distance)
        if len(distance) and distance.min() < gate_rad:
            labels[k] = distance.argmin()
            ends[labels[k]] = k
        else:
            labels[k] = len(ends)
            ends.append(k)
    return labels
