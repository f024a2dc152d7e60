"""Random calls from known directions on one array, for training the regressor.

Every bin gets the powers of call, boats and ambient noise, and from these its call share. Only bins with enough call
share, about a tenth of all, get a phase at every hydrophone. The call shares are the true ones with random errors
(`_mistaken`), since masks of the segmentation network would take far more time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from whalefinder.array import geometry
from whalefinder.array.geometry import Floats, HydrophoneArray
from whalefinder.networks.regressor import GATE, MAX_CELLS, CallBins
from whalefinder.sound import spectrogram
from whalefinder.sound.spectrogram import CELL_FRAMES
from whalefinder.training import mixtures, sounds
from whalefinder.training.losses import azimuth_label, elevation_label

FRAMES = MAX_CELLS * CELL_FRAMES  # 1 s
MAX_BOATS = 3
SNR_DB, SIR_DB = (-10.0, 15.0), (-22.0, 5.0)
BOATS_DB = (0.0, 30.0)  # level of all boats together over the ambient noise
USUAL_DEG, STEEPEST_DEG = (-35.0, 8.0), -60.0  # elevations
MISTAKE_BIAS, MISTAKE_SD = (-2.5, 0.5), (0.0, 1.5)  # of logits; real masks are more often too small than too large


@dataclass(frozen=True)
class Powers:
    """Sounds to draw from, as powers `[frequency, frame]`."""

    calls: list[Tensor]
    boats: list[Tensor]


@dataclass(frozen=True)
class Lessons:
    """A batch: the bins of all events, with `cell` counted through the batch, and labels `(batch, 1)` in [0, 1]."""

    bins: CallBins
    azimuth: Tensor
    elevation: Tensor


def powers_of(pool: mixtures.Pool) -> Powers:
    """The powers of the sounds that the recipe of the segmenter uses."""
    return Powers([spectrogram.power(x) for x in pool.calls], [spectrogram.power(x) for x in pool.boats])


def draw(sources: Powers, array: HydrophoneArray, seed: tuple[int, ...], batch: int) -> Lessons:
    """Draw one batch. The same seed draws the same batch.

    Each example has one call from a random azimuth, with 1-3 boats at SIR -22...5 dB, or without boats at SNR
    -10...15 dB.
    """
    rng = np.random.default_rng(seed)
    azimuth_deg, elevation_deg = rng.uniform(0.0, 360.0, batch), _elevations(rng, array, batch)
    call = torch.zeros(batch, spectrogram.NUM_BINS, FRAMES)
    boats = torch.zeros(MAX_BOATS, batch, spectrogram.NUM_BINS, FRAMES)
    ambient = torch.stack([_slope(rng) for _ in range(batch)])[..., None]
    for b in range(batch):
        boat_power = _draw_boats(rng, sources, boats[:, b])
        snr, sir = (10 ** (rng.uniform(*span) / 10) for span in (SNR_DB, SIR_DB))
        level = max(sir * boat_power, 10 ** (SNR_DB[0] / 10)) if boat_power else snr
        call[b] = level * _draw_call(rng, sources)
    # The mean of |noise|² over independent hydrophones.
    scatter = rng.standard_gamma(array.num_channels, call.shape, dtype=np.float32) / array.num_channels
    noise = ambient * torch.from_numpy(scatter)
    share = _mistaken(rng, call / (call + boats.sum(0) + noise + spectrogram.FLOOR))
    chosen = (share >= GATE).nonzero(as_tuple=True)
    example, frequency, frame = chosen
    positions = torch.from_numpy(array.positions_m).float()
    wavenumber = 2 * math.pi / array.sound_speed_m_s * spectrogram.frequencies_hz()[frequency, None]
    u = torch.from_numpy(geometry.direction(np.radians(azimuth_deg), np.radians(elevation_deg))).float()
    # A plane wave from u reaches r earlier than the origin, by r · u / c.
    x = _random_phase(rng, call[chosen].sqrt()) * spectrogram.phasor(wavenumber * (u @ positions.T)[example])
    for boat in boats:
        courses = torch.from_numpy(np.stack([_course(rng) for _ in range(batch)])).float() @ positions.T
        here = boat[chosen] > 0
        turn = spectrogram.phasor((wavenumber * courses[example, frame // CELL_FRAMES])[here])
        x[here] += _random_phase(rng, boat[chosen][here].sqrt()) * turn
    x += _independent(rng, x.shape) * noise[chosen].sqrt()[:, None]
    bins = CallBins(x, share[chosen], frequency, example * MAX_CELLS + frame // CELL_FRAMES)
    labels = (azimuth_label(azimuth_deg), elevation_label(elevation_deg))
    return Lessons(bins, *(torch.from_numpy(label).float()[:, None] for label in labels))


def _elevations(rng: np.random.Generator, array: HydrophoneArray, batch: int) -> Floats:
    """Elevations `[batch]` in degrees: half of them uniform where most animals are, half uniform over the sphere."""
    top = math.degrees(array.max_elevation_rad())
    low, high = (math.sin(math.radians(limit)) for limit in (STEEPEST_DEG, top))
    usual = rng.uniform(USUAL_DEG[0], min(USUAL_DEG[1], top), batch)
    return np.where(rng.random(batch) < 0.5, usual, np.degrees(np.arcsin(rng.uniform(low, high, batch))))


def _slope(rng: np.random.Generator) -> Tensor:
    """Power of ambient noise with about -17 dB per decade, mean 1 in the band, `[frequency]`."""
    slope = sounds.wind_slope(rng).square()
    return slope / slope[spectrogram.in_band()].mean()


def _draw_call(rng: np.random.Generator, sources: Powers) -> Tensor:
    """One second with a call: power `[frequency, frame]`, mean 1 in the band during the call."""
    while True:
        power = _cut(rng, sources.calls[int(rng.integers(len(sources.calls)))]) * sounds.tilt(rng, 2.0).square()
        sounding = power.sum(0) > 0
        if sounding.any() and (level := float(power[spectrogram.in_band()][:, sounding].mean())) > 0:
            return power / level


def _draw_boats(rng: np.random.Generator, sources: Powers, boats: Tensor) -> float:
    """Fill `boats` `[boat, frequency, frame]` with 0-3 boats. → the power of all together."""
    count = int(rng.choice(MAX_BOATS + 1, p=[0.3, 0.25, 0.2, 0.25]))
    if count == 0:
        return 0.0
    total = 10 ** (rng.uniform(*BOATS_DB) / 10)
    for boat, part in zip(boats, rng.dirichlet(np.full(count, 1.5)), strict=False):
        power = _cut(rng, sources.boats[int(rng.integers(len(sources.boats)))]) * sounds.tilt(rng, 3.0).square()
        boat[:] = power * (total * part / power[spectrogram.in_band()].mean())
    return total


def _cut(rng: np.random.Generator, power: Tensor) -> Tensor:
    """One second of a sound `[frequency, frame]`. A shorter sound is placed at random in one second of silence."""
    length = power.shape[-1]
    if length >= FRAMES:
        begin = int(rng.integers(0, length - FRAMES + 1))
        return power[:, begin : begin + FRAMES]
    begin = int(rng.integers(0, FRAMES - length + 1))
    return torch.nn.functional.pad(power, (begin, FRAMES - length - begin))


def _course(rng: np.random.Generator) -> Floats:
    """Directions `[cell, 3]` of a boat near the surface. Every second boat moves, by up to 30°/s."""
    seconds = np.arange(MAX_CELLS) * CELL_FRAMES * spectrogram.FRAME_S
    rate_deg = rng.uniform(-30, 30) if rng.random() < 0.5 else 0.0
    azimuth = np.radians(rng.uniform(0, 360) + rate_deg * seconds)
    return geometry.direction(azimuth, np.full_like(azimuth, np.radians(rng.uniform(-15, 8))))


def _mistaken(rng: np.random.Generator, share: Tensor) -> Tensor:
    """True shares with errors like a network's: too small, wrong in patches of 4 x 4 bins, half of them blurred."""
    batch, bins, frames = share.shape
    patches = torch.from_numpy(rng.standard_normal((batch, 1, bins // 4, frames // 4), dtype=np.float32))
    error = torch.nn.functional.interpolate(patches, (bins, frames), mode="bilinear")[:, 0]
    bias, sd = (torch.from_numpy(rng.uniform(*span, (batch, 1, 1))).float() for span in (MISTAKE_BIAS, MISTAKE_SD))
    wrong = (torch.logit(share, eps=1e-4) + bias + sd * error).sigmoid()
    blurred = torch.from_numpy(rng.random(batch) < 0.5)
    wrong[blurred] = torch.nn.functional.avg_pool2d(wrong[blurred][:, None], 3, 1, 1)[:, 0]
    return wrong


def _random_phase(rng: np.random.Generator, amplitude: Tensor) -> Tensor:
    angle = torch.from_numpy(rng.random(len(amplitude), dtype=np.float32)) * (2 * math.pi)
    return torch.polar(amplitude, angle)[:, None]


def _independent(rng: np.random.Generator, shape: torch.Size) -> Tensor:
    """Independent noise at every hydrophone, complex `[bin, channel]`, with mean power 1 in every bin."""
    noise = torch.view_as_complex(torch.from_numpy(rng.standard_normal((*shape, 2), dtype=np.float32)))
    return noise / spectrogram.power(noise).mean(1, keepdim=True).sqrt()
