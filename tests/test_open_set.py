"""Scores of how unlike every call a sound is, on features that are made by hand."""

import numpy as np
import torch

from bench.hearing.open_set import NEIGHBOURS, Scores, strangeness
from whalefinder.networks.classifier import Classifier


class Passing(Classifier):
    """Its last features are the first two values of the planes; its logits are these and two zeros."""

    def __init__(self) -> None:
        super().__init__(widths=(1,))
        torch.nn.init.eye_(self.head.weight)

    def features(self, planes: torch.Tensor) -> torch.Tensor:
        return planes[:, 0, 0, :2]


def planes(points):
    return torch.tensor(np.asarray(points, np.float32))[:, None, None, :]


def test_scores_against_their_formulas():
    rng = np.random.default_rng(0)
    orcas, others = rng.normal((6, 0), (1.0, 0.5), (40, 2)), rng.normal((0, 6), (1.0, 0.5), (40, 2))
    network = Passing().eval()
    labels = torch.tensor([0] * 40 + [3] * 40)
    asked = np.array([[6.0, 0.0], [0.0, 6.0], [-6.0, 0.0]])
    got = Scores(network, planes(np.r_[orcas, others]), labels).of(planes(asked))
    logits = np.c_[asked, np.zeros((3, 2))]
    assert np.allclose(got["energy"], np.log(np.exp(logits).sum(1)), atol=1e-5)
    assert np.allclose(got["p(orca)"], np.exp(asked[:, 0]) / np.exp(logits).sum(1), atol=1e-5)
    spread = np.concatenate([orcas - orcas.mean(0), others - others.mean(0)])
    inverse = np.linalg.inv(spread.T @ spread / 80 + 1e-3 * np.diag(spread.T @ spread / 80).mean() * np.eye(2))
    off = asked - orcas.mean(0)
    assert np.allclose(got["distance"], -np.sqrt(np.einsum("na,ab,nb->n", off, inverse, off)), rtol=1e-3)
    unit = lambda points: points / np.linalg.norm(points, axis=1, keepdims=True)  # noqa: E731
    near = np.sort(np.linalg.norm(unit(asked)[:, None] - unit(orcas)[None], axis=2), axis=1)[:, NEIGHBOURS - 1]
    assert np.allclose(got["neighbours"], -near, atol=1e-3)
    assert got["neighbours"][0] > got["neighbours"][1] > got["neighbours"][2]


def test_strangeness_by_hand():
    """The 10th nearest of 12 calls in a plane is at a right angle, in line, opposite or between."""
    calls = torch.tensor([[2.0, 0.0]] * 10 + [[0.0, 3.0]] * 2)
    strange = strangeness(torch.tensor([[5.0, 0.0], [0.0, 5.0], [-1.0, 0.0], [1.0, 1.0]]), calls)
    assert np.allclose(strange, [0.0, 2**0.5, 2.0, (2 - 2**0.5) ** 0.5], atol=1e-3)
