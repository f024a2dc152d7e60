"""What the segmentation network makes of a stretch of sound."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from whalefinder import spectrogram
from whalefinder.networks.segmentation import CLASSES, SegmentationNetwork

CALL, BOAT, AMBIENT = (CLASSES.index(name) for name in ("call", "boat", "ambient"))


@dataclass(frozen=True)
class Masks:
    """Spectra, complex `[channel, frequency, frame]`; shares `[class, frequency, frame]`; usable bins `[frequency]`."""

    spectra: Tensor
    shares: Tensor
    valid: Tensor


@torch.inference_mode()
def masks_of(network: SegmentationNetwork, samples: Tensor, valid: Tensor) -> Masks:
    """Spectra and the split of every bin.

    Args:
        samples: `[channel, time]` of hydrophones of one array, or one hydrophone alone.
        valid: `[frequency]`, False above the recorder's band.
    """
    spectra = spectrogram.stft(samples)
    return Masks(spectra, shares_of(network, spectra, valid), valid)


@torch.inference_mode()
def shares_of(network: SegmentationNetwork, spectra: Tensor, valid: Tensor) -> Tensor:
    """Power shares `[class, frequency, frame]` of spectra `[channel, frequency, frame]`."""
    planes = spectrogram.features(spectra, valid)[None].contiguous(memory_format=torch.channels_last)
    return network(planes)[0].softmax(0) * valid[:, None]
