"""Electric tones that are no sonar: mains, beeps, calibration, electronics that chirp."""

from __future__ import annotations

import numpy as np

from whalefinder.sea.signals import (
    Floats,
    harmonics,
    log_uniform,
    phase_of,
    random_gains,
    smooth_curve,
    taper,
)
from whalefinder.sound.spectrogram import RATE_HZ
from whalefinder.training.nuisances.parts import (
    SAMPLES,
    T,
    even_times,
    placed,
    reverberant,
    slow_level,
)


def lines(rng: np.random.Generator) -> Floats:
    """Steady tones all the time: one to five electronic tones, or the multiples of one (gear, mains). → `[time]`."""
    t = np.arange(SAMPLES) / RATE_HZ
    if rng.random() < 0.5:
        base = log_uniform(rng, 45, 900)
        hz = base * np.arange(1, max(2, int(rng.uniform(2000, 12_000) / base)))[:80]
    else:
        hz = np.array([log_uniform(rng, 400, 12_000) for _ in range(int(rng.integers(1, 6)))])
    gains = 10 ** (rng.normal(0, 6, len(hz)) / 20)
    sound = sum(g * np.sin(2 * np.pi * f * t + rng.uniform(0, 6)) for g, f in zip(gains, hz, strict=True))
    return sound * slow_level(rng, rng.uniform(0, 3))


def mains_hum(rng: np.random.Generator) -> Floats:
    """Mains of 50 or 60 Hz in the cable, with 20-159 harmonics. → `[time]`.

    Either the odd or the even harmonics are stronger, as after a rectifier. The frequency is within 0.2 % of the
    nominal one. It changes slowly, by about 0.01 Hz in 4 s.
    """
    hz = rng.choice([50.0, 60.0]) * (1 + rng.uniform(-0.002, 0.002)) + 0.01 * smooth_curve(rng, SAMPLES, 2)
    tones = int(rng.integers(20, 160))
    gains = random_gains(rng, tones, rng.uniform(0.05, 0.8))
    gains[int(rng.integers(2)) :: 2] *= 10 ** (-rng.uniform(3, 25) / 20)
    return harmonics(hz, gains)


def calibration_tones(rng: np.random.Generator) -> Floats:
    """Pure tones of a calibration, in steps of 1/12 to 1 octave, or one slow sweep. → `[time]`."""
    if rng.random() < 0.25:
        begin = log_uniform(rng, 300, 10_000)
        return np.sin(phase_of(np.geomspace(begin, np.clip(begin * 2 ** rng.uniform(-2, 2), 150, 11_500), SAMPLES)))
    length = int(rng.uniform(0.15, 1.6) * RATE_HZ)
    steps = SAMPLES // length + 2
    ratio = 2 ** (rng.choice([-1, 1]) * rng.choice([1 / 12, 1 / 6, 1 / 3, 1.0]))
    hz = np.clip(log_uniform(rng, 500, 6000) * ratio ** np.arange(steps), 150, 11_500)
    rest = int(rng.choice([0.0, rng.uniform(0.02, 0.5)]) * length)
    level = np.concatenate([taper(length - rest, log_uniform(rng, 0.001, 0.02)), np.zeros(rest)])
    at = int(rng.integers(0, length))
    return (np.sin(phase_of(np.repeat(hz, length))) * np.tile(level, steps))[at : at + SAMPLES]


def tone_trains(rng: np.random.Generator) -> Floats:
    """Beeps at regular times: always the same tone or chord, or two of them in turn. → `[time]`.

    A beep lasts 0.02-1.2 s and has one to four tones, the first at 0.4-10 kHz. Beeps differ from calls because they are
    all the same and their times are regular.
    """
    step = log_uniform(rng, 0.12, 2.0)
    length = int(min(1.2, step * rng.uniform(0.15, 0.85)) * RATE_HZ)
    t = np.arange(length) / RATE_HZ

    def beep() -> Floats:
        base = log_uniform(rng, 400, 10_000)
        hz = base * np.array([1.0, *rng.choice([1.5, 2, 3, rng.uniform(0.7, 1.4)], int(rng.integers(0, 4)))])
        hz = hz[hz < 11_500]
        tones = sum(rng.uniform(0.1, 1) * np.sin(2 * np.pi * f * t + rng.uniform(0, 6)) for f in hz)
        return tones * taper(length, log_uniform(rng, 0.001, 0.04))

    two = [beep(), beep()] if rng.random() < 0.3 else [beep()] * 2
    times = even_times(rng, step)
    sound = placed(rng, [two[k % 2] for k in range(len(times))], times, spread_db=0.5)
    return reverberant(rng, sound, rng.uniform(0.02, 0.4), rng.uniform(0.1, 0.6)) if rng.random() < 0.5 else sound


def electronic_insects(rng: np.random.Generator) -> Floats:
    """Electronics that chirp like a cricket: a tone of 2-11 kHz with 15-90 pulses per second. → `[time]`."""
    sound = np.zeros(SAMPLES)
    for _ in range(int(rng.integers(1, 4))):
        rate = log_uniform(rng, 15, 90)
        pulses = np.clip(np.cos(2 * np.pi * rate * T + rng.uniform(0, 6)) + rng.uniform(-0.6, 0.3), 0, None)
        step = log_uniform(rng, 0.15, 2.5)
        chirps = ((T + rng.uniform(0, step)) % step < step * rng.uniform(0.2, 1.0)).astype(float)
        hz = log_uniform(rng, 2000, 11_000) * (1 + rng.uniform(0, 0.004) * smooth_curve(rng, SAMPLES, 6))
        sound += rng.uniform(0.2, 1) * harmonics(hz, random_gains(rng, 2, 18.0)) * pulses * chirps
    return sound


KINDS = (lines, mains_hum, calibration_tones, tone_trains, electronic_insects)
