"""The losses against hand-worked values, and what they refuse."""

import math

import numpy as np
import pytest
import torch

from tests.helpers import array
from whalefinder.array.geometry import direction, great_circle_rad
from whalefinder.errors import LossError, WhalefinderError
from whalefinder.training.losses import (
    AzimuthLoss,
    ElevationLoss,
    GreatCircleLoss,
    angle_of,
    azimuth_deg,
    azimuth_label,
    azimuth_weight,
    elevation_deg,
    elevation_label,
)

EXACT = 1e-12
"""Double precision after a handful of operations on numbers near 1."""


def column(*values, **kind):
    return torch.tensor(values, dtype=torch.float64, **kind).reshape(-1, 1)


def random_column(count, low=0.0, high=1.0, seed=0):
    return column(*np.random.default_rng(seed).uniform(low, high, count))


@pytest.mark.parametrize(
    ("prediction", "label", "expected"),
    [
        (0.0, 1.0, 0.0),  # 0° is 360°
        (1.0, 0.0, 0.0),
        (-0.75, 0.25, 0.0),  # a linear node, modulo 1
        (7.25, 0.25, 0.0),
        (0.0, 0.5, 2.0),  # opposite
        (0.9, 0.4, 2.0),
        (0.0, 0.25, 1.0),  # a right angle
        (1 / 6, 0.0, 0.5),  # 60°: 1 - 1/2
    ],
)
def test_azimuth_loss_by_hand(prediction, label, expected):
    assert float(AzimuthLoss()(column(prediction), column(label))) == pytest.approx(expected, abs=EXACT)


def test_the_seam_costs_exactly_nothing_in_single_precision_too():
    loss = AzimuthLoss()
    assert float(loss(torch.tensor([[0.0]]), torch.tensor([[1.0]]))) == 0.0
    across = loss(torch.tensor([[0.99]]), torch.tensor([[0.01]]))
    inside = loss(torch.tensor([[0.49]]), torch.tensor([[0.51]]))
    assert float(across) == pytest.approx(float(inside), rel=1e-4)


def test_azimuth_loss_is_the_mean_of_one_minus_the_cosine():
    p, l = random_column(50, -3, 3), random_column(50, seed=1)
    expected = (1 - torch.cos(2 * math.pi * (p - l))).mean()
    assert float(AzimuthLoss()(p, l)) == pytest.approx(float(expected), abs=EXACT)


def test_azimuth_gradient_by_hand_and_by_autograd():
    p, l = random_column(8, -1, 2).requires_grad_(), random_column(8, seed=1)
    AzimuthLoss()(p, l).backward()
    assert torch.allclose(p.grad, 2 * math.pi * torch.sin(2 * math.pi * (p.detach() - l)) / 8, atol=EXACT)


def test_encode_is_the_sine_and_cosine_of_a_turn():
    corners = AzimuthLoss().encode(column(0.0, 0.25, 0.5, 0.75, 1.0))
    expected = torch.tensor([[0, 1], [1, 0], [0, -1], [-1, 0], [0, 1]], dtype=torch.float64)
    assert torch.allclose(corners, expected, atol=EXACT)


def test_encode_and_back():
    labels = random_column(100)
    assert torch.allclose(angle_of(AzimuthLoss().encode(labels)), labels, atol=EXACT)
    assert torch.allclose(angle_of(5.0 * AzimuthLoss().encode(labels)), labels, atol=EXACT)


def test_atan2_keeps_the_quadrant_that_arctan_loses():
    labels = column(0.125, 0.375, 0.625, 0.875)  # 45°, 135°, 225°, 315°
    sine, cosine = AzimuthLoss().encode(labels).T
    plain = torch.atan(sine / cosine) / (2 * math.pi)
    assert torch.allclose(plain, torch.tensor([0.125, -0.125, 0.125, -0.125], dtype=torch.float64))
    assert torch.allclose(angle_of(AzimuthLoss().encode(labels)), labels)


def test_azimuth_weight_is_the_square_of_the_cosine_of_elevation():
    labels = elevation_label(column(0.0, -60.0, -90.0, -45.0))
    assert torch.allclose(azimuth_weight(labels), column(1.0, 0.25, 0.0, 0.5), atol=EXACT)


def test_weighted_azimuth_loss():
    p, l = column(0.5, 0.25), column(0.0, 0.0)  # 2 and 1 unweighted
    assert float(AzimuthLoss()(p, l, column(0.25, 1.0))) == pytest.approx((0.25 * 2 + 1) / 2)


def test_elevation_loss_by_hand():
    loss = ElevationLoss()
    assert float(loss(column(0.25), column(0.5))) == 0.0625  # below the surface: squared error alone
    assert float(loss(column(0.75), column(0.5))) == 0.125  # above by as much: twice as dear
    assert float(loss(column(0.5), column(0.5))) == 0.0
    assert float(loss(column(0.75, 0.25), column(0.25, 0.25))) == (0.25 + 0.0625) / 2


def test_elevation_gradient_by_hand():
    p = column(0.75, 0.25).requires_grad_()
    ElevationLoss()(p, column(0.5, 0.5)).backward()
    assert torch.allclose(p.grad, column(2 * 0.25 + 2 * 0.25, -2 * 0.25) / 2)


@pytest.mark.parametrize(
    ("depth_m", "highest"),
    [
        (0.0, 0.5),  # at the surface: the horizon
        (10.0, 2 / 3),  # 20 m away at least: asin(1/2) = 30°, (30 + 90) / 180
        (20.0, 1.0),
        (50.0, 1.0),  # overhead is possible
        (None, 1.0),  # unknown: no limit
    ],
)
def test_the_limit_comes_from_the_depth_of_the_array(depth_m, highest):
    assert ElevationLoss.of(array(depth_m)).highest == pytest.approx(highest, abs=EXACT)


def test_great_circle_by_hand():
    def loss(*degrees):
        azimuth, elevation, true_azimuth, true_elevation = (column(d) for d in degrees)
        return float(
            GreatCircleLoss()(
                azimuth_label(azimuth),
                elevation_label(elevation),
                azimuth_label(true_azimuth),
                elevation_label(true_elevation),
            )
        )

    assert loss(0.0, 0.0, 360.0, 0.0) == pytest.approx(0.0, abs=EXACT)
    assert loss(0.0, 0.0, 90.0, 0.0) == pytest.approx(1.0)
    assert loss(0.0, -90.0, 123.0, -90.0) == pytest.approx(0.0, abs=EXACT)  # straight down has no azimuth
    assert loss(0.0, -60.0, 180.0, -60.0) == pytest.approx(0.5)  # 60° apart over the nadir
    assert loss(10.0, -90.0, 200.0, 0.0) == pytest.approx(1.0)


def test_great_circle_against_vectors():
    az, el, true_az, true_el = (random_column(40, seed=s) for s in range(4))
    u, v = (
        direction(2 * np.pi * a.numpy()[:, 0], np.pi * (e.numpy()[:, 0] - 0.5))
        for a, e in ((az, el), (true_az, true_el))
    )
    expected = (1 - np.cos(great_circle_rad(u, v))).mean()
    assert float(GreatCircleLoss()(az, el, true_az, true_el)) == pytest.approx(expected, abs=EXACT)


def test_gradients_of_all_losses():
    p, q = random_column(4, -0.5, 1.5).requires_grad_(), random_column(4, seed=1).requires_grad_()
    l, m = random_column(4, seed=2), random_column(4, seed=3)
    assert torch.autograd.gradcheck(lambda p: AzimuthLoss()(p, l, azimuth_weight(m)), p)
    assert torch.autograd.gradcheck(lambda q: ElevationLoss(0.4)(q, m), q)
    assert torch.autograd.gradcheck(lambda p, q: GreatCircleLoss()(p, q, l, m), (p, q))


def test_numpy_in_numpy_out_with_the_same_values():
    p, l = random_column(6, -1, 2), random_column(6, seed=1)
    for loss in (AzimuthLoss(), ElevationLoss()):
        number = loss(p.numpy(), l.numpy())
        assert isinstance(number, np.float64) and number == float(loss(p, l))
    encoded = AzimuthLoss().encode(p.numpy())
    assert isinstance(encoded, np.ndarray) and np.array_equal(encoded, AzimuthLoss().encode(p).numpy())
    assert isinstance(angle_of(encoded), np.ndarray) and isinstance(azimuth_weight(l.numpy()), np.ndarray)
    assert isinstance(AzimuthLoss()(p, l.numpy()), torch.Tensor)  # a network's output keeps its gradient


def test_numpy_views_that_tensors_cannot_share():
    values = np.linspace(0, 1, 5)[:, None]
    values.flags.writeable = False
    assert AzimuthLoss()(values[::-1], values[::-1]) == 0.0


@pytest.mark.parametrize(
    ("prediction", "label", "message"),
    [
        (np.zeros((4, 1)), np.zeros(4), r"label has shape \(4,\); need \(batch, 1\)"),
        (np.zeros(4), np.zeros((4, 1)), r"prediction has shape \(4,\)"),
        (np.zeros((2, 2)), np.zeros((2, 1)), r"prediction has shape \(2, 2\)"),
        (np.zeros((0, 1)), np.zeros((0, 1)), "batch ≥ 1"),
        (np.zeros((3, 1)), np.zeros((1, 1)), "3 predictions but 1 labels"),
        (np.zeros((1, 1), int), np.zeros((1, 1)), "prediction is of type int64; need floats"),
        (torch.zeros(1, 1, dtype=torch.int32), np.zeros((1, 1)), r"prediction is of type torch\.int32"),
        (np.array([["0.5"]]), np.zeros((1, 1)), "prediction is of type <U3; need floats"),
        (np.array([[None]]), np.zeros((1, 1)), "prediction is of type object; need floats"),
        (np.zeros((1, 1), complex), np.zeros((1, 1)), "prediction is of type complex128"),
        (0.5, np.zeros((1, 1)), "prediction is of type float; need floats in a NumPy array"),
        ([[0.5]], np.zeros((1, 1)), "prediction is of type list"),
        (np.array([[np.nan]]), np.zeros((1, 1)), "prediction holds nan"),
        (np.zeros((1, 1)), np.array([[np.nan]]), "label holds nan"),
        (np.array([[-np.inf]]), np.zeros((1, 1)), "prediction holds -inf"),
        (np.zeros((1, 1)), np.array([[-0.25]]), r"label -0.25 is outside \[0, 1\]"),
    ],
)
@pytest.mark.parametrize("loss", [AzimuthLoss(), ElevationLoss()])
def test_refusals(loss, prediction, label, message):
    with pytest.raises(LossError, match=message) as refused:
        loss(prediction, label)
    assert "\n" not in str(refused.value)
    assert isinstance(refused.value, WhalefinderError) and isinstance(refused.value, ValueError)


def test_degrees_in_place_of_labels_are_refused_with_the_remedy():
    with pytest.raises(LossError, match=r"azimuth label 270 is outside \[0, 1\]; divide degrees by 360"):
        AzimuthLoss()(column(0.5), column(270.0))
    with pytest.raises(
        LossError, match=r"elevation label -30 is outside \[0, 1\]; add 90 to degrees and divide by 180"
    ):
        ElevationLoss()(column(0.5), column(-30.0))
    with pytest.raises(LossError, match="highest elevation label 30 is outside"):
        ElevationLoss(30)


def test_other_refusals():
    one, two = column(0.5), column(0.5, 0.5)
    with pytest.raises(LossError, match="2 weights for 1 predictions"):
        AzimuthLoss()(one, one, two)
    with pytest.raises(LossError, match="weight -1 is below 0"):
        AzimuthLoss()(one, one, column(-1.0))
    with pytest.raises(LossError, match="2 azimuths but 1 elevations"):
        GreatCircleLoss()(two, one, two, one)
    with pytest.raises(LossError, match=r"encoding has shape \(1, 1\); need \(batch, 2\)"):
        angle_of(one)
    with pytest.raises(LossError, match="azimuth holds nan"):
        AzimuthLoss().encode(column(math.nan))


@pytest.mark.parametrize("kind", [float, np.asarray, torch.tensor])
def test_labels_by_hand(kind):
    assert float(azimuth_label(kind(90.0))) == 0.25
    assert float(azimuth_label(kind(-90.0))) == 0.75
    assert float(azimuth_label(kind(360.0))) == 0.0
    assert float(azimuth_deg(kind(0.75))) == 270.0
    assert float(azimuth_deg(kind(-1.25))) == 270.0
    assert float(azimuth_deg(kind(-1e-20))) == 0.0  # not 360
    assert float(elevation_label(kind(-90.0))) == 0.0
    assert float(elevation_label(kind(0.0))) == 0.5
    assert float(elevation_deg(kind(0.25))) == -45.0


def test_labels_and_back():
    azimuth = np.random.default_rng(0).uniform(0, 360, 1000)
    elevation = np.random.default_rng(1).uniform(-90, 90, 1000)
    assert np.abs(azimuth_deg(azimuth_label(azimuth)) - azimuth).max() < 1e-12
    assert np.abs(elevation_deg(elevation_label(elevation)) - elevation).max() < 1e-12


def test_training_one_free_node_finds_the_way_across_the_seam():
    """Whales at 356°...4°, a node that starts at 324°: the cyclic loss goes on to 360°, the squared error turns back."""
    labels = azimuth_label(column(356.0, 358.0, 0.0, 2.0, 4.0))

    def trained(loss):
        node = torch.tensor([[0.9]], dtype=torch.float64, requires_grad=True)
        optimiser = torch.optim.SGD([node], lr=0.02)
        for _ in range(200):
            value = loss(node.expand(5, 1), labels)
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
        return float(azimuth_deg(node.detach()))

    assert abs((trained(AzimuthLoss()) + 180) % 360 - 180) < 1e-3
    assert trained(torch.nn.MSELoss()) == pytest.approx(144.0, abs=1.0)  # the mean of 356, 358, 0, 2 and 4
