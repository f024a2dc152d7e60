"""Sizes of networks: refused where they are built, or they work. And the paper's literal network."""

import pytest
import torch

from whalefinder.errors import OptionError
from whalefinder.networks.classifier import Classifier
from whalefinder.networks.lstm import LSTM, Elman, ElmanCell, LSTMCell
from whalefinder.networks.regressor import Regressor
from whalefinder.networks.segmentation import SegmentationNetwork
from whalefinder.networks.tracker import Tracker
from whalefinder.training.losses import AzimuthLoss, ElevationLoss


@pytest.mark.parametrize("bad", [0, -1, 1.5, True])
@pytest.mark.parametrize(
    ("build", "sizes"),
    [
        (SegmentationNetwork, (1, 1, 1)),
        (Classifier, (3, (8, 16), 4)),
        (LSTMCell, (1, 1)),
        (ElmanCell, (1, 1)),
        (LSTM, (1, 1)),
        (Elman, (1, 1)),
        (Tracker, (1, 1)),
        (Regressor, (2, 0.3, 8, 4)),
    ],
)
def test_sizes_are_refused_where_the_network_is_built(build, sizes, bad):
    build(*sizes)
    for place in range(len(sizes)):
        if isinstance(sizes[place], float):
            continue
        wrong = (8, bad) if isinstance(sizes[place], tuple) else bad
        with pytest.raises(OptionError, match="whole number above 0"):
            build(*sizes[:place], wrong, *sizes[place + 1 :])


def test_other_arguments_that_build_nothing():
    for build in (
        lambda: Classifier(widths=()),
        lambda: Classifier(dropout=1.0),
        lambda: Tracker(3, cell="gru"),
        lambda: Regressor(1, 0.3),
        lambda: Regressor(4, 0.0),
    ):
        with pytest.raises(OptionError):
            build()


@pytest.mark.parametrize("hidden", [1, 2, 3])
def test_the_narrowest_networks_work(hidden):
    assert SegmentationNetwork(1, hidden, 2).eval()(torch.zeros(1, 1, 9, 7)).shape == (1, 2, 9, 7)


def test_the_papers_literal_network():
    with torch.device("meta"):  # shapes alone: 4096 channels of random numbers take a while
        network = SegmentationNetwork.of_the_paper()
        answer = network(torch.empty(2, 3, 64, 48))
    widths = [getattr(network, f"conv{letter}").out_channels for letter in "ABCDEF"]
    assert widths == [96, 256, 384, 384, 256, 4096]
    assert answer.shape == (2, 256, 64, 48)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())


def test_final_relu_is_a_relu_after_f_and_is_kept_in_the_config():
    torch.manual_seed(0)
    plain = SegmentationNetwork(2, 4, 3).eval()
    with_relu = SegmentationNetwork(2, 4, 3, final_relu=True).eval()
    with_relu.load_state_dict(plain.state_dict())
    planes = torch.randn(1, 2, 17, 19)
    assert plain(planes).min() < 0
    assert torch.equal(with_relu(planes), plain(planes).relu())
    assert torch.allclose(with_relu.folded()(planes), with_relu(planes), atol=1e-5)
    assert SegmentationNetwork(**with_relu.config).final_relu and not SegmentationNetwork(**plain.config).final_relu


@pytest.mark.parametrize("loss", [AzimuthLoss(), ElevationLoss()])
def test_losses_take_the_papers_names(loss):
    prediction, label = torch.tensor([[0.9]]), torch.tensor([[0.1]])
    assert loss(prediction_tensor=prediction, label_tensor=label) == loss(prediction, label)
