"""Simulated boats: cavitation noise that beats with the propeller blades, engine lines, whines, clanks.

A boat here is one sound at 1 m; `propagation` moves it. Nothing comes from recordings, so no licence of a recording
applies to weights that are trained on it.
"""

from __future__ import annotations

import numpy as np

from whalefinder.sea.signals import Floats, log_uniform, shaped_noise, smooth_curve, taper
from whalefinder.sound.spectrogram import RATE_HZ


def random_boat(rng: np.random.Generator, seconds: float) -> Floats:
    """The sound of one boat under way, r.m.s. 1. → `[time]` at `RATE_HZ`."""
    samples = int(seconds * RATE_HZ)
    sound = _cavitation(rng, samples, seconds)
    sound = sound / np.std(sound)
    if rng.random() < 0.75:
        sound += 10 ** (rng.uniform(-18, 6) / 20) * _engine_lines(rng, samples, seconds)
    for _ in range(int(rng.choice([0, 0, 1, 2, 4]))):
        sound += 10 ** (rng.uniform(-35, -10) / 20) * _whine(rng, samples, seconds)
    if rng.random() < 0.3:
        sound += 10 ** (rng.uniform(-25, -5) / 20) * _clanks(rng, samples, seconds)
    return sound / np.std(sound)


def _cavitation(rng: np.random.Generator, samples: int, seconds: float) -> Floats:
    # A hump near 0.05-1 kHz, then -3...-9 dB per octave, with random structure over frequency.
    hz = np.array([10, 50, 150, 400, 800, 1500, 2500, 4000, 6000, 8500, 12_000, 24_000], float)
    peak = log_uniform(rng, 50, 2500)
    octaves = np.log2(hz / peak)
    level = np.where(octaves < 0, 4.0 * octaves, -rng.uniform(2, 8) * octaves) + rng.normal(0, 3, len(hz))
    noise = shaped_noise(rng, samples, hz, level)
    # In half of the boats a high band beats on its own too, since propellers modulate high frequencies most.
    if rng.random() < 0.5:
        tilt = level + np.where(hz > log_uniform(rng, 600, 4000), 0.0, -40.0)
        noise = noise + _beat(rng, samples, seconds) * shaped_noise(rng, samples, hz, tilt)
    return noise * _beat(rng, samples, seconds)


def _beat(rng: np.random.Generator, samples: int, seconds: float) -> Floats:
    rate_hz = log_uniform(rng, 1.5, 70) * (1 + 0.02 * smooth_curve(rng, samples, max(2, int(seconds))))
    phase = 2 * np.pi * np.cumsum(rate_hz) / RATE_HZ
    depth = rng.uniform(0, 0.9)
    beat = 1 + depth * sum(rng.uniform(0, 1) / k * np.cos(k * phase + rng.uniform(0, 6)) for k in (1, 2, 3, 4))
    slow_db = rng.uniform(0, 2.5) * smooth_curve(rng, samples, max(2, int(seconds * rng.uniform(0.5, 6))))
    return np.clip(beat, 0.05, None) * 10 ** (slow_db / 20)


def _engine_lines(rng: np.random.Generator, samples: int, seconds: float) -> Floats:
    rate_hz = log_uniform(rng, 8, 180)
    wobble = 1 + rng.uniform(0.0002, 0.01) * smooth_curve(rng, samples, max(2, int(2 * seconds)))
    phase = 2 * np.pi * np.cumsum(rate_hz * wobble) / RATE_HZ
    highest = min(60, int(4000 / rate_hz))
    decay_db = rng.uniform(0.2, 2.0)
    lines = np.zeros(samples)
    for k in range(1, highest + 1):
        gain = 10 ** ((-decay_db * k + rng.normal(0, 6)) / 20)
        lines += gain * np.sin(k * phase + rng.uniform(0, 2 * np.pi))
    return lines / np.std(lines)


def _whine(rng: np.random.Generator, samples: int, seconds: float) -> Floats:
    hz = log_uniform(rng, 400, 10_000)
    drift = 2 ** (rng.uniform(0.0005, 0.06) * smooth_curve(rng, samples, max(2, int(seconds * rng.uniform(0.3, 2)))))
    phase = 2 * np.pi * np.cumsum(hz * drift) / RATE_HZ
    tones = sum(10 ** (-rng.uniform(3, 12) * k / 20) * np.sin((k + 1) * phase) for k in range(int(rng.integers(1, 5))))
    level_db = rng.uniform(0, 6) * smooth_curve(rng, samples, max(2, int(2 * seconds)))
    return tones * 10 ** (level_db / 20)


def _clanks(rng: np.random.Generator, samples: int, seconds: float) -> Floats:
    sound = np.zeros(samples)
    for _ in range(int(rng.poisson(1.5 * seconds)) + 1):
        length = int(rng.uniform(0.01, 0.15) * RATE_HZ)
        at = int(rng.integers(0, max(1, samples - length)))
        t = np.arange(length) / RATE_HZ
        ring = np.exp(-t / rng.uniform(0.003, 0.04)) * (
            np.sin(2 * np.pi * rng.uniform(300, 6000) * t) + rng.uniform(0, 2) * rng.standard_normal(length)
        )
        end = min(samples, at + length)
        sound[at:end] += (ring * taper(length, 0.001))[: end - at] * rng.exponential()
    return sound
