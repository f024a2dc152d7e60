"""People: speech on deck that passes into the water, a voice from a radio, divers."""

from __future__ import annotations

import numpy as np
from scipy import signal

from whalefinder.sea.signals import (
    Floats,
    log_uniform,
    phase_of,
    resonate,
    shaped_noise,
    smooth_curve,
    taper,
)
from whalefinder.sound.spectrogram import RATE_HZ
from whalefinder.training.nuisances.parts import (
    SAMPLES,
    SECONDS,
    T,
    band_passed,
    placed,
    reverberant,
)
from whalefinder.training.nuisances.weather_and_ice import bubble

VOWELS_HZ = {
    "i": (270, 2290, 3010), "ɪ": (390, 1990, 2550), "ɛ": (530, 1840, 2480), "æ": (660, 1720, 2410),
    "ɑ": (730, 1090, 2440), "ɔ": (570, 840, 2410), "ʊ": (440, 1020, 2240), "u": (300, 870, 2240),
    "ʌ": (640, 1190, 2390), "ɝ": (490, 1350, 1690),
}  # fmt: skip
"""First three formants of men's vowels (Peterson & Barney 1952, J. Acoust. Soc. Am. 24: 175, table II)."""
BANDWIDTHS_HZ = np.array([80.0, 100.0, 150.0, 250.0])  # about those of Klatt 1980, J. Acoust. Soc. Am. 67: 971


def vowel(rng: np.random.Generator, name: str, pitch_hz: Floats, tract: float = 1.0) -> Floats:
    """A vowel: pulses of the larynx pass through four resonators (formants) in series. → `[time]`.

    Args:
        rng: random generator for the noise of the breath.
        name: a key of `VOWELS_HZ`.
        pitch_hz: `[time]` pulses per second.
        tract: factor on the frequencies of the formants: 1 for a man, about 1.17 for a woman, 1.3 for a child.
    """
    pulses = np.diff(np.floor(phase_of(pitch_hz) / (2 * np.pi)), prepend=0.0)
    breath = 0.02 * rng.standard_normal(len(pulses))
    sound = signal.lfilter([1.0], [1, -1.9, 0.9025], pulses + breath)  # the larynx: -12 dB an octave
    for hz, width in zip((*VOWELS_HZ[name], 3500), BANDWIDTHS_HZ, strict=True):
        radius, angle = np.exp(-np.pi * width / RATE_HZ), 2 * np.pi * hz * tract / RATE_HZ
        poles = [1.0, -2 * radius * np.cos(angle), radius**2]
        sound = signal.lfilter([sum(poles)], poles, sound)  # gain 1 at 0 Hz, as Klatt's resonators
    return np.diff(sound, prepend=0.0)  # the lips: +6 dB an octave


def speech(rng: np.random.Generator) -> Floats:
    """Syllables that resemble speech, 3-6 per second, in phrases. → `[time]`.

    The pitch (80-300 Hz) falls during a phrase. Before most vowels comes a consonant, which is noise around 1.5-6.5
    kHz. Hull and surface weaken the low frequencies.
    """
    return band_passed(
        reverberant(rng, _talk(rng), rng.uniform(0.02, 0.2), rng.uniform(0.1, 0.7)), rng.uniform(80, 500), 8e3
    )


def radio_voice(rng: np.random.Generator) -> Floats:
    """A voice from the loudspeaker of a radio: 0.3-3 kHz, clipped, with a short burst of noise before and after it.

    The noise is that of the receiver while no station sends. → `[time]`.
    """
    voice = _talk(rng)
    voice = np.tanh(voice / voice.std() * rng.uniform(1, 6))
    begin, end = rng.uniform(0, 0.8), rng.uniform(2.5, 3.9)
    on = (begin < T) & (end > T)
    hiss = rng.standard_normal(SAMPLES)
    tails = ((begin - 0.1 < T) & (begin > T)) | ((end < T) & (end + rng.uniform(0.05, 0.3) > T))
    sound = on * (voice + rng.uniform(0, 0.2) * hiss) + rng.uniform(0.2, 1) * hiss * tails
    if rng.random() < 0.4:
        beep = (end - 0.15 < T) & (end > T)
        sound = sound + beep * np.sin(2 * np.pi * rng.uniform(800, 2200) * T)
    return band_passed(band_passed(sound, 300, 3000), 300, 3000)


def divers(rng: np.random.Generator) -> Floats:
    """A diver breathes once: the valve hisses, then the bubbles rumble. → `[time]`.

    The breath lasts 0.7-2 s. The hiss is louder at the resonances of the valve (four fixed frequencies of 1-9 kHz).
    """
    begin, length = rng.uniform(0, 1.0), rng.uniform(0.7, 2.0)
    breath = np.clip(np.minimum((T - begin) / 0.15, (begin + length - T) / 0.25), 0, 1)
    noise = rng.standard_normal(SAMPLES)
    valve = np.array([log_uniform(rng, 1000, 9000) for _ in range(4)])
    hiss = noise + 3 * resonate(noise, valve, 8 / (np.pi * valve), np.full(4, 0.2))
    hiss = band_passed(hiss, 700, 14_000) * breath * (1 + 0.2 * smooth_curve(rng, SAMPLES, 80))
    times = begin + length + rng.uniform(0.1, 0.4) + rng.uniform(0, rng.uniform(0.8, 2), 250)
    times = times[times < SECONDS]
    rise = placed(rng, [bubble(rng, log_uniform(rng, 0.0015, 0.012)) for _ in times], times)
    rumble = shaped_noise(rng, SAMPLES, np.array([60.0, 300, 1500, 15_000]), np.array([-9.0, 0, -9, -30]))
    rumble *= np.clip(np.minimum((T - begin - length) / 0.3, 2 * (begin + length + 1.8 - T)), 0, 1)
    return hiss / hiss.std() + rng.uniform(0.3, 2) * (rise / max(rise.std(), 1e-9) + 0.5 * rumble / rumble.std())


def _talk(rng: np.random.Generator) -> Floats:
    pitch, tract = log_uniform(rng, 85, 230), rng.uniform(0.95, 1.3)
    names = list(VOWELS_HZ)
    pieces, times = [], []
    time = rng.uniform(0, 0.6)
    while time < 3.7:
        fall = 1.25 - 0.35 * (time % 2.2) / 2.2  # over a phrase of about two seconds
        length = int(rng.uniform(0.08, 0.28) * RATE_HZ)
        hz = pitch * fall * 2 ** (0.12 * smooth_curve(rng, length, 2))
        sound = vowel(rng, names[int(rng.integers(len(names)))], hz, tract) * taper(length, 0.025)
        sound /= max(sound.std(), 1e-12)
        if rng.random() < 0.6:
            sound = np.concatenate([_consonant(rng), sound])
        pieces.append(sound)
        times.append(time)
        time += len(sound) / RATE_HZ + (rng.uniform(0.01, 0.06) if rng.random() < 0.8 else rng.uniform(0.2, 0.8))
    return placed(rng, pieces, np.array(times), spread_db=2.0)


def _consonant(rng: np.random.Generator) -> Floats:
    length = int(rng.uniform(0.02, 0.14) * RATE_HZ)
    centre = log_uniform(rng, 1500, 6500)
    noise = shaped_noise(rng, length, centre * np.array([0.2, 0.6, 1.0, 1.8, 4.0]), np.array([-40.0, -10, 0, -6, -30]))
    level = taper(length, 0.02) if rng.random() < 0.6 else np.exp(-np.arange(length) / (0.008 * RATE_HZ))
    return rng.uniform(0.1, 0.6) * noise / noise.std() * level


KINDS = (speech, radio_voice, divers)
