"""The network that pre-trains the classifier without labels: it paints what was covered in a spectrogram.

    covered planes → stem and residual stages of the classifier → coarse to fine, one convolution a stage → planes

What it paints is compared with the sound itself, so nobody has to name anything (docs/paper.md, 1.12). Its trunk has
the names and sizes of the classifier's, which takes it over (`weights.take_trunk`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from whalefinder.networks.classifier import Classifier

CELL = 4  # bins and pooled frames of a painted cell: the stride of the classifier's first stage
DEPTH = 32


class Inpainter(Classifier):
    """A classifier that paints instead of naming. Its head is not used.

    Args:
        widths, sizes: as of `Classifier`.

    Shape:
        `[batch, plane, frequency, frame]` → means of the planes in cells of `CELL` x `CELL`,
        `[batch, plane, frequency / CELL, frame / CELL]`, both rounded up.
    """

    def __init__(self, widths: Sequence[int] = (16, 32, 64, 96), **sizes: Any) -> None:
        super().__init__(widths=widths, **sizes)
        self.across = nn.ModuleList(nn.Conv2d(width, DEPTH, 1) for width in widths)
        self.paint = nn.Conv2d(DEPTH, self.input_channels, 3, padding=1)

    def forward(self, planes: Tensor) -> Tensor:
        """Paint all cells. The coarse maps see far, the fine ones where it is."""
        maps = self.stage_maps(planes)
        painted = torch.zeros_like(maps[-1][:, :1])
        for across, stage in zip(reversed(self.across), reversed(maps), strict=True):
            painted = torch.relu(nn.functional.interpolate(painted, stage.shape[-2:]) + across(stage))
        return self.paint(painted)
