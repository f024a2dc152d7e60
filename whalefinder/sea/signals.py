"""Building blocks of simulated sound: smooth random curves, shaped noise, band levels.

Random functions take a `numpy.random.Generator`, so the same seed gives the same sound. All sounds are at `RATE_HZ`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from whalefinder.sound.spectrogram import BAND_HZ, RATE_HZ

Floats = NDArray[np.float64]


def smooth_curve(rng: np.random.Generator, samples: int, knots: int) -> Floats:
    """A smooth random curve of about unit variance with `knots` independent values. → `[time]`."""
    values = rng.standard_normal(knots + 3)
    place = np.linspace(1, knots + 1 - 1e-9, samples)
    index = place.astype(int)
    t = place - index
    # Cubic B-spline of the knots. Its curvature is continuous, so a frequency that follows it has no kinks.
    weights = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    curve: Floats = sum(w * values[index - 1 + k] for k, w in enumerate(weights)) / 6.0
    return curve * 1.5


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A random number between `low` and `high` whose logarithm is uniform."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def taper(samples: int, edge_s: float) -> Floats:
    """A window `[time]` in 0...1 that fades in and out, each over `edge_s` seconds, as a raised cosine."""
    edge = int(max(1, min(samples // 2, round(edge_s * RATE_HZ))))
    fade = 0.5 - 0.5 * np.cos(np.pi * (np.arange(edge) + 0.5) / edge)
    window = np.ones(samples)
    window[:edge] *= fade
    window[-edge:] *= fade[::-1]
    return window


def shaped_noise(rng: np.random.Generator, samples: int, level_hz: Floats, level_db: Floats) -> Floats:
    """Gaussian noise `[time]` whose power density goes through points (Hz, dB), linear over log frequency."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    hz = np.fft.rfftfreq(samples, 1 / RATE_HZ)
    gain_db = np.interp(np.log(np.maximum(hz, 1.0)), np.log(level_hz), level_db)
    return np.fft.irfft(spectrum * 10 ** (gain_db / 20), samples)


def band_power(x: NDArray[np.floating]) -> float:
    """Mean square of `[..., time]` within `BAND_HZ`, averaged over all leading axes."""
    spectrum = np.fft.rfft(x, axis=-1)
    hz = np.fft.rfftfreq(x.shape[-1], 1 / RATE_HZ)
    inside = (hz >= BAND_HZ[0]) & (hz <= BAND_HZ[1])
    # Parseval for a one-sided spectrum: Σ x² = 2/N Σ |X|² over the positive bins inside the band.
    power = 2.0 * (np.abs(spectrum[..., inside]) ** 2).sum(-1) / x.shape[-1] ** 2
    return float(np.mean(power))
