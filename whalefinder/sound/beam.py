"""The beam towards a direction that lets the least noise through, and the noise that is left in it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from whalefinder.array.geometry import Floats, HydrophoneArray
from whalefinder.sound import spectrogram
from whalefinder.sound.covariance import in_cells


def mvdr_beam(spectra: Tensor, noise: Tensor, array: HydrophoneArray, u: Floats) -> Tensor:
    """Spectrum of the beam towards `u` with the least noise (MVDR, Capon 1969): aᴴQ⁻¹x / aᴴQ⁻¹a.

    A sound from `u` passes unchanged.

    Args:
        spectra: complex spectra x.
        noise: noise covariance Q, from `noise_covariance`.
        array: the geometry.
        u: unit vector `[3]` from the array to the source.

    Shape:
        complex `[channel, frequency, frame]`, noise `[channel, channel, frequency, cell]` → `[frequency, frame]`.
    """
    frames = spectra.shape[-1]
    weights, _ = _beam_weights(noise, array, u)
    return torch.einsum("fcm,mfct->fct", weights.conj(), in_cells(spectra)).flatten(-2)[..., :frames]


def _beam_weights(noise: Tensor, array: HydrophoneArray, u: Floats) -> tuple[Tensor, Tensor]:
    """Q⁻¹a / aᴴQ⁻¹a `[frequency, cell, channel]` and the noise that is left, 1 / aᴴQ⁻¹a `[frequency, cell]`."""
    delays = torch.from_numpy(array.delays_s(u)).to(noise.real.dtype)
    angle = -2 * math.pi * spectrogram.frequencies_hz()[:, None] * delays
    a = spectrogram.phasor(angle)  # [frequency, channel]
    right = a[:, None, :, None].expand(-1, noise.shape[-1], -1, 1)
    solved = torch.linalg.solve(noise.permute(2, 3, 0, 1), right)[..., 0]
    left = 1.0 / torch.einsum("fm,fcm->fc", a.conj(), solved).real
    return solved * left[..., None], left


def noise_towards(noise: Tensor, array: HydrophoneArray, u: Floats) -> Tensor:
    """Share of the noise that stays in the best beam towards `u`, as a natural logarithm, `[frequency, cell]`.

    The value is -log(channels) for noise from everywhere. It is lower if the noise comes from boats in other
    directions, which the beam removes. It is near 0 if the noise comes from `u`: then an event from there is most
    likely a boat. `noise` is as for `mvdr_beam`.
    """
    _, left = _beam_weights(noise, array, u)
    usual = torch.diagonal(noise, dim1=0, dim2=1).real.mean(-1)
    return (left / usual.clamp(min=1e-30)).clamp(min=1e-6).log()


def flatness(noise: Tensor) -> Tensor:
    """Geometric over arithmetic mean of the eigenvalues of the noise, as a natural logarithm, `[frequency, cell]`.

    The value is 0 for noise from everywhere. It is lower, the more of the noise comes from few directions (boats).
    """
    matrices = noise.permute(2, 3, 0, 1)
    usual = torch.diagonal(noise, dim1=0, dim2=1).real.mean(-1).clamp(min=1e-30)
    return torch.linalg.slogdet(matrices / usual[..., None, None]).logabsdet / len(noise)
