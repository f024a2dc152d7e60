"""Whistles and calls of dolphins, pilot whales, false killer whales and belugas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whalefinder.sea.other_cetaceans.clicks import burst_pulses, click_train
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

LONGEST_S = 3.5


@dataclass(frozen=True, kw_only=True)
class Measures:
    """Measures of the whistles of a species.

    Args:
        low_hz: (least, largest) of the lowest frequency of a whistle.
        octaves: (least, largest) number of octaves from the lowest to the highest frequency of a whistle.
        seconds: (least, largest) duration.
        bends: about the largest number of turning points of the frequency.
        clicks: probability that a sound also has clicks, a buzz or burst pulses.
    """

    low_hz: tuple[float, float]
    octaves: tuple[float, float]
    seconds: tuple[float, float]
    bends: int
    clicks: float


# Mean ± 1.5 standard deviations, rounded, from the sources that the functions cite.
BOTTLENOSE = Measures(low_hz=(3500, 9000), octaves=(0.3, 1.8), seconds=(0.3, 1.4), bends=6, clicks=0.35)
COMMON = Measures(low_hz=(5000, 11_000), octaves=(0.2, 1.3), seconds=(0.2, 1.1), bends=4, clicks=0.35)
STRIPED = Measures(low_hz=(6000, 10_500), octaves=(0.3, 1.2), seconds=(0.4, 1.2), bends=5, clicks=0.25)
PILOT = Measures(low_hz=(1800, 5500), octaves=(0.1, 1.1), seconds=(0.2, 1.1), bends=4, clicks=0.3)
FALSE_KILLER = Measures(low_hz=(3600, 6200), octaves=(0.03, 0.5), seconds=(0.2, 0.7), bends=2, clicks=0.3)


def bottlenose_dolphin(rng: np.random.Generator) -> Floats:
    """Whistles of bottlenose dolphins, about 4-20 kHz, with many turning points. → `[time]`.

    Half of them are signature whistles: the same loop comes 1-4 times, with gaps up to 0.25 s or without (Caldwell,
    Caldwell & Tyack 1990, in The Bottlenose Dolphin, pages 199-234; Janik & Sayigh 2013, J. Comp. Physiol. A 199: 479).
    """
    return _school(rng, BOTTLENOSE, loops=0.5)


def common_dolphin(rng: np.random.Generator) -> Floats:
    """Whistles of common dolphins. → `[time]`.

    The source states 3.6-23.5 kHz and 0.05-2 s (Ansmann and others 2007, Mar. Mamm. Sci. 23: 3).
    """
    return _school(rng, COMMON, loops=0.2)


def striped_dolphin(rng: np.random.Generator) -> Floats:
    """Whistles of striped dolphins: about 8-15 kHz and 0.8 s. → `[time]`.

    After Oswald, Barlow & Norris 2003 (Mar. Mamm. Sci. 19: 20).
    """
    return _school(rng, STRIPED, loops=0.2)


def pilot_whale(rng: np.random.Generator) -> Floats:
    """Whistles of pilot whales: about 2-10 kHz and 0.2-1.1 s, with more harmonics than those of dolphins. → `[time]`.

    After Rendell and others 1999 (J. Zool. 249: 403).
    """
    return _school(rng, PILOT, loops=0.3, tones=5)


def false_killer_whale(rng: np.random.Generator) -> Floats:
    """Whistles of false killer whales: 4-8 kHz, about 0.4 s, with a nearly constant frequency. → `[time]`.

    After Oswald, Barlow & Norris 2003 (Mar. Mamm. Sci. 19: 20).
    """
    return _school(rng, FALSE_KILLER, loops=0.3, tones=3)


def beluga(rng: np.random.Generator) -> Floats:
    """One to four sounds of belugas: whistles, chirps, trills, pulsed "vowels", pulsed tones and clicks. → `[time]`.

    Whistles lie at 0.3-20 kHz, most of them at 2-6 kHz; pulsed tones have no resonances, so their lines fill the whole
    band (Sjare & Smith 1986, Can. J. Zool. 64: 407). "Vowels" have bands like the formants of speech (Belikov &
    Bel'kovich 2008, Acoust. Phys. 54: 567).
    """
    total = np.zeros(int(LONGEST_S * RATE_HZ))
    for _ in range(int(rng.integers(1, 5))):
        kinds = (_beluga_whistle, _beluga_chirps, _beluga_trill, _beluga_vowel, burst_pulses, click_train)
        _add(rng, total, kinds[int(rng.integers(len(kinds)))](rng))
    return total


def contour(rng: np.random.Generator, measures: Measures) -> Floats:
    """Frequency of one random whistle at every sample, within the measures of the species. → `[time]` Hz."""
    low, octaves = log_uniform(rng, *measures.low_hz), rng.uniform(*measures.octaves)
    curve = smooth_curve(
        rng, int(log_uniform(rng, *measures.seconds) * RATE_HZ), int(rng.integers(1, measures.bends + 1))
    )
    curve = (curve - curve.min()) / max(float(np.ptp(curve)), 1e-9)
    return np.minimum(low * 2 ** (octaves * curve), 23_000.0)


def _school(rng: np.random.Generator, measures: Measures, loops: float, tones: int = 3) -> Floats:
    total = np.zeros(int(LONGEST_S * RATE_HZ))
    for _ in range(int(rng.choice([1, 1, 2, 3, 5, 8]))):
        hz = contour(rng, measures)
        gains = random_gains(
            rng, int(rng.integers(1, tones + 1)), rng.uniform(10, 28) if tones < 5 else rng.uniform(4, 20)
        )
        level = taper(len(hz), rng.uniform(0.01, 0.1)) * 10 ** (rng.uniform(0, 5) * smooth_curve(rng, len(hz), 4) / 20)
        whistle = harmonics(hz, gains) * level
        if rng.random() < loops:
            gap = np.zeros(int(rng.choice([0.0, rng.uniform(0.02, 0.25)]) * RATE_HZ))
            whistle = np.concatenate([whistle, gap] * int(rng.integers(1, 5)))
        _add(rng, total, whistle)
    while rng.random() < measures.clicks:
        _add(rng, total, (click_train if rng.random() < 0.6 else burst_pulses)(rng))
    return total


def _add(rng: np.random.Generator, total: Floats, sound: Floats) -> None:
    """Add a sound to `total` at a random place, with a random level. A sound longer than `total` is cut."""
    sound = sound[: len(total)]
    at = int(rng.integers(0, len(total) - len(sound) + 1))
    total[at : at + len(sound)] += sound / max(float(np.abs(sound).max()), 1e-12) * 10 ** (rng.uniform(-15, 0) / 20)


def _beluga_whistle(rng: np.random.Generator) -> Floats:
    wide = Measures(low_hz=(1200, 6000), octaves=(0.02, 1.5), seconds=(0.2, 1.5), bends=4, clicks=0.0)
    hz = contour(rng, wide)
    return harmonics(hz, random_gains(rng, int(rng.integers(1, 4)), rng.uniform(8, 25))) * taper(len(hz), 0.03)


def _beluga_chirps(rng: np.random.Generator) -> Floats:
    """A row of 2-9 equal, short chirps. → `[time]`."""
    length = int(rng.uniform(0.04, 0.18) * RATE_HZ)
    hz = log_uniform(rng, 1500, 7000) * 2 ** (rng.uniform(-1, 1) * np.linspace(-0.5, 0.5, length))
    chirp = np.sin(phase_of(hz)) * taper(length, 0.015)
    return np.tile(np.concatenate([chirp, np.zeros(int(rng.uniform(0.02, 0.2) * RATE_HZ))]), int(rng.integers(2, 10)))


def _beluga_trill(rng: np.random.Generator) -> Floats:
    """A tone whose frequency goes up and down 15-60 times per second. → `[time]`."""
    length = int(rng.uniform(0.3, 1.5) * RATE_HZ)
    flutter = np.sin(phase_of(np.full(length, rng.uniform(15, 60))))
    hz = log_uniform(rng, 1500, 6000) * 2 ** (rng.uniform(0.05, 0.4) * flutter + 0.3 * smooth_curve(rng, length, 2))
    return harmonics(hz, random_gains(rng, 2, 18.0)) * taper(length, 0.03)


def _beluga_vowel(rng: np.random.Generator) -> Floats:
    """About 100-900 pulses per second, which excite two to four resonances of 1-9 kHz. → `[time]`."""
    length = int(rng.uniform(0.2, 1.5) * RATE_HZ)
    rate = log_uniform(rng, 100, 900) * 2 ** (rng.uniform(0.02, 0.4) * smooth_curve(rng, length, 3))
    pulses = np.diff(np.floor(phase_of(rate) / (2 * np.pi)), prepend=0.0)
    bands = np.array([log_uniform(rng, 1000, 9000) for _ in range(int(rng.integers(2, 5)))])
    return resonate(pulses, bands, rng.uniform(2, 8) / bands, rng.uniform(0.3, 1, len(bands))) * taper(length, 0.03)
