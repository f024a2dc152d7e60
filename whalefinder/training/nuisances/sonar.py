"""Sounds that people send on purpose: sonar, pingers at nets, deterrents at fish farms, echo sounders, modems."""

from __future__ import annotations

import numpy as np

from whalefinder.sea.signals import (
    Floats,
    harmonics,
    log_uniform,
    random_gains,
    taper,
    tone_pulse,
)
from whalefinder.sound.spectrogram import RATE_HZ
from whalefinder.training.nuisances.parts import (
    SECONDS,
    even_times,
    placed,
    reverberant,
)

SOUNDER_HZ = (28e3, 33e3, 38e3, 50e3, 70e3, 83e3, 120e3, 200e3)
RECORDER_HZ = (16e3, 22.05e3, 24e3, 32e3, 44.1e3, 48e3, 64e3, 96e3)


def pings(rng: np.random.Generator) -> Floats:
    """An echo sounder, sonar or modem: the same short tone or sweep at regular times, with echoes. → `[time]`."""
    length = int(log_uniform(rng, 0.002, 0.12) * RATE_HZ)
    hz = np.geomspace(1, 2 ** (rng.choice([0.0, rng.uniform(-0.5, 0.5)])), length) * log_uniform(rng, 900, 12_000)
    ping = np.sin(2 * np.pi * np.cumsum(hz) / RATE_HZ) * taper(length, rng.uniform(0.0005, 0.01))
    step = max(log_uniform(rng, 0.1, 2.5), 2.5 * length / RATE_HZ)
    times = np.arange(rng.uniform(0, step), SECONDS, step)
    sound = placed(rng, [ping] * len(times), times, spread_db=1.0)
    for _ in range(int(rng.integers(0, 4))):
        sound = sound + rng.uniform(0, 0.5) * np.roll(sound, int(rng.uniform(0.001, 0.08) * RATE_HZ))
    return sound


def sonar_tones(rng: np.random.Generator) -> Floats:
    """Naval sonar: one to three pure tones of 0.1-2 s in a row, then a long tail of echoes. → `[time]`.

    The strongest sonars of middle frequency use 2.6-3.3 kHz, others 1-8 kHz (D'Spain and others 2006, J. Cetacean Res.
    Manage. 7: 223). The tones are constant and have no harmonics, and the echoes have the same frequency.
    """
    centre = rng.uniform(2600, 3300) if rng.random() < 0.5 else log_uniform(rng, 1000, 8000)
    return _ping_of(rng, [(f, f) for f in centre * 2 ** rng.uniform(-0.15, 0.15, int(rng.integers(1, 4)))])


def sonar_sweeps(rng: np.random.Generator) -> Floats:
    """Naval sonar: one to three linear sweeps up or down in a row, or sweeps and tones. → `[time]`.

    A sweep is 50-1500 Hz wide, has its centre at 1-8 kHz and lasts 0.1-2 s (D'Spain and others 2006). In a spectrogram
    it is exactly straight.
    """
    parts: list[tuple[float, float]] = []
    for _ in range(int(rng.integers(1, 4))):
        centre = rng.uniform(2600, 4000) if rng.random() < 0.5 else log_uniform(rng, 1000, 8000)
        half = log_uniform(rng, 25, 750) * rng.choice([-1, 1]) * (rng.random() < 0.8 or not parts)
        parts.append((centre - half, centre + half))
    return _ping_of(rng, parts)


def hyperbolic_sweeps(rng: np.random.Generator) -> Floats:
    """Sweeps whose period (1 / f) changes linearly in time. Sonars use them against the Doppler effect. → `[time]`.

    The same sweep is repeated. It goes up or down between 0.8 and 13 kHz and lasts 0.05-1 s.
    """
    low = log_uniform(rng, 800, 5000)
    high = min(13_000, low * 2 ** rng.uniform(0.4, 2.2))
    length = int(log_uniform(rng, 0.05, 1.0) * RATE_HZ)
    first, last = (low, high) if rng.random() < 0.5 else (high, low)
    sweep = tone_pulse(hyperbolic_hz(first, last, length), 0.01)
    times = even_times(rng, max(log_uniform(rng, 0.4, 3.0), 1.3 * length / RATE_HZ))
    sound = placed(rng, [sweep] * len(times), times, spread_db=0.5)
    return reverberant(rng, sound, rng.uniform(0.1, 0.8), rng.uniform(0.1, 0.7))


def hyperbolic_hz(first_hz: float, last_hz: float, samples: int) -> Floats:
    """Frequency at every sample of a sweep whose period changes linearly. → `[time]` Hz."""
    return 1 / np.linspace(1 / first_hz, 1 / last_hz, samples)


def net_pinger(rng: np.random.Generator) -> Floats:
    """A pinger on a fishing net: a tone with harmonics, repeated at regular times. → `[time]`.

    The pingers of Kraus and others 1997 (Nature 388: 525) send 10 kHz for 0.3 s, every 4 s. Here half of the pingers
    have about 10 kHz and the others 2-11.5 kHz; a tone lasts 0.1-0.5 s and comes every 1-3.4 s.
    """
    hz = 10_000 * (1 + rng.uniform(-0.03, 0.03)) if rng.random() < 0.5 else log_uniform(rng, 2000, 11_500)
    length = int(rng.uniform(0.1, 0.5) * RATE_HZ)
    tones = harmonics(np.full(length, hz), random_gains(rng, 5, rng.uniform(5, 15)))
    times = even_times(rng, rng.uniform(1.0, 3.4))
    return placed(rng, [tones * taper(length, 0.005)] * len(times), times, spread_db=0.5)


def hopping_pinger(rng: np.random.Generator) -> Floats:
    """A pinger with tones and wide sweeps in random order, so that animals do not get used to it. → `[time]`."""
    begin, sounds, times = rng.uniform(0, 0.5), [], []
    while begin < SECONDS:
        length = int(rng.uniform(0.05, 0.4) * RATE_HZ)
        first = log_uniform(rng, 2500, 14_000)
        last = first if rng.random() < 0.5 else log_uniform(rng, 2500, 14_000)
        hz = np.linspace(first, last, length)
        sounds.append(harmonics(hz, random_gains(rng, 3, rng.uniform(6, 20))) * taper(length, 0.004))
        times.append(begin)
        begin += length / RATE_HZ + rng.uniform(0.05, 1.2)
    return placed(rng, sounds, np.array(times), spread_db=1.0)


def deterrent(rng: np.random.Generator) -> Floats:
    """A deterrent at a fish farm, of one of two kinds. → `[time]`.

    One kind sends trains of pulses (1.4 ms, 10.3 kHz, 40 ms apart, for about 2 s; here these numbers vary). The other
    kind sends short sweeps of 2-12 kHz in random order, 5-40 per second. After Lepper and others 2014 (Scottish Natural
    Heritage report 517).
    """
    if rng.random() < 0.5:
        length = int(rng.uniform(0.0012, 0.003) * RATE_HZ)
        hz = rng.uniform(8000, 11_500)
        step = rng.uniform(0.03, 0.06)
        times = np.arange(rng.uniform(0, 1.5), rng.uniform(2, SECONDS), step)
        return placed(rng, [tone_pulse(np.full(length, hz), 0.0003)] * len(times), times, spread_db=0.3)
    times = np.arange(rng.uniform(0, 0.5), rng.uniform(2, SECONDS), 1 / log_uniform(rng, 5, 40))
    step = int(np.diff(times).mean() * rng.uniform(0.4, 0.95) * RATE_HZ)
    low, high = sorted((log_uniform(rng, 2000, 12_000), log_uniform(rng, 2000, 12_000)))
    chirps = []
    for _ in times:
        first = rng.uniform(low, high)
        chirps.append(tone_pulse(np.linspace(first, first * 2 ** rng.uniform(-0.4, 0.4), step), 0.001))
    return placed(rng, chirps, times, spread_db=0.5)


def echo_sounder(rng: np.random.Generator) -> Floats:
    """An echo sounder above the band of the classifier. In the band only clicks remain. → `[time]`.

    The clicks come from the sharp begin and end of each ping. Pings have 15-22 kHz, last 0.2-4 ms and come 1-20 times
    per second. The echo of the bottom follows 5-80 ms later.
    """
    length = int(log_uniform(rng, 0.0002, 0.004) * RATE_HZ)
    ping = tone_pulse(np.full(length, rng.uniform(15_000, 22_000)), log_uniform(rng, 0.00002, 0.0003))
    times = even_times(rng, 1 / log_uniform(rng, 1, 20))
    sound = placed(rng, [ping] * len(times), times, spread_db=0.3)
    return sound + rng.uniform(0.05, 0.5) * np.roll(sound, int(rng.uniform(0.005, 0.08) * RATE_HZ))


def alias_hz(hz: float, rate_hz: float) -> float:
    """Frequency (Hz) at which a recorder without a low-pass filter records a tone of `hz` (aliasing).

    It is |hz - n · rate_hz|, with the whole number n for which this is smallest.
    """
    return abs(hz - round(hz / rate_hz) * rate_hz)


def echo_sounder_alias(rng: np.random.Generator) -> Floats:
    """An echo sounder of 28-200 kHz in a recorder without a low-pass filter: short tones in the band. → `[time]`.

    Frequencies and sample rates are those of common products; the frequency varies by 2 %. `alias_hz` gives the
    frequency of the tones.
    """
    folded = 0.0
    while not 400 < folded < 12_000:
        sounder = rng.choice(SOUNDER_HZ) * (1 + rng.uniform(-0.02, 0.02))
        folded = alias_hz(sounder, rng.choice(RECORDER_HZ))
    length = int(log_uniform(rng, 0.0005, 0.03) * RATE_HZ)
    ping = tone_pulse(np.full(length, folded), log_uniform(rng, 0.0001, 0.002))
    times = even_times(rng, max(1 / log_uniform(rng, 0.7, 15), 2.5 * length / RATE_HZ))
    return placed(rng, [ping] * len(times), times, spread_db=0.3)


def modem(rng: np.random.Generator) -> Floats:
    """An acoustic modem or acoustic release: first a sweep, then tones in random order, with echoes. → `[time]`.

    Data are sent by the choice among 2-8 frequencies (frequency-shift keying). They lie in a band of 0.8-5 kHz that
    begins at 5-9.5 kHz. A tone lasts 3-40 ms.
    """
    symbol = int(log_uniform(rng, 0.003, 0.04) * RATE_HZ)
    low = rng.uniform(5000, 9500)
    grid = np.linspace(low, low + rng.uniform(800, 5000), int(rng.integers(2, 9)))
    count = int(rng.uniform(0.3, 2.5) * RATE_HZ / symbol)
    data = np.repeat(grid[rng.integers(0, len(grid), count)], symbol)
    preamble = np.linspace(grid[0], grid[-1], int(rng.uniform(0.01, 0.3) * RATE_HZ))
    packet = tone_pulse(np.concatenate([preamble, data]), 0.002)
    sound = placed(rng, [packet], np.array([rng.uniform(0, 1.5)]))
    return reverberant(rng, sound, rng.uniform(0.01, 0.1), rng.uniform(0.1, 0.8))


def _ping_of(rng: np.random.Generator, parts: list[tuple[float, float]]) -> Floats:
    """Sweeps in a row with short pauses or none, and a tail of echoes; repeated if they are short. → `[time]`.

    `parts` are the first and the last frequency (Hz) of each sweep.
    """
    pieces = []
    for first, last in parts:
        length = int(log_uniform(rng, 0.1, 2.0 / len(parts)) * RATE_HZ)
        pieces += [
            tone_pulse(np.linspace(first, last, length), 0.02),
            np.zeros(int(rng.choice([0, 0.1, 0.3]) * RATE_HZ)),
        ]
    ping = np.concatenate(pieces)
    step = max(len(ping) / RATE_HZ + 0.5, rng.uniform(1.0, 4.0))
    times = even_times(rng, step) if step < 2.5 else np.array([rng.uniform(0, 1.2)])
    sound = placed(rng, [ping] * len(times), times, spread_db=1.0)
    return reverberant(rng, sound, rng.uniform(0.15, 1.0), rng.uniform(0.2, 1.0))


KINDS = (
    pings, sonar_tones, sonar_sweeps, hyperbolic_sweeps, net_pinger, hopping_pinger, deterrent, echo_sounder,
    echo_sounder_alias, modem,
)  # fmt: skip
