"""Masks: the share of call, boat and ambient noise in every bin, from the segmentation network."""

from __future__ import annotations

from collections.abc import Iterable
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
        shares: `[class, frequency, frame]`. They sum to 1 over the classes in usable bins and are 0 in the others.
        valid: usable bins, `[frequency]` bool.
        heard: hydrophones that were never deaf in this stretch, `[channel]` bool; None for all.
        first_frame: index in the recording of the first frame.
        owned: bins that may belong to the event in question, `[frequency, frame]` bool; None for all. Where animals call at
            the same time, each has bins of its own (`bearings.callers`).
    """

    spectra: Tensor
    shares: Tensor
    valid: Tensor
    heard: Tensor | None = None
    first_frame: int = 0
    owned: Tensor | None = None

    @property
    def end(self) -> int:
        """Index in the recording of the frame after the last one."""
        return self.first_frame + self.spectra.shape[-1]

    def between(self, begin: int, end: int) -> Masks:
        """The masks of frames [begin, end) of the recording, as far as they are in these masks. Tensors are views."""
        begin = max(begin, self.first_frame)
        span = slice(begin - self.first_frame, max(begin, end) - self.first_frame)
        owned = None if self.owned is None else self.owned[:, span]
        return replace(
            self, spectra=self.spectra[..., span], shares=self.shares[..., span], owned=owned, first_frame=begin
        )

    def followed_by(self, after: Masks) -> Masks:
        """These masks joined with those of the frames that follow."""
        spectra, shares = torch.cat([self.spectra, after.spectra], -1), torch.cat([self.shares, after.shares], -1)
        heard = None if self.heard is None or after.heard is None else self.heard & after.heard
        return replace(self, spectra=spectra, shares=shares, heard=heard)

    def without_calls(self, spans: Iterable[tuple[int, int]]) -> Masks:
        """The masks without calls in some frames [first, end) of the recording: what is call there becomes ambient."""
        inside = [(max(0, first - self.first_frame), end - self.first_frame) for first, end in spans]
        inside = [(first, end) for first, end in inside if end > first and first < self.shares.shape[-1]]
        if not inside:
            return self
        shares = self.shares.clone()
        for first, end in inside:
            shares[AMBIENT, :, first:end] += shares[CALL, :, first:end]
            shares[CALL, :, first:end] = 0.0
        return replace(self, shares=shares)


MARGIN_CELLS = 56  # 4.8 s: planes use 49 cells before and after a frame, and the network uses ± 27 frames


@torch.inference_mode()
def masks_of(
    network: SegmentationNetwork,
    samples: Tensor,
    valid: Tensor,
    heard: Tensor | None = None,
    first_frame: int = 0,
) -> Masks:
    """Compute spectra and masks of samples.

    Args:
        network: the segmentation network.
        samples: `[channel, time]` of the hydrophones of one array, or of one hydrophone alone.
        valid: `[frequency]` bool, False above the recorder's band.
        heard: the hydrophones that the network may use, `[channel]` bool; None for all. Without any, all is ambient.
        first_frame: index in the recording of the first frame.
    """
    spectra = spectrogram.stft(samples)
    hearing = spectra if heard is None or bool(heard.all()) else spectra[heard]
    if len(hearing) == 0:
        shares = torch.zeros(len(CLASSES), *spectra.shape[1:])
        shares[AMBIENT] = 1.0
    else:
        shares = shares_of(network, hearing, valid)
    return Masks(spectra=spectra, shares=shares, valid=valid, heard=heard, first_frame=first_frame)


REACH_FRAMES = 32  # margin of frames; the network uses ± 27


@torch.inference_mode()
def shares_of(network: SegmentationNetwork, spectra: Tensor, valid: Tensor, span: slice = slice(None)) -> Tensor:
    """Power shares of the classes in the frames of `span`.

    Args:
        network: the segmentation network.
        spectra: complex `[channel, frequency, frame]`.
        valid: `[frequency]` bool, False above the recorder's band.
        span: the frames wanted.

    Shape:
        → `[class, frequency, frame of span]`.
    """
    planes = features.segmenter_planes(spectra, valid)
    begin, end, _ = span.indices(planes.shape[-1])
    first = max(0, begin - REACH_FRAMES) // UPSAMPLING * UPSAMPLING  # a multiple of 4: the network's grid
    planes = planes[None, ..., first : end + REACH_FRAMES].contiguous(memory_format=torch.channels_last)
    return network(planes)[0, ..., begin - first : end - first].softmax(0) * valid[:, None]
