"""The Cramér-Rao bound of a bearing if the power of the call and the covariance of the noise are known exactly."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from whalefinder.array.cramer_rao import bearing_covariance, delay_information
from whalefinder.array.geometry import Floats, HydrophoneArray
from whalefinder.sound import spectrogram
from whalefinder.sound.covariance import in_cells


def cramer_rao(call: Tensor, noise: Tensor, array: HydrophoneArray, u: Floats) -> Floats:
    """Smallest possible covariance of a bearing, with the errors that the array file states as nuisances.

    The information is summed over frequencies and cells and divided by the overlap of frames, since they share
    samples (`array.cramer_rao`; docs/how-it-works.md, "The limit").

    Args:
        call: power |S|² of the call `[frequency, frame]` at one hydrophone.
        noise: covariance Q of the noise `[channel, channel, frequency, cell]`.
        array: the geometry and its errors.
        u: unit vector `[3]` to the whale.

    Shape:
        → `[2, 2]` rad², axes (level, up).
    """
    power = in_cells(call.double()).sum(-1)  # [frequency, cell]
    q = noise.permute(2, 3, 0, 1).flatten(0, 1).numpy().astype(np.complex128)
    frequencies = spectrogram.frequencies_hz().double()[:, None].expand_as(power)
    delays = array.delays_s(u)
    information = delay_information(power.flatten().numpy(), q, frequencies.flatten().numpy(), delays)
    return bearing_covariance(array, u, information / spectrogram.OVERLAP)
