"""The Cramér-Rao bound of a bearing if the power of the call and the covariance of the noise are known exactly."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from whalefinder.array.geometry import Floats, HydrophoneArray, tangents
from whalefinder.sound import spectrogram
from whalefinder.sound.covariance import in_cells


def cramer_rao(call: Tensor, noise: Tensor, array: HydrophoneArray, u: Floats) -> Floats:
    """Smallest possible covariance of a bearing.

    It is the inverse of J = 2 Σ |S|² Re[dᴴ (Q⁻¹ - Q⁻¹a aᴴQ⁻¹ / aᴴQ⁻¹a) d], d = -j2πf diag(a) ∂τ/∂θ
    (docs/how-it-works.md, "The limit"). J is divided by the overlap of frames, since they share samples.

    Args:
        call: power |S|² of the call `[frequency, frame]` at one hydrophone.
        noise: covariance Q of the noise `[channel, channel, frequency, cell]`.
        array: the geometry.
        u: unit vector `[3]` to the whale.

    Shape:
        → `[2, 2]` rad², axes (level, up).
    """
    power = in_cells(call.double()).sum(-1)  # [frequency, cell]
    inverse = torch.linalg.inv(noise.permute(2, 3, 0, 1).to(torch.complex128))
    omega = 2 * math.pi * spectrogram.frequencies_hz().double()
    delays = torch.from_numpy(array.delays_s(u))
    slopes = torch.from_numpy(array.slopes_s(np.stack(tangents(u))).T)  # [axis, channel]
    a = spectrogram.phasor(-omega[:, None] * delays)
    d = -1j * omega[:, None, None] * a[:, None] * slopes  # [frequency, axis, channel]
    qa = torch.einsum("ftmn,fn->ftm", inverse, a)
    qd = torch.einsum("ftmn,fin->ftim", inverse, d)
    straight = torch.einsum("fim,ftjm->ftij", d.conj(), qd).real
    cross = torch.einsum("fim,ftm->fti", d.conj(), qa)
    den = torch.einsum("fm,ftm->ft", a.conj(), qa).real
    lost = (cross[..., :, None] * cross[..., None, :].conj()).real / den[..., None, None]
    information = 2 * (power[..., None, None] * (straight - lost)).sum((0, 1)) / spectrogram.OVERLAP
    return np.asarray(np.linalg.inv(information.numpy()))
