"""Convolutions of 8-bit integers. They are four times as fast on processors that have instructions for it (VNNI).

    w ≈ s_w · w₈,  x ≈ s_x · x₈   ⇒   Σ w x ≈ s_w s_x Σ w₈ x₈

There is one scale s_w for each output channel and one scale s_x for each layer. s_x comes from the largest input of the
layer in validation (`SegmentationNetwork.largest`, kept in the card of the weights). It is a constant, so the result
of a frame does not depend on other frames. Only layers C and D are treated so: they are nine tenths of the work.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import torch
from torch import Tensor, nn

from whalefinder.networks.segmentation import SegmentationNetwork

LAYERS = ("convC", "convD")
STEPS = 255


class EightBitConvolution(nn.Module):
    """A convolution of inputs in [0, largest], such as the outputs of a ReLU. Larger inputs count as `largest`.

    Args:
        convolution: the convolution to replace.
        largest: the largest input.
        integers: multiply integers, which needs VNNI. Otherwise the same whole numbers are multiplied in float32.
    """

    def __init__(self, convolution: nn.Conv2d, largest: float, integers: bool) -> None:
        super().__init__()
        weight = convolution.weight.detach()
        self.step, self.integers = largest / STEPS, integers
        self.scale = (weight.abs().amax((1, 2, 3)) / 127).clamp(min=1e-12)
        self.zero = torch.zeros(len(weight), dtype=torch.int32)
        self.bias = None if convolution.bias is None else convolution.bias.detach()
        rounded = (weight / self.scale[:, None, None, None]).round()
        self.shape = [list(convolution.stride), [int(p) for p in convolution.padding], list(convolution.dilation)]
        if integers:
            eight = rounded.to(torch.int8)
            self.packed = torch.ops.onednn.qconv_prepack(eight, self.scale, self.step, 0, *self.shape, 1)
        else:
            self.weight = rounded

    def forward(self, x: Tensor) -> Tensor:
        """The convolution, `[batch, input, H, W]` → `[batch, output, H, W]`, both float32."""
        rounded = (x * (1 / self.step)).add_(0.5).clamp_(max=STEPS)
        if not self.integers:
            stride, padding, dilation = self.shape
            sums = nn.functional.conv2d(rounded.floor_(), self.weight, None, stride, padding, dilation)
            scaled = sums.mul_((self.scale * self.step)[:, None, None])
            return scaled if self.bias is None else scaled.add_(self.bias[:, None, None])
        answer: Tensor = torch.ops.onednn.qconv2d_pointwise(
            rounded.to(torch.uint8), self.step, 0, self.packed, self.scale, self.zero, self.bias, *self.shape, 1,
            1.0, 0, torch.float32, "none", [], "",
        )  # fmt: skip
        return answer


@cache
def supported() -> bool:
    """Whether this processor and this PyTorch multiply 8-bit integers and add the products exactly."""
    vnni = getattr(torch.cpu, "_is_vnni_supported", bool)()
    return bool(vnni) and hasattr(torch.ops.onednn, "qconv2d_pointwise") and _sums_are_exact()


@torch.inference_mode()
def _sums_are_exact() -> bool:
    """Whether sums of products are exact. Without VNNI (or if `ONEDNN_MAX_CPU_ISA` forbids it) oneDNN adds in 16 bits.

    Sums of 16 bits overflow.
    """
    convolution = nn.Conv2d(32, 32, 3, bias=False)
    nn.init.ones_(convolution.weight)
    ones = torch.ones(1, 32, 8, 8).to(memory_format=torch.channels_last)
    return torch.allclose(EightBitConvolution(convolution, 1.0, integers=True)(ones), torch.tensor(32.0 * 9), rtol=1e-4)


def for_inference(network: SegmentationNetwork) -> SegmentationNetwork:
    """A faster copy of the network: normalisation folded, channels last in memory, C and D in 8 bits.

    On a processor without 8-bit products the same rounded numbers are multiplied in float32. That is not faster, but
    the result is the same on every processor.
    """
    quick: SegmentationNetwork = network.folded().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    integers = supported() and next(quick.parameters()).device.type == "cpu"
    for layer in LAYERS:
        if layer in network.largest:
            setattr(quick, layer, EightBitConvolution(getattr(quick, layer), network.largest[layer], integers))
    return quick


@torch.no_grad()
def largest_inputs(network: SegmentationNetwork, batches: Iterable[Tensor]) -> dict[str, float]:
    """The largest input of each of `LAYERS`, over batches of planes `[batch, plane, frequency, frame]`.

    It is meant for `SegmentationNetwork.largest`.
    """
    largest = dict.fromkeys(LAYERS, 0.0)
    folded = network.folded()

    def watch(layer: str) -> None:
        def seen(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            largest[layer] = max(largest[layer], float(inputs[0].max()))

        getattr(folded, layer).register_forward_pre_hook(seen)

    for layer in LAYERS:
        watch(layer)
    for planes in batches:
        folded(planes)
    return largest
