"""Examples that training never uses: scores on them, and calibration of the probabilities by them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor, nn

from whalefinder.networks.classifier import Classifier
from whalefinder.results.records import LABELS, ORCA


@dataclass(frozen=True)
class HeldOut:
    """Examples for validation.

    Args:
        planes: `[example, plane, frequency, frame]`.
        labels: class indices `[example]`.
        real: whether the example is a real mixture of the dev split, `[example]` bool.
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


def fit_offset(logits: Tensor, labels: Tensor, temperature: float) -> float:
    """Offset of the orca's logit that gives "orca or not" the smallest cross entropy.

    Training has calls at -12 dB that cannot be heard, and other whales that sound like orcas. So the network gives
    audible orcas too low a probability, and the offset corrects this. `[example, class]`, `[example]` → offset.
    """
    others = [index for index in range(len(LABELS)) if index != ORCA]
    odds = (logits[:, ORCA] - temperature * (logits[:, others] / temperature).logsumexp(1)) / temperature
    is_orca = (labels == ORCA).to(odds.dtype)

    def loss(offset: float) -> float:
        return float(nn.functional.binary_cross_entropy_with_logits(odds + offset / temperature, is_orca))

    return float(minimize_scalar(loss, bounds=(-4.0, 4.0), method="bounded").x)


@torch.no_grad()
def calibrate(network: Classifier, examples: HeldOut) -> None:
    """Fit the network's temperature to all examples, and its bias of the orca to the real ones (if there are any)."""
    logits = logits_of(network, examples.planes)
    temperature = fit_temperature(logits, examples.labels)
    network.temperature.fill_(temperature)
    if bool(examples.real.any()):
        network.head.bias[ORCA] += fit_offset(logits[examples.real], examples.labels[examples.real], temperature)
