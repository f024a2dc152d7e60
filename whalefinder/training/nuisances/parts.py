"""What nuisances are made of: noise in a band, rings, echoes, tones with harmonics, things placed in time.

All sounds are `[time]` at `RATE_HZ`, `SAMPLES` long where nothing else is said.
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
    """Blows of random force at these times; a blow of `contact_s` seconds is a raised cosine. → `[time]`."""
    blows = np.zeros(SAMPLES)
    for time_s in times_s:
        at = int(time_s * RATE_HZ)
        if 0 <= at < SAMPLES:
            blows[at] += 10 ** (rng.normal(0, spread_db) / 20)
    shape = np.hanning(max(3, int(contact_s * RATE_HZ) + 2))
    return signal.fftconvolve(blows, shape / shape.sum())[:SAMPLES]


def even_times(rng: np.random.Generator, step_s: float, jitter: float = 0.0, seconds: float = SECONDS) -> Floats:
    """Times from a random begin, `step_s` apart, each off by `jitter` steps (one sigma). → `[event]` s."""
    times = np.arange(rng.uniform(0, step_s), seconds, step_s)
    return times + rng.normal(0, jitter * step_s, len(times)) if jitter else times


def reverberant(rng: np.random.Generator, sound: Floats, decay_s: float, share: float) -> Floats:
    """The sound with a tail of decaying noise, as many reflections make it; the tail's energy is `share`² times its own."""
    length = int(min(SECONDS, 5 * decay_s) * RATE_HZ)
    tail = rng.standard_normal(length) * np.exp(-np.arange(length) / (decay_s * RATE_HZ))
    tail *= share / np.sqrt((tail**2).sum())
    return sound + signal.fftconvolve(sound, tail)[: len(sound)]


def band_passed(sound: Floats, low_hz: float, high_hz: float) -> Floats:
    """Second-order slopes below `low_hz` and above `high_hz`. `[time]` → `[time]`."""
    edges = [max(low_hz, 5.0), min(high_hz, 0.98 * RATE_HZ / 2)]
    return signal.sosfilt(signal.butter(2, edges, "bandpass", fs=RATE_HZ, output="sos"), sound)


def water_noise(rng: np.random.Generator, samples: int = SAMPLES) -> Floats:
    """What a recorder hears when nothing happens: noise that falls by 8-26 dB a decade, r.m.s. 1. → `[time]`."""
    slope = rng.uniform(8, 26)
    noise = shaped_noise(rng, samples, np.array([10.0, 150.0, 24_000.0]), np.array([0.0, 0.0, -2.2 * slope]))
    return noise / noise.std()


def slow_level(rng: np.random.Generator, spread_db: float) -> Floats:
    """A smooth random gain. → `[time]`."""
    return 10 ** (spread_db * smooth_curve(rng, SAMPLES, 4) / 20)


def band_noise(rng: np.random.Generator, samples: int) -> Floats:
    """Noise in a random band between 0.3 and 12 kHz, 0.2-4 octaves wide. → `[time]`."""
    centre, octaves = log_uniform(rng, 300, 12_000), rng.uniform(0.2, 4)
    low, high = centre * 2 ** (-octaves / 2), centre * 2 ** (octaves / 2)
    slope = rng.uniform(6, 60)  # dB an octave beside the band
    hz = np.array([10, low / 4, low / 2, low, high, 2 * high, 4 * high])
    return shaped_noise(rng, samples, hz, np.array([-5, -2, -1, 0, 0, -1, -2]) * slope)


def ring(rng: np.random.Generator, decay_s: float) -> Floats:
    """One blow: up to five modes of 0.3-10 kHz and some noise, all of one decay. → `[time]`, as long as it rings."""
    t = np.arange(int(max(0.01, 6 * decay_s) * RATE_HZ)) / RATE_HZ
    modes = sum(
        rng.uniform(0.1, 1) * np.sin(2 * np.pi * log_uniform(rng, 300, 10_000) * t)
        for _ in range(int(rng.integers(1, 6)))
    )
    return np.exp(-t / decay_s) * (modes + rng.uniform(0, 1.5) * rng.standard_normal(len(t)))


def placed(rng: np.random.Generator, sounds: list[Floats], times_s: Floats, spread_db: float = 5.0) -> Floats:
    """Each sound at its time, with a random gain. → `[time]`."""
    total = np.zeros(SAMPLES)
    for sound, time_s in zip(sounds, times_s, strict=True):
        at = int(np.clip(time_s, 0, SECONDS) * RATE_HZ)
        piece = sound[: max(0, SAMPLES - at)]
        total[at : at + len(piece)] += piece * 10 ** (rng.normal(0, spread_db) / 20)
    return total
