"""The network that names an event: a small residual network on its spectrogram (docs/paper.md, 4).

    planes → stem (convolution, max pooling) → residual stages → maximum and mean of each feature → dropout → classes

Convolutions are linear. ReLU and max pooling are not; max pooling sends its gradient to the largest input only.
The last pooling runs over all frames, so the sound can have any length.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from whalefinder.errors import OptionError
from whalefinder.networks.sizes import check_sizes
from whalefinder.results.records import LABELS


class Residual(nn.Module):
    """A residual block x + f(x), where f is two 3 x 3 convolutions. If the shape changes, x is convolved too (1 x 1).

    A 1 x 1 convolution of stride s sees only every s-th bin and frame. So the block picks these first and convolves
    them with stride 1, which is the same function of the same weights. The reason: PyTorch 2.13's CPU kernel for the
    strided convolution writes outside its memory in the backward pass. It does so with AVX2 or AVX-512, if channels are
    last in memory and fewer than a vector register holds (docs/experiments.md).
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        same = inputs == outputs and stride == 1
        self.past: nn.Module = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, bias=False)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """`[batch, inputs, H, W]` → `[batch, outputs, H / stride, W / stride]`."""
        change = self.second_norm(self.second(torch.relu(self.first_norm(self.first(x)))))
        return torch.relu(self.past(x[..., :: self.stride, :: self.stride]) + change)


class Classifier(nn.Module):
    """A ResNet for spectrograms.

    Args:
        input_channels: planes, 3 for `classification.PLANES`.
        widths: channels of the residual stages. The stem has as many channels as the first stage.
        num_classes: number of outputs.
        dropout: share of the last features that training sets to 0 at random. Inference uses all of them.
        marks: the input may have one more plane at its end. It is 1 in the frames of the event, and 0 in the others.
            Without that plane the whole window is named.

    Raises:
        OptionError: a size below 1, no stage, or a dropout outside [0, 1).

    Shape:
        `[batch, plane, frequency, frame]` → logits `[batch, class]`; `frame` ≥ 16.
    """

    temperature: Tensor

    def __init__(
        self,
        input_channels: int = 3,
        widths: Sequence[int] = (16, 32, 64, 96),
        num_classes: int = len(LABELS),
        dropout: float = 0.3,
        marks: bool = False,
    ) -> None:
        super().__init__()
        if not widths:
            raise OptionError("widths (): a classifier needs one stage at least")
        check_sizes(
            input_channels=input_channels, num_classes=num_classes, **{f"widths[{k}]": w for k, w in enumerate(widths)}
        )
        if not 0.0 <= dropout < 1.0:
            raise OptionError(f"dropout {dropout:g}: must be at least 0 and below 1")
        self.config = {
            "input_channels": input_channels,
            "widths": list(widths),
            "num_classes": num_classes,
            "dropout": dropout,
            "marks": marks,
        }
        self.input_channels, self.marks = input_channels, marks
        # One plane more holds the frequency. A line at 8 kHz can be a whistle and at 0.5 kHz a boat, and a convolution
        # alone does not know at which frequency it looks.
        self.stem = nn.Conv2d(input_channels + marks + 1, widths[0], 5, stride=2, padding=2, bias=False)
        self.stem_norm = nn.BatchNorm2d(widths[0])
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        stages = zip((widths[0], *widths), widths, (1, *(2 for _ in widths[1:])), strict=False)
        self.stages = nn.Sequential(*(Residual(*stage) for stage in stages))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * widths[-1], num_classes)
        # The logits are divided by the temperature before softmax. It is 1 until it is fitted (training.classifier).
        self.register_buffer("temperature", torch.ones(()))
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")  # He 2015; equal weights would stay equal
        nn.init.zeros_(self.head.bias)

    def stage_maps(self, planes: Tensor) -> list[Tensor]:
        """The output of every residual stage, `[batch, width, frequency, frame]`, each coarser than the one before."""
        if self.marks and planes.shape[1] == self.input_channels:
            planes = torch.cat([planes, torch.ones_like(planes[:, :1])], dim=1)
        height = torch.linspace(-1.0, 1.0, planes.shape[-2], dtype=planes.dtype, device=planes.device)
        x = torch.cat([planes, height[:, None].expand_as(planes[:, :1])], dim=1)
        x = x.contiguous(memory_format=torch.channels_last)
        x = self.pool(torch.relu(self.stem_norm(self.stem(x))))
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

    def features(self, planes: Tensor) -> Tensor:
        """Planes `[batch, plane, frequency, frame]` to the last features `[batch, feature]`, from which it names."""
        x = self.stage_maps(planes)[-1]
        return torch.cat([x.amax((-2, -1)), x.mean((-2, -1))], dim=1)

    def forward(self, planes: Tensor) -> Tensor:
        """Planes `[batch, plane, frequency, frame]` to logits `[batch, class]`, not yet calibrated."""
        return self.head(self.dropout(self.features(planes)))

    def folded(self) -> Classifier:
        """A copy for inference: the same function, with batch normalisation merged into the convolutions."""
        copy = deepcopy(self).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        copy.stem, copy.stem_norm = fuse_conv_bn_eval(copy.stem, copy.stem_norm), nn.Identity()
        for block in copy.stages:
            block.first, block.first_norm = fuse_conv_bn_eval(block.first, block.first_norm), nn.Identity()
            block.second, block.second_norm = fuse_conv_bn_eval(block.second, block.second_norm), nn.Identity()
        return copy

    def calibrated(self, planes: Tensor) -> Tensor:
        """Logits `[batch, class]` whose softmax are calibrated probabilities."""
        return self(planes) / self.temperature

    def probabilities(self, planes: Tensor) -> Tensor:
        """Calibrated probabilities `[batch, class]` of planes `[batch, plane, frequency, frame]`. They sum to 1."""
        return torch.softmax(self.calibrated(planes), dim=-1)
