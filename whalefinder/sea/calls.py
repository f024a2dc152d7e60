"""Simulated whale calls: whistles, pulsed calls with harmonics and side-bands, nearly tonal calls, click trains.

The ranges follow field reports of killer whales: whistles 1.5-18 kHz, pulse rates 0.25-2 kHz with energy up to 15 kHz,
durations 0.05-3 s (references in `docs/conventions.md`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from whalefinder.sea.signals import Floats, log_uniform, smooth_curve, taper
from whalefinder.sound.spectrogram import RATE_HZ


def whistle(rng: np.random.Generator) -> Floats:
    """A frequency-modulated tone with a weak second harmonic. → `[time]` at `RATE_HZ`."""
    samples = int(rng.uniform(0.25, 1.6) * RATE_HZ)
    centre = log_uniform(rng, 1800, 9500)
    octaves = rng.uniform(0.05, 0.5) * smooth_curve(rng, samples, int(rng.integers(2, 6)))
    hz = np.clip(centre * 2**octaves, 800, 14_000)
    phase = 2 * np.pi * np.cumsum(hz) / RATE_HZ
    tone = np.sin(phase) + 10 ** (rng.uniform(-40, -12) / 20) * np.sin(2 * phase + rng.uniform(0, 6))
    return tone * _swell(rng, samples)


def near_tonal(rng: np.random.Generator) -> Floats:
    """A tone that stays within about ± 100 Hz: the hardest call for direction finding. → `[time]` at `RATE_HZ`."""
    samples = int(rng.uniform(0.3, 1.2) * RATE_HZ)
    hz = log_uniform(rng, 900, 9000) + 60 * smooth_curve(rng, samples, 3)
    return np.sin(2 * np.pi * np.cumsum(hz) / RATE_HZ) * _swell(rng, samples)


def pulsed_call(rng: np.random.Generator) -> Floats:
    """One to three pulsed elements with harmonics, side-bands and sometimes a whistle too. → `[time]` at `RATE_HZ`."""
    parts = []
    base = log_uniform(rng, 250, 1800)
    for _ in range(int(rng.integers(1, 4))):
        samples = int(rng.uniform(0.12, 0.9) * RATE_HZ)
        jump = base * 2 ** rng.uniform(-0.7, 0.7)
        hz = np.clip(
            jump * 2 ** (rng.uniform(0.03, 0.4) * smooth_curve(rng, samples, int(rng.integers(2, 5)))), 80, 4000
        )
        part = _harmonics(rng, hz)
        if rng.random() < 0.35:
            # Pulsing at a lower rate puts side-bands at ± that rate beside each harmonic.
            rate = rng.uniform(40, 250) * (1 + 0.1 * smooth_curve(rng, samples, 3))
            part = part * (1 + rng.uniform(0.3, 1.0) * np.cos(2 * np.pi * np.cumsum(rate) / RATE_HZ))
        parts.append(part * taper(samples, rng.uniform(0.005, 0.06)) * 10 ** (rng.uniform(-8, 0) / 20))
    call = np.concatenate(parts)
    if rng.random() < 0.4:
        voice = whistle(rng)[: len(call)]
        at = int(rng.integers(0, len(call) - len(voice) + 1))
        call[at : at + len(voice)] += voice * np.std(call) * 10 ** (rng.uniform(-6, 6) / 20) * 1.4
    return call * taper(len(call), 0.02)


def click_train(rng: np.random.Generator) -> Floats:
    """Short broad-band clicks at a slowly changing rate. → `[time]` at `RATE_HZ`."""
    samples = int(rng.uniform(0.4, 2.0) * RATE_HZ)
    rate_hz = log_uniform(rng, 8, 150) * 2 ** (0.5 * smooth_curve(rng, samples, 3))
    impulses = np.diff(np.floor(np.cumsum(rate_hz) / RATE_HZ), prepend=0.0)
    impulses *= 10 ** (rng.normal(0, 3, samples) / 20)
    length = int(rng.uniform(0.0003, 0.002) * RATE_HZ)
    t = np.arange(length) / RATE_HZ
    click = np.hanning(length) * np.sin(2 * np.pi * rng.uniform(2500, 10_500) * t)
    return np.convolve(impulses, click)[:samples] * taper(samples, 0.1)


CALLS: dict[str, tuple[float, Callable[[np.random.Generator], Floats]]] = {
    "pulsed": (0.58, pulsed_call),
    "whistle": (0.25, whistle),
    "near_tonal": (0.12, near_tonal),
    "clicks": (0.05, click_train),
}
"""Name → (share of the calls, generator)."""


def random_call(rng: np.random.Generator, kind: str | None = None) -> tuple[str, Floats]:
    """A call of the given kind (a key of `CALLS`) or of a random kind, peak 1. → (kind, `[time]` at `RATE_HZ`)."""
    if kind is None:
        names = list(CALLS)
        kind = names[int(rng.choice(len(names), p=[CALLS[name][0] for name in names]))]
    call = CALLS[kind][1](rng)
    return kind, call / np.abs(call).max()


def _harmonics(rng: np.random.Generator, hz: Floats) -> Floats:
    phase = 2 * np.pi * np.cumsum(hz) / RATE_HZ
    slope_db = rng.uniform(0.2, 3.0)
    formants = rng.uniform(800, 9000, 3)
    widths = rng.uniform(400, 2500, 3)
    call = np.zeros_like(hz)
    for k in range(1, int(12_500 / hz.min()) + 1):
        alive = np.clip((14_000 - k * hz) / 1000, 0, 1)
        if k > 60 or not alive.any():
            break
        bump = sum(np.exp(-(((k * hz - f) / w) ** 2)) for f, w in zip(formants, widths, strict=True))
        gain_db = -slope_db * k + 15 * bump + rng.normal(0, 3)
        call += alive * 10 ** (gain_db / 20) * np.sin(k * phase + rng.uniform(0, 2 * np.pi))
    return call


def _swell(rng: np.random.Generator, samples: int) -> Floats:
    return taper(samples, rng.uniform(0.02, 0.3)) * 10 ** (rng.uniform(0, 6) * smooth_curve(rng, samples, 4) / 20)
