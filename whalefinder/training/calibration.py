"""Examples that training never sees: scores on them, and probabilities that mean what they say."""

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
    """What a run is validated on: planes `[example, ...]`, labels, and which are real mixtures of the dev split."""

    planes: Tensor
    labels: Tensor
    real: Tensor


def validation_scores(logits: Tensor, examples: HeldOut) -> dict[str, float]:
    """Loss over all, and how many real (else: all) orcas and others are told from each other at even odds."""
    loss = float(nn.functional.cross_entropy(logits, examples.labels))
    judged = examples.real if bool(examples.real.any()) else ~examples.real
    orca, found = examples.labels[judged] == ORCA, logits[judged].softmax(1)[:, ORCA] > 0.5
    recall = float(found[orca].float().mean())
    return {"validation": loss, "recall": recall, "specificity": float((~found[~orca]).float().mean())}


@torch.no_grad()
def logits_of(network: Classifier, planes: Tensor, batch: int = 64) -> Tensor:
    """Logits of many examples, dropout off. `[example, ...]` → `[example, class]`."""
    training, network = network.training, network.eval()
    logits = torch.cat([network(part) for part in planes.split(batch)])
    network.train(training)
    return logits


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """T that makes softmax(logits / T) likeliest; the order of the classes stays. `[example, class]`, `[example]` → T."""

    def loss(log_t: float) -> float:
        return float(nn.functional.cross_entropy(logits / math.exp(log_t), labels))

    return math.exp(minimize_scalar(loss, bounds=(math.log(0.1), math.log(10.0)), method="bounded").x)


def fit_offset(logits: Tensor, labels: Tensor, temperature: float) -> float:
    """What has to be added to the orca's logit so that "an orca or not" is likeliest.

    Training has calls down to -12 dB that nobody hears, and other whales that sound alike; so the network is too shy of
    orcas where they can be heard. `[example, class]`, `[example]` → offset.
    """
    others = [index for index in range(len(LABELS)) if index != ORCA]
    odds = (logits[:, ORCA] - temperature * (logits[:, others] / temperature).logsumexp(1)) / temperature
    is_orca = (labels == ORCA).to(odds.dtype)

    def loss(offset: float) -> float:
        return float(nn.functional.binary_cross_entropy_with_logits(odds + offset / temperature, is_orca))

    return float(minimize_scalar(loss, bounds=(-4.0, 4.0), method="bounded").x)


@torch.no_grad()
def calibrate(network: Classifier, examples: HeldOut) -> None:
    """Fit the temperature to all examples, and the orca's bias to the real ones (where there are any)."""
    logits = logits_of(network, examples.planes)
    temperature = fit_temperature(logits, examples.labels)
    network.temperature.fill_(temperature)
    if bool(examples.real.any()):
        network.head.bias[ORCA] += fit_offset(logits[examples.real], examples.labels[examples.real], temperature)
