"""Windows of a second in which one sound is clear on most hydrophones: their delays and gains, without any mask.

Any sound with a direction will do, a boat as well as a whale. A good array hears each of them as a plane wave.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from whalefinder.array.geometry import Floats
from whalefinder.bearings.likelihood import Cells
from whalefinder.bearings.wavefront import find_wavefront
from whalefinder.sound import spectrogram
from whalefinder.sound.spectrogram import FLOOR, OVERLAP

FRAMES = 96  # 1.02 s
LEAST_BINS, LEAST_BAND_HZ = 12, 800.0  # a sound with less band has no clear delay
ONE_SOUND = 1.6  # the largest eigenvalue, over that of independent noise, from which a bin counts
COHERENT = 0.7
SIGN_EVIDENCE = 30.0  # log likelihood by which inverted signs must be better than delays alone


@dataclass(frozen=True, kw_only=True)
class Window:
    """What one second says about the hydrophones.

    Args:
        time_s: its middle, from the begin of the recording.
        hydrophones: indices of those that are not dead in it.
        delays_s, gains, information, coherence, heard_evidence: as in `wavefront.Wavefront`, of these hydrophones.
    """

    time_s: float
    hydrophones: NDArray[np.intp]
    delays_s: Floats
    gains: Floats
    information: Floats
    coherence: float
    heard_evidence: Floats


def window_of(spectra: torch.Tensor, time_s: float) -> Window | None:
    """The window of spectra `[channel, frequency, frame]`, or None if it holds no single clear sound."""
    alive = np.flatnonzero(spectrogram.power(spectra).mean((1, 2)).numpy() > 10 * FLOOR)
    if len(alive) < 2:
        return None
    cells = single_source_cells(spectra[torch.from_numpy(alive)])
    hz = cells.frequency_hz
    if len(hz) < LEAST_BINS or float(hz.max() - hz.min()) < LEAST_BAND_HZ:
        return None
    wave = find_wavefront(cells)
    if wave.coherence < COHERENT:
        return None
    if (wave.gains < 0).any():
        plain = find_wavefront(cells, signed=False)
        if wave.log_likelihood - plain.log_likelihood < SIGN_EVIDENCE:
            wave = plain
    return Window(
        time_s=time_s,
        hydrophones=alive,
        delays_s=wave.delays_s,
        gains=wave.gains,
        information=wave.information,
        coherence=wave.coherence,
        heard_evidence=wave.heard_evidence,
    )


def clearness(spectra: torch.Tensor) -> float:
    """How much of a window is one clear sound: the sum over every fourth bin of what one source has above chance.

    It is cheap, and serves to choose the windows that are worth a wavefront.
    """
    cells = single_source_cells(spectra, step=4)
    return float((cells.power * cells.inverse.diagonal(dim1=1, dim2=2).real.sum(1)).clamp(max=100.0).sum())


def single_source_cells(spectra: torch.Tensor, step: int = 1) -> Cells:
    """Cells of one source in noise that is alike at all hydrophones: one cell a bin, over all frames.

    The covariance R of a bin, scaled to a diagonal of 1, has one large eigenvalue λ₁ where one source dominates. The mean of
    the others is the share ν of the noise (factor analysis with one factor). So Q = ν diag(R), and the source has the
    power (λ₁ - ν) / M of the mean. Bins whose λ₁ independent noise can reach (Marchenko and Pastur 1967,
    doi:10.1070/SM1967v001n04ABEH001994) are left out.

    Args:
        spectra: complex `[channel, frequency, frame]`.
        step: use every `step`-th bin only.
    """
    band = torch.nonzero(spectrogram.in_band())[::step, 0]
    x = spectra[:, band].to(torch.complex128)
    channels, _, frames = x.shape
    r = torch.einsum("mft,nft->fmn", x, x.conj()) / frames
    own = torch.diagonal(r, dim1=1, dim2=2).real.clamp(min=FLOOR)
    size = own.sqrt()
    values = torch.linalg.eigvalsh(r / (size[:, :, None] * size[:, None, :]))
    first, rest = values[:, -1], (channels - values[:, -1]).clamp(min=1e-4) / (channels - 1)
    keep = first > ONE_SOUND * (1 + (channels * OVERLAP / frames) ** 0.5) ** 2
    inverse = torch.diag_embed(1 / (own * rest[:, None]))[keep].to(r.dtype)
    return Cells(
        frequency_hz=spectrogram.frequencies_hz().double()[band][keep],
        inverse=inverse,
        scatter=inverse @ r[keep] @ inverse * frames,
        power=(own.mean(1) * (first - rest) / channels)[keep],
        count=torch.full((int(keep.sum()),), float(frames), dtype=torch.float64),
    )
