"""Which hydrophones of a recording are used: those that hear, and of many the most spread ones."""

from __future__ import annotations

import numpy as np

MAX_HYDROPHONES = 16  # of a larger array the most spread ones: covariances grow with the square
DEAF = 1e-2  # a hydrophone 40 dB below the others hears nothing; steering with it would point nowhere


def hearing(samples: np.ndarray) -> np.ndarray:
    """Indices of the channels that are neither constant nor 40 dB quieter than the median one, `[channel, time]`."""
    # Differences, since a constant or slow offset is no sound; of every 7th sample, since this is no spectrum.
    swing = np.diff(samples[:, ::7], axis=1).std(axis=1)
    usual = np.median(swing[swing > 0]) if swing.any() else 0.0
    return np.flatnonzero((swing > 0) & (swing > DEAF * usual))
