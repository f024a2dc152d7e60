"""Sounds of blows: on moorings, chains, hulls and piles; and the snap of a shrimp."""

from __future__ import annotations

import numpy as np

from whalefinder.sea.signals import (
    Floats,
    log_uniform,
    resonate,
    shaped_noise,
)
from whalefinder.sound.spectrogram import RATE_HZ
from whalefinder.training.nuisances.parts import (
    SECONDS,
    T,
    band_passed,
    even_times,
    placed,
    reverberant,
    ring,
    strikes,
)

FREE_BAR = np.array([1.0, 2.756, 5.404, 8.933, 13.345])
"""Frequencies of the modes of a bar with free ends, relative to the lowest (Fletcher & Rossing 1998, The Physics of
Musical Instruments, chapter 2)."""


def knocks(rng: np.random.Generator) -> Floats:
    """Blows on a hull, chain or mooring that ring for a short time, at random or at regular times. → `[time]`."""
    one = ring(rng, log_uniform(rng, 0.003, 0.08))
    if rng.random() < 0.5:
        step = rng.uniform(0.08, 1.2)
        times = np.arange(rng.uniform(0, step), SECONDS, step)
    else:
        times = rng.uniform(0, SECONDS, int(rng.integers(1, 12)))
    return placed(rng, [one] * len(times) if rng.random() < 0.5 else [ring(rng, 0.03) for _ in times], times)


def rattle(rng: np.random.Generator) -> Floats:
    """A chain or gravel: a burst of 0.2-2.5 s with 15-90 small clanks per second. → `[time]`."""
    begin, length = rng.uniform(0, 3), rng.uniform(0.2, 2.5)
    times = rng.uniform(begin, begin + length, int(length * rng.uniform(15, 90)))
    kinds = [ring(rng, log_uniform(rng, 0.001, 0.01)) for _ in range(6)]
    return placed(rng, [kinds[int(rng.integers(6))] for _ in times], times)


def clank(rng: np.random.Generator) -> Floats:
    """Blows on a shackle, frame or buoy of a mooring, which rings for a long time. → `[time]`.

    The modes are those of a free bar, or 4-12 random ones (frame, plate, pipe), at 0.3-12.5 kHz. They ring for
    0.03-0.4 s, and high modes for a shorter time than low ones. Two properties differ from a call: the modes are not
    multiples of one frequency, and their frequencies do not move.
    """
    if rng.random() < 0.4:
        hz = log_uniform(rng, 300, 3000) * FREE_BAR
    else:
        hz = np.array([log_uniform(rng, 300, 9000) for _ in range(int(rng.integers(4, 13)))])
    hz = hz[hz < 12_500]
    decay = log_uniform(rng, 0.03, 0.4) * (hz / hz.min()) ** -rng.uniform(0, 0.7)
    times = rng.uniform(0, 3.6, int(rng.integers(1, 6)))
    blows = strikes(rng, times, log_uniform(rng, 0.00003, 0.0006))
    return resonate(blows, hz, decay, rng.uniform(0.2, 1, len(hz)))


def chain(rng: np.random.Generator) -> Floats:
    """A chain that runs over a roller: about 5-25 clinks per second, slowly faster or slower. → `[time]`.

    There are three different links. Each one rings at 3-5 modes of 1-10 kHz for 4-30 ms.
    """
    begin, end = rng.uniform(0, 1.5), rng.uniform(2.5, SECONDS)
    rate_hz = log_uniform(rng, 5, 25) * 2 ** (rng.uniform(-0.8, 0.8) * T / SECONDS)
    beat = np.diff(np.floor(np.cumsum(rate_hz) / RATE_HZ), prepend=0.0)
    times = np.flatnonzero(beat) / RATE_HZ
    times = times[(times > begin) & (times < end)]
    times = times + rng.normal(0, 0.004, len(times))
    link = rng.integers(0, 3, len(times))
    sound = np.zeros(len(T))
    for k in range(3):
        modes = int(rng.integers(3, 6))
        hz = np.array([log_uniform(rng, 1000, 10_000) for _ in range(modes)])
        decay = np.array([log_uniform(rng, 0.004, 0.03) for _ in range(modes)])
        sound += resonate(strikes(rng, times[link == k], 0.0001), hz, decay, rng.uniform(0.2, 1, modes))
    return sound


def snaps(rng: np.random.Generator) -> Floats:
    """1-24 loud snaps of shrimps near the hydrophone, each with its echo from the surface. → `[time]`.

    First comes a weak pulse. After 0.4-0.6 ms the bubble collapses with a loud one (Versluis and others 2000, Science
    289: 2114). The snap reaches from 2 to 15 kHz and above (Au & Banks 1998, J. Acoust. Soc. Am. 103: 41).
    """
    length = int(0.03 * RATE_HZ)
    t = np.arange(length) / RATE_HZ

    def snap() -> Floats:
        main = np.exp(-t / log_uniform(rng, 0.00005, 0.0003)) * np.sin(2 * np.pi * log_uniform(rng, 2500, 15_000) * t)
        sound = 0.15 * main + np.roll(main, int(rng.uniform(0.0004, 0.0006) * RATE_HZ))
        return sound - rng.uniform(0.3, 0.95) * np.roll(sound, int(rng.uniform(0.0008, 0.02) * RATE_HZ))

    times = rng.uniform(0, SECONDS, int(rng.integers(1, 25)))
    return placed(rng, [snap() for _ in times], times, spread_db=8.0)


def hull_slaps(rng: np.random.Generator) -> Floats:
    """Waves that hit a hull or buoy: a dull thump of 60-900 Hz, then a splash. → `[time]`.

    The waves come every 0.7-3.5 s; a fifth of this is the standard deviation of each time. The modes of the hull ring
    for 20-120 ms.
    """
    times = even_times(rng, rng.uniform(0.7, 3.5), 0.2).clip(0, SECONDS - 0.3)
    modes = int(rng.integers(3, 8))
    hz = np.array([log_uniform(rng, 60, 900) for _ in range(modes)])
    decay = np.array([log_uniform(rng, 0.02, 0.12) for _ in range(modes)])
    thumps = resonate(strikes(rng, times, rng.uniform(0.0008, 0.004)), hz, decay, rng.uniform(0.3, 1, modes))
    thumps /= max(np.abs(thumps).max(), 1e-9)
    swell = resonate(strikes(rng, times + 0.03, 0.03), np.array([0.5]), np.array([rng.uniform(0.1, 0.5)]), np.ones(1))
    swell = np.abs(swell) / max(np.abs(swell).max(), 1e-9)
    splash = shaped_noise(rng, len(T), np.array([100.0, 600, 2000, 20_000]), np.array([-20.0, 0, -3, -22]))
    return thumps + rng.uniform(0.05, 0.4) * swell * splash / splash.std() / 3


def pile_driving(rng: np.random.Generator) -> Floats:
    """Blows on a pile at sea, one every 0.7-2.2 s at regular times, with the echoes of shallow water. → `[time]`.

    The wave runs up and down the pile of length L, and each time it radiates into the water. So arrivals follow each
    other after 2 L / c (L = 10-40 m, c = 5015 m/s in steel), each weaker than the one before (Reinhall & Dahl 2011, J.
    Acoust. Soc. Am. 130: 1209). Most energy lies at 0.1-2 kHz.
    """
    times = even_times(rng, rng.uniform(0.7, 2.2), 0.01)
    again = 2 * rng.uniform(10, 40) / 5015
    loss, contact, force = rng.uniform(0.3, 0.65), rng.uniform(0.0003, 0.0015), int(rng.integers(2**32))
    blows = np.zeros(len(T))
    for k in range(6):
        blows += (-loss) ** k * strikes(np.random.default_rng(force), times + k * again, contact, 1.0)
    modes = int(rng.integers(5, 10))
    hz = np.array([log_uniform(rng, 90, 2200) for _ in range(modes)])
    decay = 0.06 * (hz / 90) ** -0.5 * rng.uniform(0.4, 1.5, modes)
    sound = resonate(blows, hz, decay, rng.uniform(0.3, 1, modes))
    return band_passed(
        reverberant(rng, sound, rng.uniform(0.05, 0.4), rng.uniform(0.3, 1.2)), 60, rng.uniform(2e3, 9e3)
    )


KINDS = (knocks, rattle, clank, chain, snaps, hull_slaps, pile_driving)
