"""Baleen whales: song of humpbacks, boings and pulse trains of minke whales, and moans."""

from __future__ import annotations

import numpy as np

from whalefinder.sea.signals import (
    Floats,
    harmonics,
    log_uniform,
    phase_of,
    random_gains,
    resonate,
    shaped_noise,
    smooth_curve,
    taper,
)
from whalefinder.sound.spectrogram import RATE_HZ

LONGEST_S = 3.5


def humpback(rng: np.random.Generator) -> Floats:
    """Humpback song: 1-6 units, which are single sounds. All are the same, or two units take turns. → `[time]`.

    After Payne & McVay 1971 (Science 173: 585; song), Dunlop and others 2007 (J. Acoust. Soc. Am. 122: 2893; measures
    of units) and Au and others 2006 (J. Acoust. Soc. Am. 120: 1103; harmonics to 15 kHz and above).
    """
    phrase = [_unit(rng) for _ in range(int(rng.choice([1, 1, 2])))]
    pause, pieces = rng.uniform(0.1, 1.2), []
    for k in range(int(rng.integers(1, 7))):
        pieces += [phrase[k % len(phrase)], np.zeros(int(pause * rng.uniform(0.9, 1.1) * RATE_HZ))]
    return np.concatenate(pieces)[: int(LONGEST_S * RATE_HZ)]


def minke_boing(rng: np.random.Generator) -> Floats:
    """A minke whale's boing: 92 or 115 pulses per second around 1.4 kHz, which become weaker over seconds. → `[time]`.

    It begins suddenly, is loudest at 1.3-1.45 kHz and lasts 2-10 s (Rankin & Barlow 2005, J. Acoust. Soc. Am. 118:
    3346). These are its first 3.5 s.
    """
    length = int(LONGEST_S * RATE_HZ)
    rate = (
        rng.choice([92.0, 115.0]) * rng.uniform(0.97, 1.03) * (1 + 0.02 * np.exp(-np.arange(length) / (0.2 * RATE_HZ)))
    )
    pulses = np.diff(np.floor(phase_of(rate) / (2 * np.pi)), prepend=-1.0)
    bands = rng.uniform(1300, 1450) * np.array([1.0, *rng.uniform(1.8, 6.0, 3)])
    gains = np.array([1.0, *10 ** (-rng.uniform(6, 25, 3) / 20)])
    boing = resonate(pulses, bands, np.full(4, rng.uniform(0.006, 0.03)), gains)
    return boing * np.exp(-np.arange(length) / (rng.uniform(0.8, 3) * RATE_HZ)) * taper(length, 0.01)


def minke_pulse_train(rng: np.random.Generator) -> Floats:
    """A minke whale's thumps of 0.1-0.8 kHz: 2.8-10 per second, and slower or faster towards the end. → `[time]`.

    After Risch and others 2014 (Bioacoustics 23: 239).
    """
    length = int(LONGEST_S * RATE_HZ)
    rate = np.geomspace(rng.uniform(2.8, 10), rng.uniform(2.8, 10), length)
    pulses = np.diff(np.floor(np.cumsum(rate) / RATE_HZ), prepend=0.0) * np.linspace(rng.uniform(0.2, 1), 1, length)
    bands = np.array([log_uniform(rng, 100, 250), log_uniform(rng, 200, 450), log_uniform(rng, 400, 800)])
    return resonate(pulses, bands, np.full(3, rng.uniform(0.008, 0.03)), np.array([1.0, 0.7, 0.4]))


def moans(rng: np.random.Generator) -> Floats:
    """Moans, grunts and upsweeps of baleen whales. → `[time]`.

    The fundamental lies at about 0.08-1.2 kHz. The same sound comes one to three times. The numbers have no published
    source.
    """
    units = []
    length = int(rng.uniform(0.2, 2.0) * RATE_HZ)
    hz = log_uniform(rng, 80, 900) * 2 ** (
        rng.uniform(0.05, 0.6) * smooth_curve(rng, length, 3) + rng.uniform(-0.5, 1.0) * np.linspace(0, 1, length)
    )
    phase = 2 * np.pi * np.cumsum(hz) / RATE_HZ
    decay = rng.uniform(0.5, 1.5)
    tones = range(1, int(min(20, 6000 / hz.max())) + 1)
    unit = sum(k**-decay * rng.uniform(0.3, 1) * np.sin(k * phase + rng.uniform(0, 6)) for k in tones)
    if rng.random() < 0.3:
        unit = unit * (1 + rng.uniform(0.3, 1) * np.cos(2 * np.pi * rng.uniform(15, 60) * np.arange(length) / RATE_HZ))
    for _ in range(int(rng.choice([1, 1, 2, 3]))):
        units += [unit * taper(length, rng.uniform(0.02, 0.2)), np.zeros(int(rng.uniform(0.1, 0.6) * RATE_HZ))]
    return np.concatenate(units)[: int(3.5 * RATE_HZ)]


def _unit(rng: np.random.Generator) -> Floats:
    return (_moan, _cry, _chirp, _ratchet, _upsweep, _squeal, _harsh)[int(rng.integers(7))](rng)


def _voice(rng: np.random.Generator, hz: Floats, decay_db: float, rough: float = 0.0) -> Floats:
    """Harmonics of `hz` (`[time]`) whose level changes slowly. → `[time]`.

    With the probability `rough`, the level also changes 12-70 times per second, as in a rough voice.
    """
    tones = int(np.clip(9000 / hz.max(), 2, 40))
    if rng.random() < 0.5:  # hoarse: small random changes of the frequency blur the high harmonics
        hz = hz * (1 + log_uniform(rng, 0.003, 0.04) * smooth_curve(rng, len(hz), max(4, int(60 * len(hz) / RATE_HZ))))
    sound = harmonics(hz, random_gains(rng, tones, decay_db, 4.0))
    if rng.random() < rough:
        sound *= 1 + rng.uniform(0.3, 1) * np.sin(phase_of(np.full(len(hz), rng.uniform(12, 70))))
    return sound * taper(len(hz), rng.uniform(0.03, 0.25)) * 10 ** (3 * smooth_curve(rng, len(hz), 3) / 20)


def _curve(rng: np.random.Generator, low: float, high: float, seconds: tuple[float, float], octaves: float) -> Floats:
    length = int(rng.uniform(*seconds) * RATE_HZ)
    return log_uniform(rng, low, high) * 2 ** (octaves * smooth_curve(rng, length, int(rng.integers(2, 4))) / 1.5)


def _moan(rng: np.random.Generator) -> Floats:
    return _voice(rng, _curve(rng, 60, 400, (0.8, 3.0), 0.25), rng.uniform(1, 4), rough=0.4)


def _cry(rng: np.random.Generator) -> Floats:
    return _voice(rng, _curve(rng, 300, 1500, (0.5, 2.5), 0.5), rng.uniform(2, 6), rough=0.3)


def _chirp(rng: np.random.Generator) -> Floats:
    length = int(rng.uniform(0.08, 0.5) * RATE_HZ)
    return _voice(
        rng, log_uniform(rng, 400, 2500) * 2 ** np.linspace(0, rng.uniform(0.3, 1.5), length), rng.uniform(6, 12)
    )


def _upsweep(rng: np.random.Generator) -> Floats:
    length = int(rng.uniform(0.4, 2.0) * RATE_HZ)
    return _voice(
        rng, log_uniform(rng, 80, 500) * 2 ** np.linspace(0, rng.uniform(0.8, 2.5), length) ** 1.5, rng.uniform(2, 6)
    )


def _squeal(rng: np.random.Generator) -> Floats:
    return _voice(rng, _curve(rng, 1200, 4000, (0.3, 1.5), 0.3), rng.uniform(8, 18))


def _harsh(rng: np.random.Generator) -> Floats:
    """A loud cry with harmonics up to 12 kHz and more, whose voice breaks: it jumps, gets subharmonics or turns to noise.

    All three come one after the other within single units of humpback song (Cazau and others 2016, Sci. Rep. 6: 31660).
    How long each lasts has no published source. → `[time]`.
    """
    hz = _curve(rng, 150, 900, (0.5, 2.5), 0.35)
    length = len(hz)
    place = np.linspace(0, 1, length)
    if rng.random() < 0.5:  # a jump of the frequency
        hz = hz * np.where(place > rng.uniform(0.2, 0.8), 2 ** rng.uniform(-0.6, 0.6), 1.0)
    tones = int(np.clip(13_000 / hz.max(), 4, 60))
    sound = harmonics(hz, random_gains(rng, tones, rng.uniform(0.3, 2.5), 4.0))
    sound /= sound.std()
    if rng.random() < 0.5:  # tones in between, at odd multiples of half the frequency
        half = harmonics(hz / 2, random_gains(rng, 2 * tones, rng.uniform(0.2, 1.2), 4.0))
        sound += half / half.std() * _spell(rng, place)
    if rng.random() < 0.5:
        noise = shaped_noise(rng, length, np.array([200.0, 1000, 5000, 15_000]), np.array([-12.0, 0, -6, -25]))
        part = _spell(rng, place)
        sound = sound * np.sqrt(1 - 0.9 * part) + noise / noise.std() * part
    return sound * taper(length, rng.uniform(0.03, 0.2)) * 10 ** (3 * smooth_curve(rng, length, 3) / 20)


def _spell(rng: np.random.Generator, place: Floats) -> Floats:
    """1 within a random part of a sound, 0 outside, with soft edges. `place` is 0...1 over the sound."""
    first, length = rng.uniform(-0.2, 0.8), rng.uniform(0.2, 0.6)
    inside: Floats = np.clip((0.5 * length - np.abs(place - first - 0.5 * length)) / 0.05 + 0.5, 0.0, 1.0)
    return inside


def _ratchet(rng: np.random.Generator) -> Floats:
    """12-60 pulses per second, which become faster or slower and ring at 0.2-3 kHz. → `[time]`."""
    length = int(rng.uniform(0.4, 2.5) * RATE_HZ)
    rate = np.geomspace(log_uniform(rng, 12, 60), log_uniform(rng, 12, 60), length)
    pulses = np.diff(np.floor(np.cumsum(rate) / RATE_HZ), prepend=0.0)
    bands = np.array([log_uniform(rng, 200, 800), log_uniform(rng, 600, 3000)])
    return resonate(pulses, bands, rng.uniform(1.5, 6) / bands, np.array([1.0, rng.uniform(0.2, 0.8)])) * taper(
        length, 0.05
    )
