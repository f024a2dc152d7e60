"""The beam towards a direction that lets least noise through, and what noise it cannot remove."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from whalefinder.array.geometry import Floats, HydrophoneArray
from whalefinder.sound import spectrogram


def mvdr_beam(spectra: Tensor, noise: Tensor, array: HydrophoneArray, u: Floats) -> Tensor:
    """Distortionless beam towards `u` with the least noise (MVDR): aᴴQ⁻¹x / aᴴQ⁻¹a.

    Shape:
        complex `[channel, frequency, frame]`, noise `[channel, channel, frequency, cell]` → `[frequency, frame]`.
    """
    frames = spectra.shape[-1]
    weights, _ = _beam_weights(noise, array, u)
    cells = torch.nn.functional.pad(spectra, (0, -frames % spectrogram.CELL_FRAMES))
    cells = cells.unflatten(-1, (-1, spectrogram.CELL_FRAMES))
    return torch.einsum("fcm,mfct->fct", weights.conj(), cells).flatten(-2)[..., :frames]


def _beam_weights(noise: Tensor, array: HydrophoneArray, u: Floats) -> tuple[Tensor, Tensor]:
    """Q⁻¹a / aᴴQ⁻¹a `[frequency, cell, channel]` and the noise that is left, 1 / aᴴQ⁻¹a `[frequency, cell]`."""
    delays = torch.from_numpy(array.delays_s(u)).to(noise.real.dtype)
    angle = -2 * math.pi * spectrogram.frequencies_hz()[:, None] * delays
    a = torch.polar(torch.ones_like(angle), angle)  # [frequency, channel]
    right = a[:, None, :, None].expand(-1, noise.shape[-1], -1, 1)
    solved = torch.linalg.solve(noise.permute(2, 3, 0, 1), right)[..., 0]
    left = 1.0 / torch.einsum("fm,fcm->fc", a.conj(), solved).real
    return solved * left[..., None], left


def noise_towards(noise: Tensor, array: HydrophoneArray, u: Floats) -> Tensor:
    """Share of the noise that the best beam towards `u` cannot remove, log, `[frequency, cell]`.

    -log(channels) for noise from everywhere; lower where boats elsewhere are nulled; near 0 where the
    noise itself comes from `u`: what "calls" from there is most likely a boat.
    """
    _, left = _beam_weights(noise, array, u)
    usual = torch.diagonal(noise, dim1=0, dim2=1).real.mean(-1)
    return (left / usual.clamp(min=1e-30)).clamp(min=1e-6).log()


def flatness(noise: Tensor) -> Tensor:
    """Geometric over arithmetic mean of the noise's eigenvalues, log, `[frequency, cell]`.

    0 for noise from everywhere, lower the more of it comes from few directions (boats).
    """
    matrices = noise.permute(2, 3, 0, 1)
    usual = torch.diagonal(noise, dim1=0, dim2=1).real.mean(-1).clamp(min=1e-30)
    return torch.linalg.slogdet(matrices / usual[..., None, None]).logabsdet / len(noise)
