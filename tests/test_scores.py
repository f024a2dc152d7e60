"""The event score by hand, and the two figures on noise whose answer is known."""

import math

import numpy as np
import pytest
import torch

from tests.helpers import array
from whalefinder.array.geometry import direction
from whalefinder.calls.scores import event_score
from whalefinder.sound import spectrogram
from whalefinder.sound.beam import flatness, noise_towards


def test_the_sum_by_hand():
    mask = {"log_area": math.log(100.0), "mean_share": 0.5}
    assert event_score(mask) == pytest.approx(4.60517 + 6.0 - 10.2, abs=1e-4)
    spatial = {**mask, "noise_flatness": -2.0, "noise_towards": -3.0}
    assert event_score(spatial) == pytest.approx(4.60517 + 6.0 - 4.0 + 7.5 - 12.3, abs=1e-4)


def noise_covariance(strength: float, u: np.ndarray) -> torch.Tensor:
    """White noise of power 1 plus a source of `strength` from `u`, `[4, 4, frequency, 1]`."""
    delays = torch.from_numpy(array().delays_s(u)).float()
    a = torch.exp(-2j * math.pi * spectrogram.frequencies_hz()[:, None] * delays)
    q = torch.eye(4) + strength * a[:, :, None] * a[:, None, :].conj()
    return q.permute(1, 2, 0)[..., None]


def test_noise_from_everywhere():
    white = noise_covariance(0.0, direction(0.0, 0.0))
    # Four hydrophones average white noise down to a quarter, whichever way they look.
    towards = noise_towards(white, array(), direction(1.0, -0.2))
    assert torch.allclose(towards, torch.full_like(towards, -math.log(4.0)), atol=1e-5)
    assert torch.allclose(flatness(white), torch.zeros(()), atol=1e-5)


def test_noise_from_a_boat():
    boat = direction(math.radians(70.0), 0.0)
    q = noise_covariance(99.0, boat)
    # Towards the boat nothing helps but averaging the white part: (99 + 1/4) / 100. det(I + s a aᴴ) = 1 + 4 s.
    towards = noise_towards(q, array(), boat)
    assert torch.allclose(towards, torch.full_like(towards, math.log(0.9925)), atol=1e-3)
    assert torch.allclose(flatness(q), torch.tensor(math.log(397.0) / 4 - math.log(100.0)), atol=1e-3)
    # Elsewhere the boat is nulled: what is left is near the white part alone, -log(4 · 100) or a little more.
    away = noise_towards(q, array(), direction(math.radians(200.0), -0.3))
    assert away[40:].median() < -4.5
