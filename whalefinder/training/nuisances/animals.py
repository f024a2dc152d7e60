"""Seals, sea lions, and gulls whose cries pass through the surface into the water."""

from __future__ import annotations

import numpy as np

from whalefinder.sea.signals import (
    Floats,
    harmonics,
    log_uniform,
    random_gains,
    resonate,
    smooth_curve,
    taper,
    tone_pulse,
)
from whalefinder.sound.spectrogram import RATE_HZ
from whalefinder.training.nuisances.parts import (
    SAMPLES,
    SECONDS,
    band_passed,
    even_times,
    placed,
    reverberant,
)


def seal_roars(rng: np.random.Generator) -> Floats:
    """A harbour seal's roar: a rumble below 1.5 kHz that grows for 1.2-3.8 s and then stops at once. → `[time]`.

    After Hanggi & Schusterman 1994 (Animal Behaviour 48: 1275).
    """
    swell = np.linspace(0, 1, SAMPLES) ** rng.uniform(0.5, 3) * taper(SAMPLES, 0.1)
    pulses = rng.standard_normal(SAMPLES) * np.clip(1 + rng.uniform(0, 1) * smooth_curve(rng, SAMPLES, 120), 0, None)
    throat = np.array([log_uniform(rng, 80, 300), log_uniform(rng, 300, 700), log_uniform(rng, 700, 1500)])
    roar = resonate(pulses, throat, 3 / throat, np.array([1.0, 0.7, 0.3])) * swell
    end = int(rng.uniform(0.3, 0.95) * SAMPLES)
    roar[end:] = 0
    return reverberant(rng, roar, 0.1, rng.uniform(0.1, 0.5))


def sea_lion_barks(rng: np.random.Generator) -> Floats:
    """Sea lions that bark, in the water or above it: barks of 0.1-0.35 s, 0.8-4 of them per second. → `[time]`.

    Each bark consists of hoarse harmonics of 150-500 Hz. Resonances (formants) below 3.5 kHz raise some of them. After
    Schusterman & Balliet 1969 (Nature 222: 1179).
    """
    length = int(rng.uniform(0.1, 0.35) * RATE_HZ)
    arch = 1 + rng.uniform(0.05, 0.25) * np.sin(np.pi * np.linspace(0, 1, length))
    base = log_uniform(rng, 150, 500)
    throat = np.array([rng.uniform(400, 900), rng.uniform(1000, 1800), rng.uniform(2200, 3500)])
    times = even_times(rng, max(1 / rng.uniform(0.8, 4), 1.2 * length / RATE_HZ), 0.04)
    times = times[: len(times) if rng.random() < 0.7 else int(rng.integers(2, 8))]
    barks = []
    for _ in times:
        voice = harmonics(base * arch * (1 + rng.normal(0, 0.03)), random_gains(rng, 30, 0.6))
        hoarse = voice / voice.std() + rng.uniform(0.2, 1) * rng.standard_normal(length)
        barks.append(resonate(hoarse * taper(length, 0.02), throat, 2.5 / throat, np.array([1.0, 0.6, 0.3])))
    return reverberant(rng, placed(rng, barks, times, spread_db=2.0), 0.08, rng.uniform(0.1, 0.6))


def weddell_trills(rng: np.random.Generator) -> Floats:
    """A Weddell seal's trill: for 1.5-4 s the frequency falls from 3-12 kHz to 0.15-0.9 kHz. → `[time]`.

    Half of the trills are one tone. The others are a row of short chirps: each begins lower than the one before, and
    they follow each other more and more slowly. After Thomas & Kuechle 1982 (J. Acoust. Soc. Am. 72: 1730).
    """
    first, last = log_uniform(rng, 3000, 12_000), log_uniform(rng, 150, 900)
    seconds = rng.uniform(1.5, 4.0)
    if rng.random() < 0.5:
        length = int(seconds * RATE_HZ)
        hz = np.geomspace(first, last, length)
        hz = hz * (
            1 + rng.uniform(0, 0.05) * np.sin(2 * np.pi * np.cumsum(np.full(length, rng.uniform(4, 20))) / RATE_HZ)
        )
        trill = harmonics(hz, random_gains(rng, 3, 15.0)) * taper(length, 0.1)
        return reverberant(rng, placed(rng, [trill], np.array([rng.uniform(0, SECONDS - seconds)])), 0.2, 0.3)
    chirps, times, time = [], [], rng.uniform(0, 0.5)
    begin, pause = time, rng.uniform(0.03, 0.12)
    while time < min(SECONDS - 0.1, begin + seconds):
        part = (time - begin) / seconds
        length = int(pause * 0.7 * RATE_HZ)
        pitch = first * (last / first) ** part
        chirps.append(tone_pulse(np.geomspace(pitch * 1.4, pitch * 0.8, length), 0.005))
        times.append(time)
        pause *= rng.uniform(1.0, 1.06)
        time += pause
    return reverberant(rng, placed(rng, chirps, np.array(times), spread_db=1.0), 0.15, 0.3)


def bearded_trills(rng: np.random.Generator) -> Floats:
    """A bearded seal's trill: a tone of 1-6 kHz that falls by 0.4-2.5 octaves and flutters regularly. → `[time]`.

    A whole trill lasts up to a minute, so these 4 s are a part of it. After Risch and others 2007 (Animal Behaviour
    73: 747).
    """
    begin = log_uniform(rng, 1000, 6000)
    end = max(150.0, begin * 2 ** -rng.uniform(0.4, 2.5))
    flutter = rng.uniform(0.02, 0.12) * np.sin(2 * np.pi * rng.uniform(2, 9) * np.arange(SAMPLES) / RATE_HZ)
    trill = harmonics(np.geomspace(begin, end, SAMPLES) * (1 + flutter), random_gains(rng, 2, 20.0))
    return reverberant(rng, trill * taper(SAMPLES, rng.uniform(0.1, 0.8)), 0.3, rng.uniform(0.1, 0.5))


def gulls(rng: np.random.Generator) -> Floats:
    """Gulls over a shallow hydrophone: rows of short cries with harmonics. The cries of a row are similar. → `[time]`.

    A cry lasts 0.1-0.45 s. Its fundamental lies at 0.6-2 kHz; it rises and falls, or only falls. A row has 1.5-5 cries
    per second, and there are one or two rows. Through the surface come mainly 0.6-7 kHz. The numbers were chosen by
    ear; they have no published source.
    """
    sound = np.zeros(SAMPLES)
    for _ in range(int(rng.integers(1, 3))):
        rate = rng.uniform(1.5, 5)
        length = int(min(rng.uniform(0.1, 0.45), 0.85 / rate) * RATE_HZ)
        x = np.linspace(0, 1, length)
        shape = 1 + rng.uniform(0.1, 0.5) * (np.sin(np.pi * x**0.7) if rng.random() < 0.6 else 1 - x)
        base = rng.uniform(600, 1300)
        times = rng.uniform(0, 2) + np.arange(int(rng.integers(3, 12))) / rate
        times = times[times < SECONDS]
        gains = random_gains(rng, 6, rng.uniform(2, 6))
        cries = [
            harmonics(base * (1 - 0.02 * k) * shape, gains) * np.sin(np.pi * x) ** 0.6
            * (1 + 0.3 * smooth_curve(rng, length, 20))
            for k in range(len(times))
        ]  # fmt: skip
        sound += placed(rng, cries, times, spread_db=1.5)
    return band_passed(reverberant(rng, sound, 0.03, 0.4), 600, 7000)


KINDS = (seal_roars, sea_lion_barks, weddell_trills, bearded_trills, gulls)
