"""Faults of recorders and hydrophones: steps, splices, gaps, repeats, clipping, knocks, flow, compression.

A gap is audible only if there is sound around it. So most of these sounds contain noise of the sea. When they are added
to another sound, the fault changes only their own noise, not the other sound.
"""

from __future__ import annotations

import numpy as np
from scipy import signal

from whalefinder.sea.signals import (
    Floats,
    log_uniform,
    resonate,
    shaped_noise,
    smooth_curve,
)
from whalefinder.sound.spectrogram import RATE_HZ
from whalefinder.training.nuisances.parts import (
    SAMPLES,
    SECONDS,
    T,
    band_noise,
    even_times,
    strikes,
    water_noise,
)


def step(rng: np.random.Generator) -> Floats:
    """Noise in a band that suddenly becomes louder or softer: a pump, a step of the gain, a cut. → `[time]`."""
    sound = band_noise(rng, SAMPLES)
    at = int(rng.uniform(0.1, 0.9) * SAMPLES)
    if rng.random() < 0.5:
        sound[:at] *= rng.uniform(0, 0.3)
    else:
        sound[at:] *= rng.uniform(0, 0.3)
    return sound


def hydrophone_knocks(rng: np.random.Generator) -> Floats:
    """Knocks of fish, crabs or cables on the hydrophone itself, so loud that they are clipped. → `[time]`.

    Each knock is a thump of 5-80 Hz. The cage of the hydrophone rings at 0.2-4 kHz for 2-30 ms. Sometimes something
    scrapes along it.
    """
    times = rng.uniform(0, SECONDS, int(rng.integers(1, 10)))
    blows = strikes(rng, times, log_uniform(rng, 0.0003, 0.005))
    cage = np.array([log_uniform(rng, 200, 4000) for _ in range(4)])
    sound = resonate(blows, cage, rng.uniform(0.002, 0.03, 4), rng.uniform(0.2, 1, 4))
    thump = resonate(blows, np.array([rng.uniform(5, 80)]), np.array([0.05]), np.ones(1))
    scrape = band_noise(rng, SAMPLES) * np.clip(smooth_curve(rng, SAMPLES, 60) - rng.uniform(1, 3), 0, None)
    sound = sound / np.abs(sound).max() + rng.uniform(0.2, 2) * thump / np.abs(thump).max()
    sound += rng.uniform(0, 0.5) * scrape / max(np.abs(scrape).max(), 1e-9)
    return np.clip(sound, -rng.uniform(0.4, 3), rng.uniform(0.4, 3))


def flow_noise(rng: np.random.Generator) -> Floats:
    """A current or swell around the hydrophone: noise whose level changes in gusts, and the hum of a cable. → `[time]`.

    The power falls with f^(-5/3) up to the frequency (speed of the flow) / (size of the sensor), and faster above it
    (Bassett and others 2014, J. Acoust. Soc. Am. 135: 1764).
    """
    corner = log_uniform(rng, 50, 600)
    hz = np.array([5.0, corner, corner * 10, 24_000])
    steep = rng.uniform(25, 40)
    fall = -10 * 5 / 3 * np.log10(corner / 5)
    noise = shaped_noise(rng, SAMPLES, hz, np.array([0.0, fall, fall - steep, fall - steep - 25]))
    noise *= 10 ** (rng.uniform(2, 8) * smooth_curve(rng, SAMPLES, int(rng.integers(3, 30))) / 20)
    hum = resonate(rng.standard_normal(SAMPLES), np.array([log_uniform(rng, 10, 600)]), np.array([0.1]), np.ones(1))
    return noise / noise.std() + rng.uniform(0, 0.5) * hum / hum.std()


def splices(rng: np.random.Generator) -> Floats:
    """Pieces of different files in one: level, spectrum and constant part of the noise change suddenly. → `[time]`."""
    cuts = np.sort(rng.integers(0, SAMPLES, int(rng.integers(1, 6))))
    sound = np.concatenate(
        [
            water_noise(rng, SAMPLES)[:length] * 10 ** (rng.uniform(-12, 12) / 20) + rng.normal(0, 1)
            for length in np.diff(cuts, prepend=0, append=SAMPLES)
        ]
    )
    return sound


def gain_steps(rng: np.random.Generator) -> Floats:
    """A gain that falls suddenly by 6-30 dB, and returns slowly or stays: an automatic gain control. → `[time]`."""
    gain_db = np.zeros(SAMPLES)
    for at in rng.uniform(0, SECONDS, int(rng.integers(1, 6))):
        back = rng.choice([1e9, rng.uniform(0.05, 1.5)])
        gain_db += np.where(at < T, -rng.uniform(6, 30) * np.exp(-np.clip(T - at, 0, None) / back), 0)
    return water_noise(rng) * 10 ** (gain_db / 20)


def gaps(rng: np.random.Generator) -> Floats:
    """One to six gaps of 5 ms to 1.5 s filled with zeros (lost blocks). They begin and end suddenly. → `[time]`."""
    sound = water_noise(rng) + rng.choice([0.0, rng.normal(0, 1)])
    for _ in range(int(rng.integers(1, 7))):
        begin = int(rng.integers(0, SAMPLES))
        sound[begin : begin + int(log_uniform(rng, 0.005, 1.5) * RATE_HZ)] = 0
    return sound


def dropouts(rng: np.random.Generator) -> Floats:
    """Many short gaps of 0.1-20 ms, filled with zeros or the last value, at random or regular times. → `[time]`."""
    sound = water_noise(rng)
    hold = rng.random() < 0.5
    times = even_times(rng, log_uniform(rng, 0.02, 1.0)) if rng.random() < 0.4 else rng.uniform(0, SECONDS, 40)
    for at in (times[: int(log_uniform(rng, 3, 200))] * RATE_HZ).astype(int):
        end = at + int(log_uniform(rng, 0.0001, 0.02) * RATE_HZ)
        sound[at:end] = sound[min(at, SAMPLES - 1)] if hold else 0
    return sound


def repeated_buffer(rng: np.random.Generator) -> Floats:
    """The same 5-250 ms of noise again and again (a buffer that is not renewed). → `[time]`.

    The noise then has lines at the multiples of 1 / length, and a click at each repeat.
    """
    sound = water_noise(rng)
    for _ in range(int(rng.integers(1, 4))):
        length = int(log_uniform(rng, 0.005, 0.25) * RATE_HZ)
        times = int(np.clip(rng.uniform(0.3, 2.0) * RATE_HZ / length, 2, 200))
        begin = int(rng.integers(0, SAMPLES - length))
        piece = np.tile(sound[begin : begin + length], times)[: SAMPLES - begin]
        sound[begin : begin + len(piece)] = piece
    return sound


def clipping(rng: np.random.Generator) -> Floats:
    """Swell and bumps drive the input beyond full scale. The clipped waves spread over the whole band. → `[time]`."""
    bumps = sum(
        rng.uniform(0.5, 3) * np.exp(-(((T - rng.uniform(0, SECONDS)) / rng.uniform(0.05, 0.5)) ** 2))
        for _ in range(int(rng.integers(1, 5)))
    )
    slow = shaped_noise(rng, SAMPLES, np.array([2.0, 10, 60, 500, 24_000]), np.array([-6.0, 0, -10, -50, -90]))
    sound = slow / slow.std() * bumps + log_uniform(rng, 0.002, 0.1) * water_noise(rng)
    limit = rng.uniform(0.3, 1.5)
    return np.clip(sound, -limit, limit)


def crackle(rng: np.random.Generator) -> Floats:
    """A bad contact, or water in a plug: bursts of small steps, 24-2400 per second. → `[time]`."""
    fits = np.clip(smooth_curve(rng, SAMPLES, int(rng.integers(4, 60))) + rng.uniform(-1, 0.5), 0, None)
    jumps = (rng.random(SAMPLES) < log_uniform(rng, 0.0005, 0.05)) * rng.standard_t(2, SAMPLES).clip(-30, 30)
    back = np.exp(-1 / (log_uniform(rng, 0.00003, 0.005) * RATE_HZ))
    return signal.lfilter([1.0], [1.0, -back], jumps * fits) + 1e-3 * fits.mean() * water_noise(rng)


def birdies(rng: np.random.Generator) -> Floats:
    """Noise after MP3 compression at a low rate: short tones that switch on and off ("birdies"). → `[time]`.

    MP3 divides the sound into blocks (granules) of 576 samples, and each block into frequencies 24 kHz / 576 apart. It
    drops weak ones, so a frequency is present in one block and absent in another (Brandenburg 1999, MP3 and AAC
    explained).
    """
    half = 576
    window = np.sin(np.pi * (np.arange(2 * half) + 0.5) / (2 * half))
    count = SAMPLES // half + 2
    noise = water_noise(rng, (count + 1) * half)
    frames = np.stack([noise[k * half : (k + 2) * half] * window for k in range(count)])
    spectra = np.fft.rfft(frames, axis=1)
    hz = np.fft.rfftfreq(2 * half, 1 / RATE_HZ)
    keep = np.interp(
        hz, [0, rng.uniform(500, 3000), rng.uniform(5000, 9000), 16_000], [1, 0.6, rng.uniform(0.02, 0.2), 0]
    )
    blink = rng.random((count, len(hz)))
    stay = np.minimum(blink, np.roll(blink, 1, axis=0)) < keep / 2  # a tone lasts two granules or more
    sound = np.zeros((count + 1) * half)
    for k, frame in enumerate(np.fft.irfft(spectra * stay, axis=1) * window):
        sound[k * half : (k + 2) * half] += frame
    return sound[half : half + SAMPLES]


KINDS = (
    step, hydrophone_knocks, flow_noise, splices, gain_steps, gaps, dropouts, repeated_buffer, clipping, crackle, birdies,
)  # fmt: skip
