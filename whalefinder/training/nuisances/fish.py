"""Fish: sounds of the swim bladder, which are trains of pulses mainly below 2 kHz, and choruses of many fish."""

from __future__ import annotations

import numpy as np

from whalefinder.sea.signals import (
    Floats,
    harmonics,
    log_uniform,
    phase_of,
    random_gains,
    resonate,
    smooth_curve,
    taper,
)
from whalefinder.sound.spectrogram import RATE_HZ
from whalefinder.training.nuisances.parts import (
    SAMPLES,
    SECONDS,
    even_times,
    placed,
)


def fish_grunts(rng: np.random.Generator) -> Floats:
    """Grunts of groupers, cod and haddock: the swim bladder gives a train of pulses for 0.1-2 s. → `[time]`.

    There are 20-120 pulses per second. Each one rings at 60-500 Hz and at a second, higher resonance. After Hawkins &
    Picciulin 2019 (J. Acoust. Soc. Am. 146: 3536).
    """
    grunt = _drum(rng, rng.uniform(0.1, 2.0), log_uniform(rng, 20, 120), log_uniform(rng, 60, 500))
    times = rng.uniform(0, 3.5, int(rng.integers(1, 5)))
    return placed(rng, [grunt] * len(times), times)


def fish_knocks(rng: np.random.Generator) -> Floats:
    """Damselfish and similar fish: knocks of 0.2-2.5 kHz, 3-12 in a row, 25-150 ms apart. → `[time]`.

    After Mann & Lobel 1997 (J. Acoust. Soc. Am. 101: 3783).
    """
    times = []
    for begin in rng.uniform(0, 3.6, int(rng.integers(1, 7))):
        times += list(begin + rng.uniform(0.025, 0.15) * np.arange(int(rng.integers(3, 13))))
    modes = log_uniform(rng, 200, 1000) * np.array([1.0, rng.uniform(1.3, 2.5)])
    t = np.arange(int(0.06 * RATE_HZ)) / RATE_HZ
    knock = sum(np.exp(-t / rng.uniform(0.002, 0.008)) * np.sin(2 * np.pi * f * t) for f in modes)
    return placed(rng, [knock] * len(times), np.array(times), spread_db=3.0)


def boat_whistles(rng: np.random.Generator) -> Floats:
    """Toadfish: a grunt, then a steady hoot of 0.2-0.6 s with harmonics. Each male repeats it. → `[time]`.

    One to four males call, each every 1.2-6 s. The fundamental lies at 130-300 Hz and falls a little at the end. After
    Edds-Walton, Mangiamele & Rome 2002 (Bioacoustics 13: 153).
    """
    sounds, times = [], []
    for _ in range(int(rng.integers(1, 5))):  # males
        length = int(rng.uniform(0.2, 0.6) * RATE_HZ)
        hz = rng.uniform(130, 300) * (1 - rng.uniform(0, 0.08) * np.linspace(0, 1, length) ** 3)
        hoot = harmonics(hz, random_gains(rng, int(rng.integers(4, 12)), rng.uniform(1.5, 6))) * taper(length, 0.03)
        grunt = _drum(rng, 0.08, 90.0, 250.0) * 0.4 * np.abs(hoot).max()
        whole = np.concatenate([grunt, hoot])
        for time in even_times(rng, rng.uniform(1.2, 6), 0.1):
            sounds.append(whole)
            times.append(time)
    if not sounds:
        return boat_whistles(rng)
    return placed(rng, sounds, np.array(times), spread_db=4.0)


def midshipman_hum(rng: np.random.Generator) -> Floats:
    """One to three midshipman males that hum all the time, at 70-120 Hz with 10-29 harmonics. → `[time]`.

    Their frequencies differ by about 1 %, so that their sum beats. After Brantley & Bass 1994 (Ethology 96: 213).
    """
    base = rng.uniform(70, 120)
    sound = np.zeros(SAMPLES)
    for _ in range(int(rng.integers(1, 4))):
        hz = base * (1 + rng.normal(0, 0.01)) * (1 + 0.0005 * smooth_curve(rng, SAMPLES, 4))
        sound += rng.uniform(0.3, 1) * harmonics(hz, random_gains(rng, int(rng.integers(10, 30)), rng.uniform(1, 3)))
    return sound


def fish_chorus(rng: np.random.Generator) -> Floats:
    """A chorus at dusk: 25-400 trains of pulses in 4 s, which together hum at about 0.1-2.5 kHz. → `[time]`."""
    kinds = [_drum(rng, rng.uniform(0.1, 0.7), log_uniform(rng, 15, 90), log_uniform(rng, 150, 1800)) for _ in range(5)]
    count = int(log_uniform(rng, 25, 400))
    sounds = [kinds[int(rng.integers(5))] for _ in range(count)]
    return placed(rng, sounds, rng.uniform(-0.3, SECONDS, count), spread_db=6.0)


def _drum(rng: np.random.Generator, seconds: float, rate_hz: float, bladder_hz: float) -> Floats:
    """A train of pulses. After each pulse the swim bladder rings for a few periods. → `[time]`."""
    length = int(seconds * RATE_HZ)
    phase = phase_of(rate_hz * 2 ** (0.1 * smooth_curve(rng, length, 2))) / (2 * np.pi)
    pulses = np.diff(np.floor(phase), prepend=-1.0) * 10 ** (rng.normal(0, 1.5, length) / 20)
    hz = bladder_hz * np.array([1.0, rng.uniform(1.6, 3.0)])
    return resonate(pulses, hz, rng.uniform(1, 4) / hz, np.array([1.0, rng.uniform(0.1, 0.6)])) * taper(length, 0.02)


KINDS = (fish_grunts, fish_knocks, boat_whistles, midshipman_hum, fish_chorus)
