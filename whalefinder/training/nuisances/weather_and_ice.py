"""Wind, rain, waves, bubbles, shrimps and ice."""

from __future__ import annotations

import numpy as np

from whalefinder.sea.signals import (
    Floats,
    harmonics,
    log_uniform,
    random_gains,
    shaped_noise,
    smooth_curve,
    taper,
    tone_pulse,
)
from whalefinder.sound.spectrogram import RATE_HZ
from whalefinder.training.nuisances.parts import (
    SAMPLES,
    SECONDS,
    T,
    band_noise,
    placed,
    reverberant,
)


def clicks(rng: np.random.Generator) -> Floats:
    """Shrimps, cavitation, electric sparks: broad-band clicks at random times. → `[time]`."""
    times = rng.uniform(0, SECONDS, int(log_uniform(rng, 2, 120)))
    lengths = log_uniform(rng, 0.0001, 0.002)
    return placed(rng, [rng.standard_normal(max(4, int(lengths * RATE_HZ))) for _ in times], times)


def burst(rng: np.random.Generator) -> Floats:
    """Noise in a band that begins and ends: a splash, a wave, flow, a thruster. → `[time]`."""
    sound = np.zeros(SAMPLES)
    for _ in range(int(rng.integers(1, 4))):
        length = int(log_uniform(rng, 0.03, 3.0) * RATE_HZ)
        begin = int(rng.integers(0, SAMPLES - length))
        noise = band_noise(rng, length) * taper(length, rng.uniform(0.002, 0.5)) * rng.uniform(0.2, 1)
        if rng.random() < 0.5:
            noise *= np.exp(-np.arange(length) / (length * rng.uniform(0.15, 1)))
        sound[begin : begin + length] += noise
    return sound


def shrimp(rng: np.random.Generator) -> Floats:
    """A bed of snapping shrimps: 25-1500 snaps per second, few of them loud. → `[time]`.

    Snaps reach from 2 to 15 kHz and above (Au & Banks 1998, J. Acoust. Soc. Am. 103: 41). Their peaks follow a power
    law.
    """
    count = int(log_uniform(rng, 100, 6000))
    force = rng.pareto(rng.uniform(1.2, 2.5), count) + 0.1
    length = int(0.003 * RATE_HZ)
    t = np.arange(length) / RATE_HZ
    sound = np.zeros(SAMPLES)
    for _ in range(6):  # six shapes of snap, so that no single shape can be learnt
        some = np.zeros(SAMPLES)
        np.add.at(
            some, rng.integers(0, SAMPLES, count // 6), rng.choice(force, count // 6) * rng.choice([-1, 1], count // 6)
        )
        snap = np.exp(-t / log_uniform(rng, 0.00006, 0.0004)) * np.sin(2 * np.pi * log_uniform(rng, 2000, 15_000) * t)
        sound += np.convolve(some, snap[: int(0.002 * RATE_HZ)])[:SAMPLES]
    return sound


def bubble(rng: np.random.Generator, radius_m: float, depth_m: float = 0.0) -> Floats:
    """A new bubble rings at Minnaert's frequency (`minnaert_hz`). → `[time]`, as long as it rings.

    It falls as e^(-π · damping · f · t), with a damping of about 0.0025 · f^(1/3) and f in Hz (Medwin & Clay 1998,
    Fundamentals of Acoustical Oceanography, section 8.2).
    """
    hz = minnaert_hz(radius_m, depth_m)
    decay_s = 1 / (np.pi * 0.0025 * hz ** (1 / 3) * hz)
    t = np.arange(int(7 * decay_s * RATE_HZ) + 8) / RATE_HZ
    return np.exp(-t / decay_s) * np.sin(2 * np.pi * hz * t) * 10 ** (rng.normal(0, 4) / 20)


def minnaert_hz(radius_m: float, depth_m: float = 0.0) -> float:
    """Frequency (Hz) at which an air bubble in sea water rings.

    It is √(3 γ p / ρ) / (2 π a), with γ = 1.4, the pressure p, the density ρ of the water and the radius a (Minnaert
    1933). At the surface this is (3.24 m/s) / a.
    """
    pressure = 101_325 + 1025 * 9.81 * depth_m
    return float(np.sqrt(3 * 1.4 * pressure / 1025) / (2 * np.pi * radius_m))


def bubbles(rng: np.random.Generator) -> Floats:
    """Bubbles of a diver or from a leak: short tones of about 0.3-8 kHz, in groups or at regular times. → `[time]`."""
    middle = log_uniform(rng, 0.0006, 0.008)
    depth = rng.uniform(0, 15)
    sounds, times = [], []
    if rng.random() < 0.4:
        times = list(np.arange(rng.uniform(0, 0.3), SECONDS, log_uniform(rng, 0.03, 0.5)))
        times = [time + rng.normal(0, 0.003) for time in times]
    for _ in range(int(rng.integers(0 if times else 1, 7))):
        begin = rng.uniform(0, SECONDS)
        times += list(begin + rng.exponential(rng.uniform(0.05, 0.4), int(log_uniform(rng, 3, 80))))
    for _ in times:
        radius = np.clip(middle * 2 ** rng.normal(0, 0.6), 0.0004, 0.011)
        sounds.append(bubble(rng, radius, depth))
    return placed(rng, sounds, np.array(times).clip(0, SECONDS), spread_db=3.0)


def breaking_wave(rng: np.random.Generator) -> Floats:
    """Waves that break near by: noise of small bubbles, which grows fast and falls slowly. → `[time]`.

    Above 0.4-1.2 kHz its spectrum falls by 5 dB per octave. After Medwin & Beaky 1989 (J. Acoust. Soc. Am. 86: 1124).
    """
    sound = np.zeros(SAMPLES)
    for _ in range(int(rng.integers(1, 4))):
        begin, rise, fall = rng.uniform(-0.5, 3), rng.uniform(0.1, 0.6), rng.uniform(0.3, 1.5)
        level = np.where(
            T < begin, 0, np.clip((T - begin) / rise, 0, 1) * np.exp(-np.clip(T - begin - rise, 0, 9) / fall)
        )
        peak = log_uniform(rng, 400, 1200)
        hz = np.array([peak / 8, peak, peak * 8, peak * 32])
        noise = shaped_noise(rng, SAMPLES, hz, np.array([-rng.uniform(10, 30), 0, -15, -27]))
        grain = np.abs(1 + 0.5 * smooth_curve(rng, SAMPLES, 300))
        sound += rng.uniform(0.3, 1) * noise / noise.std() * level * grain
    return sound


def rain(rng: np.random.Generator) -> Floats:
    """Rain: noise of small drops (highest at 14.5 kHz) and large drops (1-10 kHz), and single drops. → `[time]`.

    After Nystuen 1986 (J. Acoust. Soc. Am. 79: 972). A single drop near by makes a bubble that rings (Pumphrey and
    others 1989, J. Acoust. Soc. Am. 85: 1518).
    """
    hz = np.array([200.0, 1000, 2000, 5000, 10_000, 14_500, 20_000])
    small = np.array([-30.0, -22, -18, -14, -7, 0, -8])
    large = np.array([-20.0, -6, 0, -2, -5, -5, -14])
    share = rng.uniform(0, 1)
    level = 10 ** (rng.uniform(0, 4) * smooth_curve(rng, SAMPLES, 3) / 20)
    sound = shaped_noise(rng, SAMPLES, hz, share * small + (1 - share) * large)
    count = int(log_uniform(rng, 20, 1500))
    loud = rng.pareto(2.0, count)
    drops = placed(
        rng,
        [f * bubble(rng, log_uniform(rng, 0.0002, 0.0015)) for f in loud],
        rng.uniform(0, SECONDS, count),
        spread_db=1.0,
    )
    return level * sound / sound.std() + rng.uniform(0.3, 3) * level * drops / max(drops.std(), 1e-9)


def ice_cracks(rng: np.random.Generator) -> Floats:
    """Ice that cracks in the cold: sharp cracks near by, and chirps of cracks far away. → `[time]`.

    A crack far away arrives as a bending wave of the ice. High frequencies arrive first, because the group speed grows
    with √f. So the frequency falls as 1 / t², here from 4-12 kHz to 0.2 kHz within 0.05-0.4 s. Cracks: Xie & Farmer
    1991 (J. Acoust. Soc. Am. 89: 2215).
    """
    sounds = []
    times = rng.uniform(0, 3.8, int(rng.integers(2, 15)))
    far = rng.random() < 0.6
    for _ in times:
        length = int(log_uniform(rng, 0.05, 0.4) * RATE_HZ)
        t = np.arange(length) / RATE_HZ
        if far and rng.random() < 0.7:
            chirp = tone_pulse(bending_hz(rng.uniform(4000, 12_000), 200.0, length), 0.001)
            sounds.append(chirp * np.exp(-4 * t / t[-1]))
        else:
            crack = rng.standard_normal(length) * np.exp(-t / log_uniform(rng, 0.001, 0.03))
            sounds.append(np.convolve(crack, np.exp(-np.arange(40) / rng.uniform(1, 15)))[:length])
    return reverberant(rng, placed(rng, sounds, times), rng.uniform(0.03, 0.3), rng.uniform(0.1, 0.8))


def bending_hz(first_hz: float, last_hz: float, samples: int) -> Floats:
    """Frequency (Hz) of a bending wave at every sample, from `first_hz` to `last_hz`. → `[time]`.

    The time t since the crack is distance / group speed, and the group speed is proportional to √f. So f falls as
    1 / t².
    """
    since = np.linspace(1, np.sqrt(first_hz / last_hz), samples)
    return first_hz / since**2


def ice_groans(rng: np.random.Generator) -> Floats:
    """Ice floes that rub: one or two long, rough groans with harmonics. → `[time]`.

    The fundamental is 0.1-1.5 kHz and changes slowly and irregularly. A groan lasts 1.2-4 s, longer than a call. After
    Xie & Farmer 1992 (J. Acoust. Soc. Am. 91: 1423).
    """
    sound = np.zeros(SAMPLES)
    for _ in range(int(rng.integers(1, 3))):
        length = int(rng.uniform(1.2, 4.0) * RATE_HZ)
        begin = int(rng.integers(0, SAMPLES - length + 1))
        creep = rng.uniform(0.1, 0.5) * smooth_curve(rng, length, 3) + 0.02 * smooth_curve(rng, length, 90)
        groan = harmonics(
            log_uniform(rng, 100, 1500) * 2**creep, random_gains(rng, int(rng.integers(4, 20)), rng.uniform(0.5, 3))
        )
        groan *= np.clip(1 + rng.uniform(0.2, 1) * smooth_curve(rng, length, int(rng.uniform(10, 120))), 0, None)
        sound[begin : begin + length] += rng.uniform(0.3, 1) * groan / groan.std() * taper(length, 0.2)
    return reverberant(rng, sound, rng.uniform(0.03, 0.3), rng.uniform(0.1, 0.6))


KINDS = (clicks, burst, shrimp, bubbles, breaking_wave, rain, ice_cracks, ice_groans)
