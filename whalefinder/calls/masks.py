"""What the segmentation network makes of a stretch of sound."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from whalefinder.networks.segmentation import CLASSES, UPSAMPLING, SegmentationNetwork
from whalefinder.sound import features, spectrogram

CALL, AMBIENT = CLASSES.index("call"), CLASSES.index("ambient")


@dataclass(frozen=True, kw_only=True)
class Masks:
    """Spectra and shares of a stretch of a recording.

    Args:
        spectra: complex `[channel, frequency, frame]`.
        shares: `[class, frequency, frame]`, summing to 1 where usable.
        valid: usable bins `[frequency]`.
        heard: hydrophones that heard something all the time, `[channel]`; None for all.
        first_frame: of the recording.
    """

    spectra: Tensor
    shares: Tensor
    valid: Tensor
    heard: Tensor | None = None
    first_frame: int = 0

    @property
    def end(self) -> int:
        """The frame of the recording after the last one."""
        return self.first_frame + self.spectra.shape[-1]

    def between(self, begin: int, end: int) -> Masks:
        """Frames [begin, end) of the recording, as far as they are here; a view."""
        begin = max(begin, self.first_frame)
        span = slice(begin - self.first_frame, max(begin, end) - self.first_frame)
        return replace(self, spectra=self.spectra[..., span], shares=self.shares[..., span], first_frame=begin)

    def followed_by(self, after: Masks) -> Masks:
        """These and the frames that come next."""
        spectra, shares = torch.cat([self.spectra, after.spectra], -1), torch.cat([self.shares, after.shares], -1)
        heard = None if self.heard is None or after.heard is None else self.heard & after.heard
        return replace(self, spectra=spectra, shares=shares, heard=heard)


MARGIN_CELLS = 56  # 4.8 s; what the planes (49 cells) and the network (± 27 frames) look at around a frame


@torch.inference_mode()
def masks_of(
    network: SegmentationNetwork,
    samples: Tensor,
    valid: Tensor,
    heard: Tensor | None = None,
    first_frame: int = 0,
) -> Masks:
    """Spectra and the split of every bin.

    Args:
        samples: `[channel, time]` of hydrophones of one array, or one hydrophone alone.
        valid: `[frequency]`, False above the recorder's band.
        heard: the planes rest on these hydrophones, `[channel]`; with none there is no call.
    """
    spectra = spectrogram.stft(samples)
    hearing = spectra if heard is None or bool(heard.all()) else spectra[heard]
    if len(hearing) == 0:
        shares = torch.zeros(len(CLASSES), *spectra.shape[1:])
        shares[AMBIENT] = 1.0
    else:
        shares = shares_of(network, hearing, valid)
    return Masks(spectra=spectra, shares=shares, valid=valid, heard=heard, first_frame=first_frame)


REACH_FRAMES = 32  # the network looks at ± 27 frames


@torch.inference_mode()
def shares_of(network: SegmentationNetwork, spectra: Tensor, valid: Tensor, span: slice = slice(None)) -> Tensor:
    """Power shares `[class, frequency, frame]` of the frames in `span`, of spectra `[channel, frequency, frame]`."""
    planes = features.segmenter_planes(spectra, valid)
    begin, end, _ = span.indices(planes.shape[-1])
    first = max(0, begin - REACH_FRAMES) // UPSAMPLING * UPSAMPLING  # the network's grid of 4 frames stays where it is
    planes = planes[None, ..., first : end + REACH_FRAMES].contiguous(memory_format=torch.channels_last)
    return network(planes)[0, ..., begin - first : end - first].softmax(0) * valid[:, None]
