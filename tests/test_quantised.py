import numpy as np
import pytest
import torch

from whalefinder.networks import quantised
from whalefinder.networks.segmentation import SegmentationNetwork
from whalefinder.networks.weights import load_network

pytestmark = pytest.mark.networks

needs_vnni = pytest.mark.skipif(not quantised.supported(), reason="this processor has no 8-bit vector products")


INTEGERS = [False, pytest.param(True, marks=needs_vnni)]


@pytest.mark.parametrize("integers", INTEGERS)
@torch.inference_mode()
def test_eight_bits_are_integer_arithmetic(integers):
    """Against int64 sums by NumPy: the same rounding, the same scales."""
    torch.manual_seed(1)
    convolution = torch.nn.Conv2d(8, 16, 3, padding=1).to(memory_format=torch.channels_last)
    x = (torch.rand(1, 8, 6, 7) * 5).contiguous(memory_format=torch.channels_last)
    eight = quantised.EightBitConvolution(convolution, 4.0, integers)  # some inputs are beyond what it can hold
    rounded = np.minimum(np.floor(x.numpy() / (4.0 / 255) + 0.5), 255).astype(np.int64)
    scale = np.abs(convolution.weight.numpy()).max((1, 2, 3)) / 127
    weight = np.round(convolution.weight.numpy() / scale[:, None, None, None]).astype(np.int64)
    padded = np.pad(rounded[0], ((0, 0), (1, 1), (1, 1)))
    sums = np.stack(
        [[[(padded[:, i : i + 3, j : j + 3] * w).sum() for j in range(7)] for i in range(6)] for w in weight]
    )
    expected = sums * scale[:, None, None] * (4.0 / 255) + convolution.bias.numpy()[:, None, None]
    np.testing.assert_allclose(eight(x)[0].numpy(), expected, rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_shipped_segmenter_answers_alike_in_eight_bits():
    network = load_network()
    assert set(network.largest) == set(quantised.LAYERS)
    planes = torch.randn(1, 4, 256, 160, generator=torch.Generator().manual_seed(3))
    exact = network.folded()(planes).softmax(1)
    quick = quantised.for_inference(network)(planes.contiguous(memory_format=torch.channels_last)).softmax(1)
    assert float((exact - quick).abs().mean()) < 0.005
    assert not torch.equal(exact, quick)


@torch.inference_mode()
def test_a_frame_depends_on_no_distant_frame():
    network = quantised.for_inference(load_network())
    planes = torch.randn(1, 4, 256, 320, generator=torch.Generator().manual_seed(4))
    louder = planes.clone()
    louder[..., 240:] *= 5
    a, b = (network(p.contiguous(memory_format=torch.channels_last))[..., :200] for p in (planes, louder))
    assert torch.equal(a, b)


@needs_vnni
def test_a_kernel_whose_sums_overflow_is_not_used(monkeypatch):
    assert quantised.supported.__wrapped__()
    forward = quantised.EightBitConvolution.forward
    monkeypatch.setattr(quantised.EightBitConvolution, "forward", lambda self, x: forward(self, x).clamp(max=200))
    assert not quantised.supported.__wrapped__()


@needs_vnni
@torch.inference_mode()
def test_a_processor_without_the_instructions_gives_the_same(monkeypatch):
    planes = torch.randn(1, 4, 256, 160, generator=torch.Generator().manual_seed(6))
    planes = planes.contiguous(memory_format=torch.channels_last)
    integers = quantised.for_inference(load_network())(planes).softmax(1)
    monkeypatch.setattr(quantised, "supported", lambda: False)
    floats = quantised.for_inference(load_network())(planes).softmax(1)
    # A rounding that falls to the other side changes one value by one step of 255.
    assert float((integers - floats).abs().max()) < 2e-3 and float((integers - floats).abs().mean()) < 1e-6


@torch.inference_mode()
def test_without_the_ranges_it_stays_in_floats():
    planes = torch.randn(1, 4, 32, 32)
    unknown = SegmentationNetwork(4, 8).eval()
    torch.testing.assert_close(quantised.for_inference(unknown)(planes), unknown(planes), rtol=1e-3, atol=1e-4)


def test_largest_inputs_are_those_of_the_layers():
    torch.manual_seed(5)
    network = SegmentationNetwork(4, 8).eval()
    planes = torch.randn(1, 4, 16, 16)
    seen = quantised.largest_inputs(network, [planes, planes * 0.5])
    into_c = torch.relu(network.norms[1](network.convB(torch.relu(network.norms[0](network.convA(planes))))))
    assert seen["convC"] == pytest.approx(float(into_c.detach().max()), rel=1e-4)
    assert set(seen) == set(quantised.LAYERS)
