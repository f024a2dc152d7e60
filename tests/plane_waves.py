"""Calls in closed form at exact delays, in white noise, and their cells: sound that no part of the program made."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from whalefinder.array.geometry import HydrophoneArray, direction
from whalefinder.bearings.likelihood import Cells, gather_cells
from whalefinder.sound import covariance, spectrogram

RATE, C = 48_000, 1490.0
FIVE = np.array([[0.3, 0.1, -0.2], [-0.25, 0.2, 0.1], [0.0, -0.35, 0.15], [0.2, -0.1, 0.4], [-0.15, -0.2, -0.3]])
U = direction(math.radians(130.0), math.radians(-12.0))
BEGIN_S, SECONDS = 1.5, 0.8


def made(positions: np.ndarray = FIVE, **errors: float) -> HydrophoneArray:
    return HydrophoneArray(name="made", positions_m=positions, sound_speed_m_s=C, **errors)


def sweep(seconds: np.ndarray, low_hz: float = 1500.0, high_hz: float = 5200.0) -> np.ndarray:
    """A call in closed form, so that any delay is exact: three harmonics of a sweep with a warble."""
    x = np.clip(seconds / SECONDS, 0, 1)
    phase = 2 * np.pi * (low_hz * seconds + (high_hz - low_hz) * seconds**2 / (2 * SECONDS)) + 9 * np.sin(31 * seconds)
    return np.sin(np.pi * x) ** 0.5 * (np.cos(phase) + np.cos(2 * phase) / 2 + np.cos(3 * phase) / 3)


def heard(delays_s, gains=None, *, snr_db: float = 10.0, seed: int = 0, extra=None) -> tuple[np.ndarray, np.ndarray]:
    """A call at exact delays in white noise. → samples `[channel, time]`, and the call alone at the first hydrophone."""
    delays_s = np.asarray(delays_s)
    gains = np.ones(len(delays_s)) if gains is None else np.asarray(gains)
    t = np.arange(int(RATE * 4.0)) / RATE
    call = gains[:, None] * np.stack([sweep(t - BEGIN_S - d) for d in delays_s])
    inside = np.abs(sweep(t - BEGIN_S)) > 0
    size = np.sqrt(np.mean(sweep(t - BEGIN_S)[inside] ** 2)) / 10 ** (snr_db / 20)
    noise = np.random.default_rng(seed).normal(0, size, call.shape)
    return call + noise + (0.0 if extra is None else extra), call


def cells_of(samples: np.ndarray, call: np.ndarray) -> Cells:
    """Cells of the call with its true share."""
    spectra, clean = (spectrogram.stft(torch.from_numpy(x).float()) for x in (samples, call))
    share = (spectrogram.power(clean).mean(0) / spectrogram.power(spectra).mean(0).clamp(min=1e-20)).clamp(0, 1)
    share = torch.where(share > 0.2, share, torch.zeros_like(share))
    noise = covariance.noise_covariance(spectra, (1 - share).square(), 6.0)
    begin, end = (round((BEGIN_S + x) / spectrogram.FRAME_S) for x in (-0.05, SECONDS + 0.05))
    return gather_cells(spectra[..., begin:end], share[:, begin:end], noise, begin)


def by_the_surface(
    voice: Callable[[np.ndarray], np.ndarray], array: HydrophoneArray, source_m: np.ndarray
) -> np.ndarray:
    """A call and its image in the surface (coefficient -0.8) on exact paths, 4 s long. → `[channel, time]`.

    `source_m` is relative to the middle of the array, whose depth is known. `voice` gives the call at seconds from its begin.
    """
    assert array.depth_m is not None
    t, range_m = np.arange(4 * RATE) / RATE, float(np.linalg.norm(source_m))
    image_m = source_m * [1, 1, -1] + [0, 0, 2 * array.depth_m]
    calls = np.zeros((array.num_channels, len(t)))
    for place, coefficient in ((source_m, 1.0), (image_m, -0.8)):
        for channel, path in enumerate(np.linalg.norm(place - array.positions_m, axis=1)):
            late = BEGIN_S + (path - range_m) / array.sound_speed_m_s
            calls[channel] += coefficient * range_m / path * voice(t - late)
    return calls
