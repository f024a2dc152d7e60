"""Building blocks of simulated sound: smooth random curves, shaped noise, band levels.

Random functions take a `numpy.random.Generator`, so the same seed gives the same sound. All sounds are at `RATE_HZ`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from whalefinder.sound.spectrogram import BAND_HZ, RATE_HZ

Floats = NDArray[np.float64]
TOP_HZ = 23_000.0  # no harmonic goes above


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


def phase_of(hz: Floats) -> Floats:
    """Phase of a tone whose frequency is `hz` at every sample, radians. `[time]` → `[time]`."""
    phase: Floats = 2 * np.pi * np.cumsum(hz) / RATE_HZ
    return phase


def harmonics(hz: Floats, gains: NDArray[np.complexfloating]) -> Floats:
    """Tones at 1, 2, 3 … times `hz` (`[time]`) with complex `gains` (`[tone]`), but none above `TOP_HZ`. → `[time]`."""
    turn = np.exp(1j * phase_of(hz))
    total, tone = np.zeros(len(hz)), np.ones(len(hz), complex)
    for k, gain in enumerate(gains, 1):
        if k * hz.min() > TOP_HZ:
            break
        tone = tone * turn
        part = (gain * tone).imag
        total += part if k * hz.max() < TOP_HZ - 1000 else part * np.clip((TOP_HZ - k * hz) / 1000, 0, 1)
    return total


def random_gains(
    rng: np.random.Generator, tones: int, decay_db: float, spread_db: float = 3.0
) -> NDArray[np.complex128]:
    """Gains for `harmonics` with random phases. → `[tone]`.

    The levels fall by `decay_db` from one tone to the next. `spread_db` is the standard deviation around this fall.
    """
    level_db = -decay_db * np.arange(tones) + rng.normal(0, spread_db, tones)
    return 10 ** (level_db / 20) * np.exp(1j * rng.uniform(0, 2 * np.pi, tones))


def resonate(excitation: Floats, hz: Floats, decay_s: Floats, gains: Floats) -> Floats:
    """The sound of modes that ring after each impulse of `excitation`. → `[time]`.

    An impulse of 1 gives Σ gain · e^(-t / decay) · sin(2π hz t), from the next sample on. Each mode is a filter with
    two poles; the filters work in parallel. `excitation` is `[time]`, the other arguments are `[mode]`.
    """
    total = np.zeros(len(excitation))
    for f, decay, gain in zip(hz, decay_s, gains, strict=True):
        radius, angle = np.exp(-1 / (decay * RATE_HZ)), 2 * np.pi * f / RATE_HZ
        poles = [1.0, -2 * radius * np.cos(angle), radius**2]
        total += signal.lfilter([0.0, gain * radius * np.sin(angle)], poles, excitation)
    return total


def tone_pulse(hz: Floats, edge_s: float) -> Floats:
    """One tone with the frequency `hz` (`[time]`). It fades in and out over `edge_s` seconds. → `[time]`."""
    return np.sin(phase_of(hz)) * taper(len(hz), edge_s)


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
