"""The input planes of the networks as one graph that can be exported, for any length and a fixed number of hydrophones.

`spectrogram` and `classification` write in place, use NumPy, and work in blocks that fit the processor's cache. An
exported graph cannot do that. Here the short-time spectra are a convolution with the windowed kernels of the Fourier
transform, and blocks of time are an axis. Tests check that both ways give the same results.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from whalefinder.calls.classification import LIMIT, POOL_FRAMES, SCALE, SILENCE, neighbours
from whalefinder.sound import covariance, features
from whalefinder.sound import spectrogram as sp


class Spectra(nn.Module):
    """`spectrogram.stft` as real and imaginary parts.

    Shape:
        `[channel, time]` → two tensors `[channel, NUM_BINS, frame]` with time // `HOP` + 1 frames.
    """

    kernels: Tensor

    def __init__(self) -> None:
        super().__init__()
        window = sp.window(torch.float64)
        turns = torch.outer(torch.arange(sp.NUM_BINS) + sp.FIRST_BIN, torch.arange(sp.WINDOW)) % sp.WINDOW
        angle = turns.double() * (2 * math.pi / sp.WINDOW)
        kernels = torch.cat([angle.cos() * window, -angle.sin() * window])
        self.register_buffer("kernels", kernels.float().unsqueeze(1))

    def forward(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Samples to real and imaginary parts."""
        padded = nn.functional.pad(samples.unsqueeze(1), (sp.WINDOW // 2, sp.WINDOW // 2))
        parts = nn.functional.conv1d(padded, self.kernels, stride=sp.HOP)
        return parts[:, : sp.NUM_BINS], parts[:, sp.NUM_BINS :]


class Features(nn.Module):
    """`features.segmenter_planes` of sound in which every bin is usable.

    Shape:
        real and imaginary parts `[channel, frequency, frame]` → `[plane, frequency, frame]`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.smoothing = Smoothing()

    def forward(self, re: Tensor, im: Tensor) -> Tensor:
        """Spectra to the planes of `features.FEATURES`."""
        channels, frames = re.shape[0], re.shape[-1]
        products = pair_products(in_cells(re, sp.CELL_FRAMES), in_cells(im, sp.CELL_FRAMES))
        power = sum(products[1:channels], products[0]) / channels
        level = (power.flatten(-2)[..., :frames] + sp.FLOOR).log()
        usual = features.moving_mean(level, features.LEVEL_FRAMES)
        whitened = [
            (quadratic(products, matrix, channels).flatten(-2)[..., :frames] / channels + 1e-6).log()
            for matrix in covariance.inverse(self._covariances(products, frames, channels)).unbind()
        ]
        planes = torch.stack([level - usual, level - usual.mean(0), *whitened])
        return (planes / 2.0).clamp(-5.0, 5.0)

    def _covariances(self, products: list[Tensor], frames: int, channels: int) -> Tensor:
        """Covariances with loading, over the short and the long time, `[2, plane, frequency, cell]`."""
        count = in_cells(torch.ones(1, 1, frames), sp.CELL_FRAMES).sum(-1)
        sums = torch.stack([product.sum(-1) for product in products])
        q = self.smoothing(sums) / (self.smoothing(count) + 1e-6)
        own = q[:, :channels]
        load = covariance.LOADING * max(1.0, channels / 4) ** 2 * (own.mean(1, keepdim=True) + sp.FLOOR)
        return torch.cat([own + load, q[:, channels:]], dim=1)


def pair_products(re: Tensor, im: Tensor) -> list[Tensor]:
    """`covariance.pair_planes` without writing in place: two tensors `[channel, ...]` → channel² tensors `[...]`.

    The planes are separate tensors, since a runtime would copy joined ones whenever it uses one of them.
    """
    own = [re[m].square() + im[m].square() for m in range(len(re))]
    pairs = [(m, n) for m in range(len(re)) for n in range(m)]
    real = [re[m] * re[n] + im[m] * im[n] for m, n in pairs]
    return own + real + [im[m] * re[n] - re[m] * im[n] for m, n in pairs]


def quadratic(products: list[Tensor], matrix: Tensor, channels: int) -> Tensor:
    """`covariance.quadratic` without writing in place.

    Shape:
        products `[frequency, cell, frame]` each, matrix `[plane, frequency, cell]` → `[frequency, cell, frame]`.
    """
    doubled = torch.cat([matrix[:channels], 2.0 * matrix[channels:]]).unsqueeze(-1)
    terms = [product * factor for product, factor in zip(products, doubled.unbind(), strict=True)]
    return sum(terms[1:], terms[0])


class Smoothing(nn.Module):
    """`covariance.smooth_over_cells` over the short and the long time, with blocks of cells as an axis.

    Shape:
        `[..., cell]` → `[2, ..., cell]`.
    """

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        block = covariance.SMOOTH_BLOCK
        cells = torch.arange(-(block // 2), block + block // 2)  # around a block, for the long window
        distance = (cells[:, None] - torch.arange(block)).abs()
        outside = torch.maximum(-cells, cells - block + 1)  # distance from the block in cells, ≤ 0 inside it
        kernels = [
            torch.exp(-distance / e) * (distance >= covariance.GAP_CELLS) * (outside <= math.ceil(8 * e))[:, None]
            for e in (covariance.SHORT_CELLS, covariance.LONG_CELLS)
        ]
        self.register_buffer("kernel", torch.cat(kernels, dim=1))

    def forward(self, x: Tensor) -> Tensor:
        """Sums over cells."""
        cells, block = x.shape[-1], covariance.SMOOTH_BLOCK
        blocks = _padded(x, block // 2, block).unflatten(-1, (-1, block))
        sums = torch.cat([blocks[..., :-1, :], blocks[..., 1:, :]], dim=-1) @ self.kernel
        return torch.stack([part.flatten(-2)[..., :cells] for part in sums.chunk(2, dim=-1)])


class ClassifierPlanes(nn.Module):
    """`classification.planes_of` of the sound of one hydrophone in which every bin is usable.

    Shape:
        powers `[batch, frequency, frame]` → `[batch, plane, frequency, frame // POOL_FRAMES]`.
    """

    neighbours: Tensor

    def __init__(self) -> None:
        super().__init__()
        near = neighbours(sp.NUM_BINS)
        self.register_buffer("neighbours", near / near.sum(1, keepdim=True))

    def forward(self, power: Tensor) -> Tensor:
        """Powers to the planes of `classification.PLANES`."""
        frames = power.shape[-1] // POOL_FRAMES * POOL_FRAMES
        power = power[..., :frames].unflatten(-1, (-1, POOL_FRAMES)).mean(-1)
        log = (power + SILENCE * power.mean((-2, -1), keepdim=True) + sp.FLOOR).log()
        usual = log.median(-1, keepdim=True).values
        planes = torch.stack([log - usual, log - self.neighbours @ log, log - usual.mean(-2, keepdim=True)], dim=-3)
        return (planes / SCALE).clamp(-LIMIT, LIMIT)


def in_cells(x: Tensor, size: int) -> Tensor:
    """The last axis in groups; the last group is filled up with zeros. `[..., time]` → `[..., group, size]`."""
    return _padded(x, 0, size).unflatten(-1, (-1, size))


def _padded(x: Tensor, around: int, size: int) -> Tensor:
    """Add zeros at the end of the last axis up to a multiple of `size`, and `around` zeros on both sides."""
    groups = (x.shape[-1] + size - 1) // size  # in this form the exporter sees a multiple of `size` at any length
    return nn.functional.pad(x, (around, around + groups * size - x.shape[-1]))
