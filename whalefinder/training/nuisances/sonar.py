"""What is sent on purpose: sonar, pingers and deterrents at nets, echo sounders, modems."""

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
    """An echo sounder, sonar or acoustic modem: the same short tone or sweep in even time, with echoes. → `[time]`."""
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
    """Naval sonar, continuous wave: one to three pure tones of 0.1-2 s in a row, then a long tail of echoes. → `[time]`.

    2.6-3.3 kHz for the strongest of mid frequency, 1-8 kHz of others (D'Spain and others 2006, J. Cetacean Res.
    Manage. 7: 223). No bend and no harmonics: the tail has the tone's own frequency.
    """
    centre = rng.uniform(2600, 3300) if rng.random() < 0.5 else log_uniform(rng, 1000, 8000)
    return _ping_of(rng, [(f, f) for f in centre * 2 ** rng.uniform(-0.15, 0.15, int(rng.integers(1, 4)))])


def sonar_sweeps(rng: np.random.Generator) -> Floats:
    """Naval sonar, linear sweeps up or down, also between tones as triplets. → `[time]`.

    50-1500 Hz wide about 1-8 kHz, 0.1-2 s each, straight as a ruler (D'Spain and others 2006).
    """
    parts: list[tuple[float, float]] = []
    for _ in range(int(rng.integers(1, 4))):
        centre = rng.uniform(2600, 4000) if rng.random() < 0.5 else log_uniform(rng, 1000, 8000)
        half = log_uniform(rng, 25, 750) * rng.choice([-1, 1]) * (rng.random() < 0.8 or not parts)
        parts.append((centre - half, centre + half))
    return _ping_of(rng, parts)


def hyperbolic_sweeps(rng: np.random.Generator) -> Floats:
    """Sweeps whose period changes evenly (1 / f is straight in time), as sonars that must not mind Doppler. → `[time]`.

    Up or down, from 0.8 to 13 kHz, 0.05-1 s, again and again.
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
    """Frequency at every sample of a sweep whose period changes evenly. → `[time]`."""
    return 1 / np.linspace(1 / first_hz, 1 / last_hz, samples)


def net_pinger(rng: np.random.Generator) -> Floats:
    """A pinger on a net: 10 kHz, 0.3 s, every 4 s, with harmonics (Kraus and others 1997, Nature 388: 525). → `[time]`.

    Others of the kind: 2-12 kHz, 0.1-0.5 s, every 1-4 s. There is always one in the 4 s.
    """
    hz = 10_000 * (1 + rng.uniform(-0.03, 0.03)) if rng.random() < 0.5 else log_uniform(rng, 2000, 11_500)
    length = int(rng.uniform(0.1, 0.5) * RATE_HZ)
    tones = harmonics(np.full(length, hz), random_gains(rng, 5, rng.uniform(5, 15)))
    times = even_times(rng, rng.uniform(1.0, 3.4))
    return placed(rng, [tones * taper(length, 0.005)] * len(times), times, spread_db=0.5)


def hopping_pinger(rng: np.random.Generator) -> Floats:
    """A pinger that changes: tones and wide sweeps in random order and pauses, so that nobody gets used. → `[time]`."""
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
    """A deterrent at a fish farm, two kinds. → `[time]`.

    Trains of 1.4-ms pulses of 10.3 kHz, 40 ms apart, for about 2 s; or electronic chirps: short sweeps and tones of
    2-12 kHz in a scramble, 5-40 a second (Lepper and others 2014, Scottish Natural Heritage report 517).
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
    """An echo sounder above the band: what is left in the band are the clicks of its switching on and off. → `[time]`.

    Carrier 15-22 kHz with hard edges, 0.2-4 ms, 1-20 pings a second, with the echo of the bottom 5-80 ms later.
    """
    length = int(log_uniform(rng, 0.0002, 0.004) * RATE_HZ)
    ping = tone_pulse(np.full(length, rng.uniform(15_000, 22_000)), log_uniform(rng, 0.00002, 0.0003))
    times = even_times(rng, 1 / log_uniform(rng, 1, 20))
    sound = placed(rng, [ping] * len(times), times, spread_db=0.3)
    return sound + rng.uniform(0.05, 0.5) * np.roll(sound, int(rng.uniform(0.005, 0.08) * RATE_HZ))


def alias_hz(hz: float, rate_hz: float) -> float:
    """Where a tone of `hz` lands in a recording of `rate_hz` without a filter before it: |hz - n · rate|, n nearest."""
    return abs(hz - round(hz / rate_hz) * rate_hz)


def echo_sounder_alias(rng: np.random.Generator) -> Floats:
    """An echo sounder of 28-200 kHz that a recorder without a filter folds into the band: short tones. → `[time]`.

    Carriers and rates as sold, each within 2 %; `alias_hz` says where they land.
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
    """An acoustic modem or release: a preamble that sweeps, then frequency-shift keying with echoes. → `[time]`.

    2-8 tones within 1-5 kHz about 7-12 kHz, symbols of 3-40 ms.
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
    """Sweeps one after the other with short pauses, filtered to their band, with a tail of echoes. → `[time]`."""
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
