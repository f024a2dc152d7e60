"""Which hydrophones of a recording are used: those that are not deaf, and of a large array those furthest apart."""

from __future__ import annotations

import numpy as np

MAX_HYDROPHONES = 16  # of a larger array those furthest apart; the work grows with the square of the number
DEAF = 1e-2  # a hydrophone 40 dB below the others counts as deaf; with it, bearings would be wrong


COPY = 1e-3
"""Two channels whose difference is smaller than this share of them are one signal: own noise makes real ones differ."""


def hearing(samples: np.ndarray, *, array: bool = True) -> np.ndarray:
    """Indices of the channels of `[channel, time]` that hear: not constant, not 40 dB below the median channel, no copy.

    Nobody can say where the hydrophone of two equal channels was, so an array goes on without both; if nothing else is
    left, with the first. Without an array the first of each group of copies is heard.
    """
    # Differences, since a constant or slow offset is not sound. Every 7th sample is enough to measure the level.
    steps = np.diff(samples[:, ::7], axis=1)
    swing = steps.std(axis=1)
    usual = np.median(swing[swing > 0]) if swing.any() else 0.0
    loud = np.flatnonzero((swing > 0) & (swing > DEAF * usual))
    if not loud.size:
        return loud
    copy = copies(steps[loud])
    if array:
        alone = ~copy.any(axis=1)
        return loud[alone] if alone.any() else loud[:1]
    return loud[~np.tril(copy).any(axis=1)]


def copies(signals: np.ndarray) -> np.ndarray:
    """Which channels are copies of one another, with any gain. `[channel, time]`, real or complex → `[channel, channel]`."""
    exact = signals.astype(np.result_type(signals, np.float64))  # rounding of a minute of sound would be no copy
    products = np.array([[abs(np.vdot(a, b)) for b in exact] for a in exact])
    size = np.sqrt(np.diag(products))
    copy = products > (1 - COPY**2 / 2) * np.outer(size, size)
    np.fill_diagonal(copy, False)
    return copy
