"""Figures 1 to 3 of the examination paper: what is drawn is what the program does."""

import math

import numpy as np
import pytest
import torch

from bench.paper_figures import CAMERA_DEG, draw_angles, draw_cell, draw_network, layers_seen, path, seen, worked_step
from whalefinder.networks.segmentation import SegmentationNetwork


def test_figure_1_has_the_axes_of_the_conventions():
    """Seen from the south, raised by 24°: east to the right, west to the left, up is up, north is far and so higher."""
    east, north, up = np.eye(3)
    azimuth, elevation = np.radians(CAMERA_DEG)
    assert seen(up) == pytest.approx([0, math.cos(elevation)])
    assert seen(east)[0] == pytest.approx(-math.cos(azimuth)) and seen(-east)[0] < 0
    assert seen(north) == pytest.approx([math.sin(azimuth), -math.cos(azimuth) * math.sin(elevation)])
    assert path(90, 0) == pytest.approx(east) and path(0, [0, 90]) == pytest.approx(np.stack([north, up]))


def test_figure_2_can_be_checked_with_a_pocket_calculator():
    _, step, _ = worked_step()
    h, x, c = -0.2, 0.8, 0.5

    def sigmoid(z):
        return 1 / (1 + math.exp(-z))

    f, i, o = sigmoid(0.5 * h + 1.0 * x), sigmoid(-0.4 * h + 1.2 * x), sigmoid(0.3 * h - 0.6 * x)
    a = f * c + i * math.tanh(0.9 * h + 0.7 * x)
    d = math.tanh(a) * o
    expected = {"f": f, "i": i, "o": o, "a": a, "e": math.tanh(a), "d": d, "y": sigmoid(d)}
    assert {name: float(getattr(step, name)) for name in expected} == pytest.approx(expected)


def test_figure_3_shows_the_layers_as_they_are():
    """Widths 96, 256, 384, 384, 256 of the examination paper, halved twice and brought back; a ReLU after A to E."""
    torch.manual_seed(0)
    found = layers_seen(SegmentationNetwork(3, 96, 5), torch.randn(1, 3, 64, 64))
    assert [shape for _, _, shape, _ in found] == [
        (96, 32, 32), (256, 16, 16), (384, 16, 16), (384, 16, 16), (256, 16, 16), (80, 16, 16), (5, 64, 64),
    ]  # fmt: skip
    assert [relu for *_, relu in found] == [True] * 5 + [False] * 2


@pytest.mark.parametrize("draw", [draw_angles, draw_cell, draw_network])
def test_figures_are_drawn_alike_every_time(draw, tmp_path):
    for name in ("one.png", "two.png"):
        draw(tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
