"""Building blocks of the nuisances: blows, noise in a band, echoes, and sounds put at given times.

All sounds are `[time]` at `RATE_HZ`. They have `SAMPLES` samples unless their description states another length.
"""

from __future__ import annotations

import numpy as np
from scipy import signal

from whalefinder.sea.signals import Floats, log_uniform, shaped_noise, smooth_curve
from whalefinder.sound.spectrogram import RATE_HZ

SECONDS = 4.0
SAMPLES = int(SECONDS * RATE_HZ)
T = np.arange(SAMPLES) / RATE_HZ


def strikes(rng: np.random.Generator, times_s: Floats, contact_s: float, spread_db: float = 5.0) -> Floats:
    """Blows at the times `times_s`. Each is a raised cosine that lasts `contact_s`.

    The force is random; `spread_db` is the standard deviation of its level. → `[time]`.
    """
    blows = np.zeros(SAMPLES)
    for time_s in times_s:
        at = int(time_s * RATE_HZ)
        if 0 <= at < SAMPLES:
            blows[at] += 10 ** (rng.normal(0, spread_db) / 20)
    shape = np.hanning(max(3, int(contact_s * RATE_HZ) + 2))
    return signal.fftconvolve(blows, shape / shape.sum())[:SAMPLES]


def even_times(rng: np.random.Generator, step_s: float, jitter: float = 0.0, seconds: float = SECONDS) -> Floats:
    """Regular times, `step_s` apart, from a random begin. → `[event]` s.

    Each time has a random error; `jitter` is its standard deviation as a part of `step_s`.
    """
    times = np.arange(rng.uniform(0, step_s), seconds, step_s)
    return times + rng.normal(0, jitter * step_s, len(times)) if jitter else times


def reverberant(rng: np.random.Generator, sound: Floats, decay_s: float, share: float) -> Floats:
    """The sound with a decaying tail of many reflections. `[time]` → `[time]`.

    Each sample is followed by noise that falls to 1 / e within `decay_s`. The energy of this noise is `share`² times
    the energy of the sample.
    """
    length = int(min(SECONDS, 5 * decay_s) * RATE_HZ)
    tail = rng.standard_normal(length) * np.exp(-np.arange(length) / (decay_s * RATE_HZ))
    tail *= share / np.sqrt((tail**2).sum())
    return sound + signal.fftconvolve(sound, tail)[: len(sound)]


def band_passed(sound: Floats, low_hz: float, high_hz: float) -> Floats:
    """The sound between `low_hz` and `high_hz`, by a Butterworth filter of the second order. `[time]` → `[time]`."""
    edges = [max(low_hz, 5.0), min(high_hz, 0.98 * RATE_HZ / 2)]
    return signal.sosfilt(signal.butter(2, edges, "bandpass", fs=RATE_HZ, output="sos"), sound)


def water_noise(rng: np.random.Generator, samples: int = SAMPLES) -> Floats:
    """Noise of the sea when nothing else sounds. Above 150 Hz it falls by 8-26 dB per decade; r.m.s. 1. → `[time]`."""
    slope = rng.uniform(8, 26)
    noise = shaped_noise(rng, samples, np.array([10.0, 150.0, 24_000.0]), np.array([0.0, 0.0, -2.2 * slope]))
    return noise / noise.std()


def slow_level(rng: np.random.Generator, spread_db: float) -> Floats:
    """A gain (a factor) that changes slowly and at random; `spread_db` is the size of the change. → `[time]`."""
    return 10 ** (spread_db * smooth_curve(rng, SAMPLES, 4) / 20)


def band_noise(rng: np.random.Generator, samples: int) -> Floats:
    """Noise in a random band, 0.2-4 octaves wide, whose centre lies at 0.3-12 kHz. → `[time]`."""
    centre, octaves = log_uniform(rng, 300, 12_000), rng.uniform(0.2, 4)
    low, high = centre * 2 ** (-octaves / 2), centre * 2 ** (octaves / 2)
    slope = rng.uniform(6, 60)  # dB per octave outside the band
    hz = np.array([10, low / 4, low / 2, low, high, 2 * high, 4 * high])
    return shaped_noise(rng, samples, hz, np.array([-5, -2, -1, 0, 0, -1, -2]) * slope)


def ring(rng: np.random.Generator, decay_s: float) -> Floats:
    """One blow: one to five modes of 0.3-10 kHz and some noise. All fall to 1 / e within `decay_s`.

    → `[time]`, of six times `decay_s` (at least 10 ms).
    """
    t = np.arange(int(max(0.01, 6 * decay_s) * RATE_HZ)) / RATE_HZ
    modes = sum(
        rng.uniform(0.1, 1) * np.sin(2 * np.pi * log_uniform(rng, 300, 10_000) * t)
        for _ in range(int(rng.integers(1, 6)))
    )
    return np.exp(-t / decay_s) * (modes + rng.uniform(0, 1.5) * rng.standard_normal(len(t)))


def placed(rng: np.random.Generator, sounds: list[Floats], times_s: Floats, spread_db: float = 5.0) -> Floats:
    """The sum of the sounds, each one from its time on. What comes after the end is cut off. → `[time]`.

    Each sound gets a random gain; `spread_db` is the standard deviation of its level.
    """
    total = np.zeros(SAMPLES)
    for sound, time_s in zip(sounds, times_s, strict=True):
        at = int(np.clip(time_s, 0, SECONDS) * RATE_HZ)
        piece = sound[: max(0, SAMPLES - at)]
        total[at : at + len(piece)] += piece * 10 ** (rng.normal(0, spread_db) / 20)
    return total
