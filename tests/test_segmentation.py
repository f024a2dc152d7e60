"""The specified network, layer by layer, and what training must and must not do."""

import pytest
import torch
from torch import nn

from whalefinder.errors import ModelError
from whalefinder.networks.segmentation import CLASSES, SegmentationNetwork
from whalefinder.networks.weights import load_network, read_card, save_network, shipped_weights
from whalefinder.sound.features import FEATURES

pytestmark = pytest.mark.networks


def test_the_papers_widths_kernels_paddings_and_strides():
    network = SegmentationNetwork(3, 96, 5)
    layers = [getattr(network, f"conv{letter}") for letter in "ABCDEF"]
    table = [(c.out_channels, c.kernel_size[0], c.padding[0], c.stride[0]) for c in layers]
    expected = [(96, 3, 1, 2), (256, 3, 1, 2), (384, 5, 2, 1), (384, 7, 3, 1), (256, 1, 0, 1), (5 * 16, 3, 1, 1)]
    assert table == expected
    assert layers[0].in_channels == 3 and network.upsample.upscale_factor == 4
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 5, 32, 32)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (4, 4), (37, 51), (256, 3), (5, 400)])
def test_any_input_size(height, width):
    network = SegmentationNetwork(2, 4, 3).eval()
    assert network(torch.randn(2, 2, height, width)).shape == (2, 3, height, width)


def test_without_normalisation_it_is_convolutions_and_relus_alone():
    network = SegmentationNetwork(2, 8, 3, normalise=False).eval()
    plain = nn.Sequential(
        network.convA, nn.ReLU(), network.convB, nn.ReLU(), network.convC, nn.ReLU(), network.convD, nn.ReLU(),
        network.convE, nn.ReLU(), network.convF, network.upsample,
    )  # fmt: skip
    x = torch.randn(1, 2, 32, 48)
    assert torch.equal(network(x), plain(x))
    assert (network(x) < 0).any()  # logits need both signs: no ReLU after F


def test_save_and_load(tmp_path):
    network = SegmentationNetwork(4, 8, 3).eval()
    save_network(network, tmp_path / "a.safetensors", {"note": "test"})
    x = torch.randn(1, 4, 16, 16)
    assert torch.equal(load_network(tmp_path / "a.safetensors")(x), network(x))
    assert read_card(tmp_path / "a.safetensors")["note"] == "test"


def test_foreign_weights_are_refused(tmp_path):
    save_network(SegmentationNetwork(4, 8, 3), tmp_path / "a.safetensors", {})
    save_network(SegmentationNetwork(4, 12, 3), tmp_path / "b.safetensors", {})
    (tmp_path / "a.json").replace(tmp_path / "b.json")
    with pytest.raises(ModelError, match="do not fit their card"):
        load_network(tmp_path / "b.safetensors")
    with pytest.raises(ModelError, match="no readable model card"):
        load_network(tmp_path / "a.safetensors")
    save_network(SegmentationNetwork(4, 8, 3), tmp_path / "c.safetensors", {})
    (tmp_path / "c.safetensors").write_bytes(b"pickle?")
    with pytest.raises(ModelError):
        load_network(tmp_path / "c.safetensors")


def test_shipped_weights_fit_the_features_and_the_package():
    network = load_network()
    assert network.config["input_channels"] == len(FEATURES) and network.config["num_classes"] == len(CLASSES)
    assert shipped_weights().stat().st_size < 8e6
    assert {"settings", "validation", "data", "licence"} <= set(read_card(shipped_weights()))


def test_folded_is_the_same_function():
    torch.manual_seed(0)
    network = SegmentationNetwork(4, 6)
    for _ in range(3):
        network.train()(torch.randn(2, 4, 32, 40) * 3 + 1)  # running means and variances that are not 0 and 1
    x = torch.randn(1, 4, 30, 41)
    assert torch.allclose(network.eval()(x), network.folded()(x), atol=1e-5)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.folded().modules())


def test_folding_leaves_the_network_in_training():
    network = SegmentationNetwork(4, 8)
    network.folded()
    assert all(module.training for module in network.modules())
