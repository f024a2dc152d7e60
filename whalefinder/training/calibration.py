"""Examples that training never uses: scores on them, and calibration of the probabilities by them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from torch import Tensor, nn

from whalefinder.networks.classifier import Classifier
from whalefinder.results.records import LABELS, ORCA


@dataclass(frozen=True)
class HeldOut:
    """Examples for validation.

    Args:
        planes: `[example, plane, frequency, frame]`.
        labels: class indices `[example]`.
        real: whether the example is real sound of the dev split, or a nuisance of a kind that training never draws,
            `[example]` bool.
    """

    planes: Tensor
    labels: Tensor
    real: Tensor


def validation_scores(logits: Tensor, examples: HeldOut) -> dict[str, float]:
    """Loss over all examples, and recall and specificity of orcas at a probability of 0.5.

    Recall and specificity use the real examples, or all if there are no real ones.
    """
    loss = float(nn.functional.cross_entropy(logits, examples.labels))
    judged = examples.real if bool(examples.real.any()) else ~examples.real
    orca, found = examples.labels[judged] == ORCA, logits[judged].softmax(1)[:, ORCA] > 0.5
    recall = float(found[orca].float().mean())
    return {"validation": loss, "recall": recall, "specificity": float((~found[~orca]).float().mean())}


@torch.no_grad()
def logits_of(network: Classifier, planes: Tensor, batch: int = 64) -> Tensor:
    """Logits of many examples, without dropout. `[example, plane, frequency, frame]` → `[example, class]`."""
    training, network = network.training, network.eval()
    logits = torch.cat([network(part) for part in planes.split(batch)])
    network.train(training)
    return logits


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """Temperature T for which softmax(logits / T) has the smallest cross entropy (Guo et al. 2017, arXiv:1706.04599).

    It does not change which class is the likeliest. `[example, class]`, `[example]` → T.
    """

    def loss(log_t: float) -> float:
        return float(nn.functional.cross_entropy(logits / math.exp(log_t), labels))

    return math.exp(minimize_scalar(loss, bounds=(math.log(0.1), math.log(10.0)), method="bounded").x)


def fit_orca(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """Temperature and offset of the orca's logit that give "orca or not" the smallest cross entropy.

    Only this question is asked, since nobody says whether a boat or the sea is louder in a real clip. The offset is
    needed because training has calls at -12 dB that cannot be heard, and so gives audible ones too low a probability.
    `[example, class]`, `[example]` → (T, offset).
    """
    others = [index for index in range(len(LABELS)) if index != ORCA]
    is_orca = (labels == ORCA).to(logits.dtype)

    def loss(values: NDArray[np.float64]) -> float:
        temperature, offset = math.exp(values[0]), values[1]
        odds = (logits[:, ORCA] + offset) / temperature - (logits[:, others] / temperature).logsumexp(1)
        return float(nn.functional.binary_cross_entropy_with_logits(odds, is_orca))

    found = minimize(loss, [0.0, 0.0], method="Nelder-Mead", bounds=[(math.log(0.1), math.log(10.0)), (-6.0, 6.0)])
    return math.exp(found.x[0]), float(found.x[1])


@torch.no_grad()
def calibrate(network: Classifier, examples: HeldOut) -> None:
    """Fit the temperature and the bias of the orca to the real examples, or without any the temperature to all."""
    logits = logits_of(network, examples.planes)
    if not bool(examples.real.any()):
        network.temperature.fill_(fit_temperature(logits, examples.labels))
        return
    temperature, offset = fit_orca(logits[examples.real], examples.labels[examples.real])
    network.temperature.fill_(temperature)
    network.head.bias[ORCA] += offset
