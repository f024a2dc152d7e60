"""Random labelled examples for the segmentation network: calls, boats and ambient noise on random arrays.

Every source is turned into a complex spectrum once, and the spectra are mixed. In a window, a delay is a phase:
x_m(f, t) = Σ_s exp(-j2πf τ_m(u_s(t))) S_s(f, t) + noise. That is 100 times faster than `whalefinder.sea.propagation`,
which moves every source in the time domain. The benchmark uses `whalefinder.sea.propagation`, so training and test use
different models of the sea.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from whalefinder.array import geometry
from whalefinder.sea.boats import random_boat
from whalefinder.sea.calls import random_call
from whalefinder.sea.signals import log_uniform
from whalefinder.sound import spectrogram
from whalefinder.training import clips, sounds
from whalefinder.training.sounds import levelled, mono_spectrum

FRAMES = 376  # 4 s
STEER_FRAMES = 4  # the direction of a moving source changes after this many frames: 43 ms
BOAT_S = 6.0
SOUND_SPEED_M_S = 1490.0


@dataclass
class Pool:
    """Spectra to mix, each complex `[frequency, frame]` with power 1 in the band."""

    calls: list[Tensor] = field(default_factory=list)
    boats: list[Tensor] = field(default_factory=list)
    ambient: list[Tensor] = field(default_factory=list)


@dataclass
class Mixture:
    """A batch of examples.

    Args:
        spectra: complex `[batch, channel, frequency, frame]`.
        shares: power shares `[batch, class, frequency, frame]` in the order of `segmentation.CLASSES`.
        valid: which frequencies count, `[batch, frequency]` bool.
    """

    spectra: Tensor
    shares: Tensor
    valid: Tensor


def build_pool(seed: int, num_calls: int, num_boats: int, *, real_split: str = "train") -> Pool:
    """Draw the sources. Real calls of `real_split` (train or dev) are added if the data folder exists.

    Each real call is used six times: as it is, and five times played slower or faster by up to 25 %.
    """
    rng = np.random.default_rng([seed, 1])
    pool = Pool()
    real = clips.training_calls() if real_split == "train" else clips.find_clips("calls", "dev")
    real = [clip for clip in real if "orcaal" not in clip.path.stem and "extracted" not in clip.path.stem]
    for clip in real:
        pool.calls += sounds.call_spectra(clip.read(), rng.uniform(0.8, 1.25, 5), sounds.clean_call)
    for _ in range(num_calls):
        pool.calls.append(levelled(mono_spectrum(random_call(rng)[1])))
    for _ in range(num_boats):
        pool.boats.append(levelled(mono_spectrum(random_boat(rng, BOAT_S))))
    if real_split == "train":
        for clip in clips.find_clips("field", "train", "train"):
            if clip.label == "ambient":
                pool.ambient.append(levelled(mono_spectrum(clip.read())))
    else:
        for clip in clips.find_clips("boats", "dev"):
            pool.boats.append(levelled(mono_spectrum(clip.read())))
    return pool


def random_positions(rng: np.random.Generator, channels: int) -> np.ndarray:
    """A random compact array `[channel, 3]` m: tetrahedra, boxes, lines, planes of 0.15-1.6 m."""
    size = log_uniform(rng, 0.15, 1.6)
    if channels == 4 and rng.random() < 0.3:
        return geometry.tetrahedron(size)
    extent = size * np.array([(1, 1, 1), (1, 0.02, 0.02), (1, 1, 0.02)][int(rng.choice(3, p=[0.7, 0.15, 0.15]))])
    return rng.uniform(-0.5, 0.5, (channels, 3)) * extent


def phases(positions_m: Tensor, directions: Tensor) -> Tensor:
    """Phases of moving plane waves. `[batch, channel, 3]`, `[batch, step, 3]` → `[batch, channel, frequency, step]`."""
    delays = -torch.einsum("bmx,btx->bmt", positions_m, directions) / SOUND_SPEED_M_S
    angle = -2 * math.pi * spectrogram.frequencies_hz()[:, None] * delays[:, :, None, :]
    return spectrogram.phasor(angle)


def _path(rng: np.random.Generator, moving: bool) -> np.ndarray:
    """Directions `[step, 3]` of a source. Boats (`moving`) are near the surface and move by up to 30°/s."""
    seconds = np.arange(math.ceil(FRAMES / STEER_FRAMES)) * STEER_FRAMES * spectrogram.FRAME_S
    rate = (
        rng.choice([0.0, rng.normal(0, 4), rng.uniform(-30, 30)], p=[0.25, 0.5, 0.25]) if moving else rng.normal(0, 0.5)
    )
    azimuth = np.radians(rng.uniform(0, 360) + rate * seconds)
    elevation = np.radians(rng.uniform(-15, 8) if moving else rng.uniform(-50, 8))
    return geometry.direction(azimuth, np.full_like(azimuth, elevation))


def _mirror(rng: np.random.Generator, moving: bool) -> Tensor:
    """Factor of the surface image (Lloyd's mirror): 1 + rho exp(-j2πf D(t)), rho in -1...-0.4. `[frequency, frame]`."""
    frames = torch.arange(FRAMES) * spectrogram.FRAME_S
    delay = log_uniform(rng, 5e-5, 3e-3) * (1 + (rng.normal(0, 0.2) if moving else 0.0) * frames)
    angle = -2 * math.pi * spectrogram.frequencies_hz()[:, None] * delay
    return 1.0 - rng.uniform(0.4, 1.0) * spectrogram.phasor(angle)


def _place(rng: np.random.Generator, source: Tensor, *, whole: bool) -> Tensor:
    """Place a spectrum in an example of `FRAMES`: a call at random (its ends may be cut), a boat over all frames."""
    if whole:
        return sounds.cut(rng, source, FRAMES)
    canvas = torch.zeros(spectrogram.NUM_BINS, FRAMES, dtype=torch.complex64)
    length = source.shape[-1]
    at = int(rng.integers(-length // 3, FRAMES - 2 * length // 3))
    begin, end = max(0, at), min(FRAMES, at + length)
    canvas[:, begin:end] = source[:, begin - at : end - at]
    shift = int(rng.integers(-12, 13)) if rng.random() < 0.4 else 0
    if shift > 0:
        canvas = torch.nn.functional.pad(torch.view_as_real(canvas), (0, 0, 0, 0, shift, 0))[: spectrogram.NUM_BINS]
        canvas = torch.view_as_complex(canvas.contiguous())
    elif shift < 0:
        canvas = torch.cat([canvas[-shift:], torch.zeros(-shift, FRAMES, dtype=torch.complex64)])
    return canvas


def _ambient(rng: np.random.Generator, pool: Pool, channels: int, seed: int) -> Tensor:
    """Wind noise of about -17 dB per decade, or real background noise, independent at each hydrophone."""
    generator = torch.Generator().manual_seed(seed)
    if pool.ambient and rng.random() < 0.15:
        source = pool.ambient[int(rng.integers(len(pool.ambient)))]
        starts = rng.integers(0, source.shape[-1] - FRAMES, channels)
        return torch.stack([source[:, s : s + FRAMES] for s in starts])
    noise = torch.randn(channels, spectrogram.NUM_BINS, FRAMES, dtype=torch.complex64, generator=generator)
    return levelled(noise * sounds.wind_slope(rng)[:, None])


def draw(pool: Pool, seed: tuple[int, ...], batch: int, channels: int | None = None) -> Mixture:
    """Draw one batch. The same seed draws the same batch, so training resumes exactly.

    SNR is -12...20 dB and SIR is -26...12 dB, in 0.5-12 kHz during the call. There are 0-4 boats. A quarter of the
    examples has no call.
    """
    rng = np.random.default_rng(seed)
    channels = channels or int(rng.choice([1, 2, 3, 4, 5, 6], p=[0.12, 0.08, 0.12, 0.48, 0.1, 0.1]))
    noise = torch.stack([_ambient(rng, pool, channels, int(rng.integers(2**62))) for _ in range(batch)])
    positions = torch.stack([torch.from_numpy(random_positions(rng, channels)) for _ in range(batch)]).float()
    layers: dict[str, list[list[tuple[Tensor, np.ndarray]]]] = {"call": [], "boat": []}
    for _ in range(batch):
        boats = _draw_boats(rng, pool)
        layers["boat"].append(boats)
        layers["call"].append(_draw_calls(rng, pool, boats))
    call = _steer(layers["call"], positions)
    boat = _steer(layers["boat"], positions)
    powers = torch.stack([spectrogram.power(part).mean(1) for part in (call, boat, noise)], dim=1)
    shares = powers / powers.sum(1, keepdim=True).clamp(min=spectrogram.FLOOR)
    valid = torch.ones(batch, spectrogram.NUM_BINS, dtype=torch.bool)
    spectra = call + boat + noise
    for b in range(batch):
        if rng.random() < 0.12:  # a recorder with a lower sample rate: nothing above its limit
            limit = int(rng.integers(60, spectrogram.NUM_BINS))
            valid[b, limit:] = False
            spectra[b, :, limit:] *= 1e-5
    gain = torch.from_numpy(10 ** (rng.uniform(-60, 20, (batch, 1, 1, 1)) / 20)).float()
    return Mixture(spectra * gain, shares, valid)


def _draw_boats(rng: np.random.Generator, pool: Pool) -> list[tuple[Tensor, np.ndarray]]:
    count = int(rng.choice([0, 1, 2, 3, 4], p=[0.15, 0.3, 0.2, 0.25, 0.1]))
    # Level of all boats together over the ambient noise.
    total = 10 ** (rng.uniform(-8, 30) / 10)
    parts = rng.dirichlet(np.full(max(count, 1), 1.5))
    boats = []
    for k in range(count):
        source = _place(rng, pool.boats[int(rng.integers(len(pool.boats)))], whole=True) * sounds.tilt(rng, 3)
        if rng.random() < 0.35:
            source = source * _mirror(rng, moving=True)
        power = sounds.band_power(source)
        boats.append((source * (total * parts[k] / power).sqrt(), _path(rng, moving=True)))
    return boats


def _draw_calls(
    rng: np.random.Generator, pool: Pool, boats: list[tuple[Tensor, np.ndarray]]
) -> list[tuple[Tensor, np.ndarray]]:
    boat_power = sum(float(sounds.band_power(s)) for s, _ in boats)
    calls = []
    for _ in range(int(rng.choice([0, 1, 2], p=[0.25, 0.6, 0.15]))):
        source = _place(rng, pool.calls[int(rng.integers(len(pool.calls)))], whole=False) * sounds.tilt(rng, 2)
        if rng.random() < 0.35:
            source = source * _mirror(rng, moving=False)
        sounding = sounds.sounding(source)
        if not sounding.any():
            continue
        power = sounds.band_power(source[:, sounding]).clamp(min=1e-9)
        # A random SNR over the ambient (power 1). With boats mostly a random SIR too; then the higher level counts.
        wanted = 10 ** (rng.uniform(-12, 20) / 10)
        if boat_power > 0:
            wanted = max(wanted, boat_power * 10 ** (rng.uniform(-26, 12) / 10)) if rng.random() < 0.8 else wanted
        calls.append((source * (wanted / power).sqrt(), _path(rng, moving=False)))
    return calls


def _steer(layers: list[list[tuple[Tensor, np.ndarray]]], positions: Tensor) -> Tensor:
    """The sum of the sources of every example at every hydrophone. → `[batch, channel, frequency, frame]`."""
    batch, channels = positions.shape[:2]
    total = torch.zeros(batch, channels, spectrogram.NUM_BINS, FRAMES, dtype=torch.complex64)
    for k in range(max((len(sources) for sources in layers), default=0)):
        chosen = [b for b in range(batch) if len(layers[b]) > k]
        sources = torch.stack([layers[b][k][0] for b in chosen])
        paths = torch.from_numpy(np.stack([layers[b][k][1] for b in chosen])).float()
        steering = phases(positions[chosen], paths).repeat_interleave(STEER_FRAMES, -1)[..., :FRAMES]
        total[chosen] += steering * sources[:, None]
    return total
