"""Which hydrophones of a recording are used: those that are not deaf, and of a large array those furthest apart."""

from __future__ import annotations

import numpy as np

MAX_HYDROPHONES = 16  # of a larger array those furthest apart; the work grows with the square of the number
DEAF = 1e-2  # a hydrophone 40 dB below the others counts as deaf; with it, bearings would be wrong


COPY = 1e-3
"""Two channels whose difference is smaller than this share of them are one signal: own noise makes real ones differ."""


def hearing(samples: np.ndarray) -> np.ndarray:
    """Indices of the channels of `[channel, time]` that hear: not constant, not 40 dB below the median channel, no copy.

    Nobody can say which of two equal channels is the true one, so both are left out. If all channels that hear are copies
    of one another, the first stands for them.
    """
    # Differences, since a constant or slow offset is not sound. Every 7th sample is enough to measure the level.
    steps = np.diff(samples[:, ::7], axis=1)
    swing = steps.std(axis=1)
    usual = np.median(swing[swing > 0]) if swing.any() else 0.0
    loud = np.flatnonzero((swing > 0) & (swing > DEAF * usual))
    return _without_copies(steps[loud] / swing[loud, None], loud)


def _without_copies(steps: np.ndarray, channels: np.ndarray) -> np.ndarray:
    """The channels that are no copies of one another, inverted or not, by their steps of unit size `[channel, time]`."""
    likeness = np.abs(steps @ steps.T) / max(1, steps.shape[1]) - np.eye(len(steps))
    alone = likeness.max(axis=1, initial=0.0) < 1 - COPY**2 / 2
    return channels[alone] if alone.any() else channels[:1]
