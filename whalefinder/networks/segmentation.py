"""The six-convolution segmentation network of the examination paper (docs/paper.md, 6.1).

| layer | kernel | padding | stride | width (96 hidden) |
| A | 3 | 1 | 2 | 96 |   B | 3 | 1 | 2 | 256 |   C | 5 | 2 | 1 | 384 |
| D | 7 | 3 | 1 | 384 |  E | 1 | 0 | 1 | 256 |   F | 3 | 1 | 1 | classes · 16, then a pixel shuffle by 4 |
"""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from whalefinder.networks.sizes import check_sizes

CLASSES = ("call", "boat", "ambient")
UPSAMPLING = 4


class SegmentationNetwork(nn.Module):
    """Splits every time-frequency bin into classes.

    Args:
        input_channels: planes of the input, 4 for `features.FEATURES`.
        hidden_channels: width of layer A; the other layers follow the paper's ratios
            1 : 8/3 : 4 : 4 : 8/3 (8/3 to the nearest multiple of 8). 96 gives the paper's 96, 256, 384,
            384, 256.
        num_classes: planes of the output.
        normalise: batch normalisation after A to E. Without it this is exactly the network of the paper. With it,
            training is several times faster; at inference it is a constant scale that can be merged into the
            convolutions (`folded`).
        final_relu: a ReLU after F too, as in the paper. Then no logit is below 0; the shipped weights need both signs.

    Raises:
        OptionError: a size below 1.

    Shape:
        `[batch, input_channels, H, W]` → logits `[batch, num_classes, H, W]`, any H and W ≥ 1.
    """

    def __init__(
        self,
        input_channels: int,
        hidden_channels: int = 16,
        num_classes: int = 3,
        *,
        normalise: bool = True,
        final_relu: bool = False,
    ) -> None:
        super().__init__()
        check_sizes(input_channels=input_channels, hidden_channels=hidden_channels, num_classes=num_classes)
        wide, middle = 4 * hidden_channels, 8 * max(1, round(hidden_channels / 3))
        self.config = {
            "input_channels": input_channels,
            "hidden_channels": hidden_channels,
            "num_classes": num_classes,
            "normalise": normalise,
            **({"final_relu": True} if final_relu else {}),  # cards written before it was an option stay valid
        }
        self.final_relu = final_relu
        self.largest: dict[str, float] = {}  # largest input of layers, if known; `quantised` uses it
        self.convA = nn.Conv2d(input_channels, hidden_channels, 3, stride=2, padding=1)
        self.convB = nn.Conv2d(hidden_channels, middle, 3, stride=2, padding=1)
        self.convC = nn.Conv2d(middle, wide, 5, padding=2)
        self.convD = nn.Conv2d(wide, wide, 7, padding=3)
        self.convE = nn.Conv2d(wide, middle, 1)
        self.convF = nn.Conv2d(middle, num_classes * UPSAMPLING**2, 3, padding=1)
        self.upsample = nn.PixelShuffle(UPSAMPLING)
        widths = (hidden_channels, middle, wide, wide, middle)
        self.norms = nn.ModuleList([nn.BatchNorm2d(w) if normalise else nn.Identity() for w in widths])
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Planes `[batch, plane, H, W]` to logits `[batch, class, H, W]`.

        The input is padded to a multiple of 4 by repeating its edge, and the output is cropped.
        """
        height, width = x.shape[-2:]
        short = (0, -width % UPSAMPLING, 0, -height % UPSAMPLING)
        x = nn.functional.pad(x, short, mode="replicate") if any(short) else x
        convolutions = (self.convA, self.convB, self.convC, self.convD, self.convE)
        for convolution, norm in zip(convolutions, self.norms, strict=True):
            x = torch.relu_(norm(convolution(x)))
        x = self.convF(x)
        return self.upsample(torch.relu_(x) if self.final_relu else x)[..., :height, :width]

    @classmethod
    def of_the_paper(cls) -> SegmentationNetwork:
        """The network exactly as in the paper: `(3, 96, 256)`, with a ReLU after every layer.

        Its widths are 96, 256, 384, 384, 256, and 256 · 4² = 4096 after F.
        """
        return cls(3, 96, 256, normalise=False, final_relu=True)

    def folded(self) -> SegmentationNetwork:
        """A copy for inference: the same function, with batch normalisation merged into the convolutions."""
        copy = deepcopy(self).eval()
        for name, norm in zip("ABCDE", copy.norms, strict=True):
            if isinstance(norm, nn.BatchNorm2d):
                setattr(copy, f"conv{name}", fuse_conv_bn_eval(getattr(copy, f"conv{name}"), norm))
        copy.norms = nn.ModuleList([nn.Identity() for _ in self.norms])
        copy.config = {**self.config, "normalise": False}
        return copy
