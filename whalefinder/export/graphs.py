"""Modules from samples to the answers of the networks, which can be exported."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from whalefinder.calls.classification import HOP_FRAMES, WINDOW_FRAMES
from whalefinder.export.features import ClassifierPlanes, Features, Spectra
from whalefinder.networks.classifier import Classifier
from whalefinder.networks.segmentation import UPSAMPLING, SegmentationNetwork
from whalefinder.results.records import WHALES
from whalefinder.sound import spectrogram as sp


class SegmenterGraph(nn.Module):
    """Samples to shares: `masks.masks_of` in one module, for sound in which every bin is usable.

    Shape:
        `[channel, time]` float32 at `spectrogram.RATE_HZ` → `[class, frequency, frame]`. Shares sum to 1 over the
        classes. Frame t is centred on sample t · `spectrogram.HOP`.
    """

    def __init__(self, network: SegmentationNetwork) -> None:
        super().__init__()
        self.spectra, self.features = Spectra(), Features()
        n = network.folded()
        convolutions = (n.convA, n.convB, n.convC, n.convD, n.convE)
        layers = [layer for convolution in convolutions for layer in (convolution, nn.ReLU())]
        self.layers = nn.Sequential(*layers, n.convF, n.upsample)

    def forward(self, samples: Tensor) -> Tensor:
        """Samples to shares."""
        planes = self.features(*self.spectra(samples))
        frames = planes.shape[-1]
        # This is the padding of the network. The network decides by the length, which a graph for any length cannot do.
        whole = (frames + UPSAMPLING - 1) // UPSAMPLING * UPSAMPLING
        edge = torch.arange(whole).clamp(max=frames - 1)
        logits = self.layers(planes[None, ..., edge])[0, ..., :frames]
        # A softmax over the first axis. Runtimes would transpose everything twice for their own softmax.
        powers = (logits - logits.amax(0)).exp()
        return powers / powers.sum(0)


class ClassifierGraph(nn.Module):
    """Samples of one hydrophone to probabilities: `classification.classify_samples` in one module.

    Shape:
        `[time]` float32 at `spectrogram.RATE_HZ`, at least one window of `classification.WINDOW_S` → `[class]`, of
        the window that is most likely a whale.
    """

    def __init__(self, network: Classifier) -> None:
        super().__init__()
        self.spectra, self.planes, self.network = Spectra(), ClassifierPlanes(), network

    def forward(self, samples: Tensor) -> Tensor:
        """Samples to calibrated probabilities."""
        re, im = self.spectra(samples[None])
        last = re.shape[-1] - WINDOW_FRAMES
        begins = (torch.arange((last + HOP_FRAMES - 1) // HOP_FRAMES + 1) * HOP_FRAMES).clamp(max=last)
        index = begins[:, None] + torch.arange(WINDOW_FRAMES)
        windows = (re.square() + im.square())[0, :, index].transpose(0, 1)
        probabilities = self.network.probabilities(self.planes(windows))
        whale = probabilities[:, list(WHALES)].sum(-1)
        return probabilities.index_select(0, whale.argmax(0, keepdim=True))[0]


class WaveClassifier(nn.Module):
    """The classifier for programs that cut sound into segments of `classification.WINDOW_S` themselves.

    Shape:
        `[batch, time]` float32 at `spectrogram.RATE_HZ` → probabilities `[batch, class]`.
    """

    def __init__(self, network: Classifier) -> None:
        super().__init__()
        self.spectra, self.planes, self.network = Spectra(), ClassifierPlanes(), network

    def forward(self, samples: Tensor) -> Tensor:
        """Samples to calibrated probabilities."""
        re, im = self.spectra(samples)
        return self.network.probabilities(self.planes(re.square() + im.square()))


class SpectrogramClassifier(nn.Module):
    """The classifier for programs that also make the spectrogram themselves.

    Args:
        network: ready for inference.
        emphasis: a of the pre-emphasis x[t] − a · x[t − 1] that the other program does. It is undone here. 0: none.

    Shape:
        magnitudes `[batch, frame, bin]` of any scale, bins of `spectrogram.BIN_HZ` from 0 Hz on, hop
        `spectrogram.HOP` → probabilities `[batch, class]`.
    """

    gain: Tensor

    def __init__(self, network: Classifier, emphasis: float) -> None:
        super().__init__()
        self.planes, self.network = ClassifierPlanes(), network
        turn = sp.phasor(-2 * torch.pi * sp.frequencies_hz() / sp.RATE_HZ)
        self.register_buffer("gain", (1 - emphasis * turn).abs())

    def forward(self, magnitudes: Tensor) -> Tensor:
        """Magnitudes to calibrated probabilities."""
        analysed = magnitudes[..., sp.FIRST_BIN : sp.FIRST_BIN + sp.NUM_BINS] / self.gain
        return self.network.probabilities(self.planes(analysed.square().transpose(-2, -1)))
