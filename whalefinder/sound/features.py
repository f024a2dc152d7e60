"""The input planes of the segmentation network. They do not depend on gain, array or number of hydrophones."""

from __future__ import annotations

import torch
from torch import Tensor

from whalefinder.sound.covariance import in_cells, pair_planes, whitened_powers
from whalefinder.sound.spectrogram import FLOOR

FEATURES = ("contrast", "level", "whitened_short", "whitened_long")
LEVEL_FRAMES = 188  # the level is relative to its mean within ± this many frames: 2 s
BLOCK_BINS = 32  # bins at a time: their planes stay in the processor's cache, and memory stays bounded


def moving_mean(x: Tensor, half_width: int) -> Tensor:
    """Mean over the last axis within ± `half_width` steps; the window is shorter at the ends. Same shape."""
    frames = x.shape[-1]
    total = torch.nn.functional.pad(x.double().cumsum(-1), (1, 0))
    index = torch.arange(frames, device=x.device)
    begin, end = (index - half_width).clamp(min=0), (index + half_width + 1).clamp(max=frames)
    return ((total[..., end] - total[..., begin]) / (end - begin)).to(x.dtype)


def segmenter_planes(spectra: Tensor, valid: Tensor | None = None) -> Tensor:
    """The input planes of the segmentation network, in the order of `FEATURES`.

    * `contrast`: log power, mean over hydrophones, relative to its mean of ± 2 s in the same frequency.
    * `level`: log power relative to the mean of ± 2 s and of all frequencies.
    * `whitened_short`, `whitened_long`: log of `whitened_powers`.

    Each is halved and limited to ± 5. Frame t depends only on frames within the windows of the covariance and
    within ± `LEVEL_FRAMES`.

    Args:
        spectra: complex `[..., channel, frequency, frame]`.
        valid: `[..., frequency]` bool, False for frequencies above the recorder's band. They are 0 in every plane.

    Shape:
        → `[..., plane, frequency, frame]`.
    """
    channels, bins, frames = spectra.shape[-3:]
    planes = spectra.real.new_empty(*spectra.shape[:-3], len(FEATURES), bins, frames)
    alive = planes.new_ones(bins) if valid is None else valid.to(planes.dtype)
    overall = planes.new_zeros(*spectra.shape[:-3], frames)
    for begin in range(0, bins, BLOCK_BINS):
        block = slice(begin, begin + BLOCK_BINS)
        products = in_cells(pair_planes(spectra[..., block, :]))
        level = (products[..., :channels, :, :, :].mean(-4).flatten(-2)[..., :frames] + FLOOR).log()
        usual = moving_mean(level, LEVEL_FRAMES)
        overall += (usual * alive[..., block, None]).sum(-2)
        whitened = [(power + 1e-6).log() for power in whitened_powers(products, frames)]
        for plane, values in enumerate((level - usual, level, *whitened)):
            planes[..., plane, block, :] = values
    overall /= alive.sum(-1, keepdim=True).clamp(min=1.0)
    planes[..., FEATURES.index("level"), :, :] -= overall.unsqueeze(-2)
    return planes.div_(2.0).clamp_(-5.0, 5.0).mul_(alive[..., None, :, None])
