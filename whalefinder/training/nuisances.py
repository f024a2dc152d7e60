"""Sounds of the sea and of recorders that are no whale and look like one: what raises false alarms.

Each is a short or long sound `[time]` at `RATE_HZ`, peak 1. They join the backgrounds of calls and of non-calls alike.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from whalefinder.sea.signals import Floats, log_uniform, shaped_noise, smooth_curve, taper
from whalefinder.sound.spectrogram import RATE_HZ

SECONDS = 4.0
SAMPLES = int(SECONDS * RATE_HZ)


def lines(rng: np.random.Generator) -> Floats:
    """Steady electronic tones, or a comb of gear or mains lines, all along. → `[time]`."""
    t = np.arange(SAMPLES) / RATE_HZ
    if rng.random() < 0.5:
        base = log_uniform(rng, 45, 900)
        hz = base * np.arange(1, max(2, int(rng.uniform(2000, 12_000) / base)))[:80]
    else:
        hz = np.array([log_uniform(rng, 400, 12_000) for _ in range(int(rng.integers(1, 6)))])
    gains = 10 ** (rng.normal(0, 6, len(hz)) / 20)
    sound = sum(g * np.sin(2 * np.pi * f * t + rng.uniform(0, 6)) for g, f in zip(gains, hz, strict=True))
    return sound * _slow_level(rng, rng.uniform(0, 3))


def wandering_whine(rng: np.random.Generator) -> Floats:
    """A propeller's or turbine's whine with harmonics that follow the speed slowly, all along. → `[time]`."""
    hz = log_uniform(rng, 300, 9000) * 2 ** (rng.uniform(0.005, 0.12) * smooth_curve(rng, SAMPLES, 3))
    if rng.random() < 0.4:  # a pass: Doppler's S, from high to low
        at, width = rng.uniform(0, SECONDS), rng.uniform(0.5, 3.0)
        hz = hz * (1 - rng.uniform(0.003, 0.02) * np.tanh((np.arange(SAMPLES) / RATE_HZ - at) / width))
    phase = 2 * np.pi * np.cumsum(hz) / RATE_HZ
    decay_db = rng.uniform(3, 12)
    sound = sum(10 ** (-decay_db * k / 20) * np.sin((k + 1) * phase) for k in range(int(rng.integers(1, 6))))
    if rng.random() < 0.5:
        beat = 2 * np.pi * rng.uniform(2, 60) * np.arange(SAMPLES) / RATE_HZ
        sound = sound * (1 + rng.uniform(0, 0.9) * np.cos(beat))
    return sound * _slow_level(rng, rng.uniform(0, 5))


def knocks(rng: np.random.Generator) -> Floats:
    """Damped rings of a hull, chain or mooring: alone, at random, or in even time. → `[time]`."""
    ring = _ring(rng, log_uniform(rng, 0.003, 0.08))
    if rng.random() < 0.5:
        step = rng.uniform(0.08, 1.2)
        times = np.arange(rng.uniform(0, step), SECONDS, step)
    else:
        times = rng.uniform(0, SECONDS, int(rng.integers(1, 12)))
    return _placed(rng, [ring] * len(times) if rng.random() < 0.5 else [_ring(rng, 0.03) for _ in times], times)


def rattle(rng: np.random.Generator) -> Floats:
    """A chain or gravel: many small clanks in a burst. → `[time]`."""
    begin, length = rng.uniform(0, 3), rng.uniform(0.2, 2.5)
    times = rng.uniform(begin, begin + length, int(length * rng.uniform(15, 90)))
    kinds = [_ring(rng, log_uniform(rng, 0.001, 0.01)) for _ in range(6)]
    return _placed(rng, [kinds[int(rng.integers(6))] for _ in times], times)


def clicks(rng: np.random.Generator) -> Floats:
    """Shrimps, cavitation, electric sparks: broad-band clicks at no even time. → `[time]`."""
    times = rng.uniform(0, SECONDS, int(log_uniform(rng, 2, 120)))
    lengths = log_uniform(rng, 0.0001, 0.002)
    return _placed(rng, [rng.standard_normal(max(4, int(lengths * RATE_HZ))) for _ in times], times)


def burst(rng: np.random.Generator) -> Floats:
    """Noise in a band that swells and goes: a splash, a wave, flow, a thruster. → `[time]`."""
    sound = np.zeros(SAMPLES)
    for _ in range(int(rng.integers(1, 4))):
        length = int(log_uniform(rng, 0.03, 3.0) * RATE_HZ)
        begin = int(rng.integers(0, SAMPLES - length))
        noise = _band_noise(rng, length) * taper(length, rng.uniform(0.002, 0.5)) * rng.uniform(0.2, 1)
        if rng.random() < 0.5:
            noise *= np.exp(-np.arange(length) / (length * rng.uniform(0.15, 1)))
        sound[begin : begin + length] += noise
    return sound


def beating_noise(rng: np.random.Generator) -> Floats:
    """Noise in a band, modulated by blades or a pump. → `[time]`."""
    beat = 2 * np.pi * log_uniform(rng, 1, 60) * np.arange(SAMPLES) / RATE_HZ
    depth = (1 + np.cos(beat + rng.uniform(0, 1) * np.sin(beat))) / 2
    return _band_noise(rng, SAMPLES) * depth ** log_uniform(rng, 0.5, 8)


def pings(rng: np.random.Generator) -> Floats:
    """An echo sounder, sonar or acoustic modem: the same short tone or sweep in even time, with echoes. → `[time]`."""
    length = int(log_uniform(rng, 0.002, 0.12) * RATE_HZ)
    hz = np.geomspace(1, 2 ** (rng.choice([0.0, rng.uniform(-0.5, 0.5)])), length) * log_uniform(rng, 900, 12_000)
    ping = np.sin(2 * np.pi * np.cumsum(hz) / RATE_HZ) * taper(length, rng.uniform(0.0005, 0.01))
    step = max(log_uniform(rng, 0.1, 2.5), 2.5 * length / RATE_HZ)
    times = np.arange(rng.uniform(0, step), SECONDS, step)
    sound = _placed(rng, [ping] * len(times), times, spread_db=1.0)
    for _ in range(int(rng.integers(0, 4))):
        sound = sound + rng.uniform(0, 0.5) * np.roll(sound, int(rng.uniform(0.001, 0.08) * RATE_HZ))
    return sound


def squeaks(rng: np.random.Generator) -> Floats:
    """A fender or bearing that rubs: the same short creak again and again in even time. → `[time]`."""
    length = int(rng.uniform(0.03, 0.15) * RATE_HZ)
    hz = log_uniform(rng, 300, 4000) * (1 + rng.uniform(-0.1, 0.1) * np.linspace(0, 1, length))
    phase = 2 * np.pi * np.cumsum(hz) / RATE_HZ
    creak = sum(rng.uniform(0.2, 1) / k * np.sin(k * phase) for k in (1, 2, 3, 4)) * taper(length, 0.01)
    creak = creak + rng.uniform(0, 0.5) * rng.standard_normal(length) * taper(length, 0.01)
    step = max(rng.uniform(0.2, 0.9), 1.6 * length / RATE_HZ)
    times = np.arange(rng.uniform(0, step), SECONDS, step)
    return _placed(rng, [creak] * len(times), times + rng.normal(0, 0.005, len(times)).clip(-0.02, 0.02))


def step(rng: np.random.Generator) -> Floats:
    """A noise that sets in or stops at once, in a band: a pump, a gain step, a cut. → `[time]`."""
    sound = _band_noise(rng, SAMPLES)
    at = int(rng.uniform(0.1, 0.9) * SAMPLES)
    if rng.random() < 0.5:
        sound[:at] *= rng.uniform(0, 0.3)
    else:
        sound[at:] *= rng.uniform(0, 0.3)
    return sound


KINDS: dict[str, Callable[[np.random.Generator], Floats]] = {
    function.__name__: function
    for function in (
        lines, wandering_whine, knocks, rattle, clicks, burst, beating_noise, pings, squeaks, step,
    )
}  # fmt: skip


def random_nuisance(rng: np.random.Generator, kind: str | None = None) -> tuple[str, Floats]:
    """A sound of the given or a random kind. → (kind, `[time]`, peak 1)."""
    kind = kind or list(KINDS)[int(rng.integers(len(KINDS)))]
    sound = KINDS[kind](rng)
    return kind, sound / max(float(np.abs(sound).max()), 1e-12)


def _slow_level(rng: np.random.Generator, spread_db: float) -> Floats:
    return 10 ** (spread_db * smooth_curve(rng, SAMPLES, 4) / 20)


def _band_noise(rng: np.random.Generator, samples: int) -> Floats:
    centre, octaves = log_uniform(rng, 300, 12_000), rng.uniform(0.2, 4)
    low, high = centre * 2 ** (-octaves / 2), centre * 2 ** (octaves / 2)
    slope = rng.uniform(6, 60)  # dB an octave beside the band
    hz = np.array([10, low / 4, low / 2, low, high, 2 * high, 4 * high])
    return shaped_noise(rng, samples, hz, np.array([-5, -2, -1, 0, 0, -1, -2]) * slope)


def _ring(rng: np.random.Generator, decay_s: float) -> Floats:
    t = np.arange(int(max(0.01, 6 * decay_s) * RATE_HZ)) / RATE_HZ
    modes = sum(
        rng.uniform(0.1, 1) * np.sin(2 * np.pi * log_uniform(rng, 300, 10_000) * t)
        for _ in range(int(rng.integers(1, 6)))
    )
    return np.exp(-t / decay_s) * (modes + rng.uniform(0, 1.5) * rng.standard_normal(len(t)))


def _placed(rng: np.random.Generator, sounds: list[Floats], times_s: Floats, spread_db: float = 5.0) -> Floats:
    total = np.zeros(SAMPLES)
    for sound, time_s in zip(sounds, times_s, strict=True):
        at = int(np.clip(time_s, 0, SECONDS) * RATE_HZ)
        piece = sound[: max(0, SAMPLES - at)]
        total[at : at + len(piece)] += piece * 10 ** (rng.normal(0, spread_db) / 20)
    return total
