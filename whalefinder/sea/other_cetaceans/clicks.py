"""Clicks: trains and buzzes of dolphins, their burst pulses, and the clicks, codas and creaks of sperm whales."""

from __future__ import annotations

import numpy as np

from whalefinder.sea.signals import Floats, log_uniform, smooth_curve, taper
from whalefinder.sound.spectrogram import RATE_HZ

LONGEST_S = 3.5


def click_train(rng: np.random.Generator) -> Floats:
    """A dolphin's clicks: 8-60 per second. Half of the trains speed up to 100-500 per second (a buzz). → `[time]`.

    The clicks have 20-130 kHz (Au 1993, The Sonar of Dolphins). The band of the classifier contains only their low end.
    Its spectrum is flat or rises with frequency.
    """
    length = int(rng.uniform(0.5, 2.5) * RATE_HZ)
    first = log_uniform(rng, 8, 60)
    rate = np.geomspace(first, first if rng.random() < 0.5 else log_uniform(rng, 100, 500), length)
    return _clicks(rng, rate, _dolphin_click(rng)) * taper(length, 0.1)


def burst_pulses(rng: np.random.Generator) -> Floats:
    """Squawks of dolphins: 100-1000 clicks per second for 0.1-0.8 s, which sound like a tone. → `[time]`.

    There are one to three squawks. After Lammers, Au & Herzing 2003 (J. Acoust. Soc. Am. 114: 1629).
    """
    length = int(rng.uniform(0.1, 0.8) * RATE_HZ)
    rate = log_uniform(rng, 100, 1000) * 2 ** (rng.uniform(0.05, 0.6) * smooth_curve(rng, length, 3))
    burst = _clicks(rng, rate, _dolphin_click(rng)) * taper(length, 0.02)
    return np.tile(np.concatenate([burst, np.zeros(int(rng.uniform(0.05, 0.4) * RATE_HZ))]), int(rng.integers(1, 4)))


def sperm_whale(rng: np.random.Generator) -> Floats:
    """One, two or four sperm whales. Each makes usual clicks, a coda, a creak or slow clicks. → `[time]`.

    Usual clicks are 0.5-1 s apart, slow ones 5-7 s (so here are one or two). A creak has up to 60 clicks per second
    (Miller, Johnson & Tyack 2004, Proc. R. Soc. B 271: 2239). A coda is a rhythm of 3-9 clicks (Watkins & Schevill
    1977, J. Acoust. Soc. Am. 62: 1485).
    """
    total = np.zeros(int(LONGEST_S * RATE_HZ))
    for _ in range(int(rng.choice([1, 1, 2, 4]))):  # whales
        click, spread = sperm_click(rng), 1.5
        kind = rng.random()
        if kind < 0.55:
            times = usual_times(rng)
        elif kind < 0.75:
            times = rng.uniform(0, 2.0) + np.cumsum(_coda(rng))
        elif kind < 0.92:
            rate = np.geomspace(log_uniform(rng, 2, 15), log_uniform(rng, 20, 60), 200)
            times = rng.uniform(0, 1.0) + np.cumsum(1 / rate)
            click, spread = click[: int(0.004 * RATE_HZ)], 1.0
        else:
            times = rng.uniform(0, LONGEST_S, int(rng.integers(1, 3)))
        level = 10 ** (rng.uniform(-12, 0) / 20)
        for time in times[(times >= 0) & (times < LONGEST_S)]:
            piece = click[: len(total) - int(time * RATE_HZ)]
            total[int(time * RATE_HZ) :][: len(piece)] += level * piece * 10 ** (rng.normal(0, spread) / 20)
    return total


def sperm_click(rng: np.random.Generator) -> Floats:
    """One click of a sperm whale: four pulses, each weaker than the one before, and their echo from the surface.

    The pulses come 3-9 ms apart, because the sound runs to and fro in the head (Norris & Harvey 1972, NASA SP-262:
    397); longer whales have longer intervals (Gordon 1991, J. Zool. 224: 301). Most energy lies at 2-15 kHz. Beside the
    axis of the head the frequency is lower (Madsen and others 2002, J. Exp. Biol. 205: 1899). → `[time]`.
    """
    between, fall = rng.uniform(0.003, 0.009), 10 ** (-rng.uniform(4, 18) / 20)
    hz, decay = log_uniform(rng, 2500, 12_000), log_uniform(rng, 0.00015, 0.0008)
    t = np.arange(int(6 * decay * RATE_HZ) + 8) / RATE_HZ
    pulse = np.exp(-t / decay) * np.sin(2 * np.pi * hz * t)
    sound = in_the_head(pulse, between, fall)
    late = int(rng.uniform(0.002, 0.06) * RATE_HZ)
    sound[late:] -= rng.uniform(0, 0.8) * sound[:-late].copy()
    return sound


def in_the_head(pulse: Floats, between_s: float, fall: float) -> Floats:
    """The pulse four times, because it runs to and fro in the head. → `[time]`.

    The pulses are `between_s` apart, and each is `fall` times as strong as the one before.
    """
    sound = np.zeros(int(0.12 * RATE_HZ))
    for k in range(4):
        at = round(k * between_s * RATE_HZ)
        sound[at : at + len(pulse)] += fall**k * pulse
    return sound


def usual_times(rng: np.random.Generator) -> Floats:
    """Times of usual clicks, 0.5-1 s apart. Each has a random error of 2 % of the interval. → `[click]` s."""
    interval = rng.uniform(0.5, 1.0)
    times = np.arange(rng.uniform(0, interval), LONGEST_S, interval)
    return times + rng.normal(0, 0.02 * interval, len(times))


def _coda(rng: np.random.Generator) -> Floats:
    """Intervals between the clicks of a coda. → `[click]` s.

    They are equal; or equal but for a longer last one; or two long ones stand before two short ones ("1 + 1 + 3").
    """
    interval = rng.uniform(0.08, 0.35)
    kind = int(rng.integers(3))
    if kind == 0:
        return np.full(int(rng.integers(3, 10)), interval)
    if kind == 1:
        return np.append(np.full(int(rng.integers(3, 8)), interval), interval * rng.uniform(1.6, 2.5))
    return interval * np.array([1.0, 2.0, 2.0, 1.0, 1.0])


def _dolphin_click(rng: np.random.Generator) -> Floats:
    click = rng.standard_normal(int(rng.uniform(4, 30))) * 0.3
    click[:3] += np.array([1.0, -1.6, 0.8])
    return np.convolve(click, np.array([1.0, -rng.uniform(0, 0.95)]))


def _clicks(rng: np.random.Generator, rate_hz: Floats, click: Floats) -> Floats:
    """The click `rate_hz` (`[time]`) times per second, with random levels. → `[time]`."""
    impulses = np.diff(np.floor(np.cumsum(rate_hz) / RATE_HZ), prepend=0.0)
    impulses *= 10 ** ((rng.normal(0, 2, len(rate_hz)) + 5 * smooth_curve(rng, len(rate_hz), 3)) / 20)
    return np.convolve(impulses, click)[: len(rate_hz)]
