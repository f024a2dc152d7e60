"""Which hydrophones of a recording are used: those that are not deaf, and of a large array those furthest apart."""

from __future__ import annotations

import numpy as np

MAX_HYDROPHONES = 16  # of a larger array those furthest apart; the work grows with the square of the number
DEAF = 1e-2  # a hydrophone 40 dB below the others counts as deaf; with it, bearings would be wrong


def hearing(samples: np.ndarray) -> np.ndarray:
    """Indices of the channels of `[channel, time]` that hear: not constant, and not 40 dB below the median channel."""
    # Differences, since a constant or slow offset is not sound. Every 7th sample is enough to measure the level.
    swing = np.diff(samples[:, ::7], axis=1).std(axis=1)
    usual = np.median(swing[swing > 0]) if swing.any() else 0.0
    return np.flatnonzero((swing > 0) & (swing > DEAF * usual))
