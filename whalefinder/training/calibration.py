"""Examples that training never uses: scores on them, and calibration of the probabilities by them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit
from torch import Tensor, nn

from whalefinder.networks.classifier import Classifier, strangeness
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


# Familiarity ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Calls:
    """Orcas of training, to which other sounds are compared (`Classifier.strangeness`).

    Args:
        planes: of each `[plane, frequency, frame]`.
        groups: call type or recording of each. What other calls of the same group teach is not counted when the
            strangeness of a call is judged, as if it was of a dialect that was never heard.
    """

    planes: list[Tensor]
    groups: list[str]


def fit_trust(odds: Tensor, strangeness: Tensor, labels: Tensor) -> Tensor:
    """The weights of `Classifier.calibrated`: those that give "orca or not" the smallest cross entropy.

    More strangeness may only lower the probability, and higher odds may only raise it. Orcas weigh as much as all others
    together, so that the probability does not depend on how many of each were at hand.

    Shape:
        log odds of an orca `[example]`, `[example]`, bool `[example]` → `[3]`.
    """
    inputs = torch.stack([odds, strangeness, torch.ones_like(odds)], dim=1).double().numpy()
    is_orca = labels.double().numpy()
    weight = is_orca / max(is_orca.sum(), 1.0) + (1 - is_orca) / max((1 - is_orca).sum(), 1.0)

    def loss(trust: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        joint = inputs @ trust
        # d/dz of ln(1 + e^z) - y z is p - y
        gradient = weight * (expit(joint) - is_orca)
        return float((weight * (np.logaddexp(0, joint) - is_orca * joint)).sum()), inputs.T @ gradient

    bounds = [(0.0, None), (None, 0.0), (None, None)]
    found = minimize(loss, [1.0, 0.0, 0.0], jac=True, method="L-BFGS-B", bounds=bounds)
    return torch.from_numpy(found.x).float()


@torch.no_grad()
def calibrate(network: Classifier, examples: HeldOut, calls: Calls | None = None) -> None:
    """Fit the network's temperature to all examples, and then its probability of an orca to the real ones (if any).

    Args:
        network: its buffers are changed, or its bias of the orca without `calls`.
        examples: none of them was used in training.
        calls: orcas of training that the network shall remember (`Classifier.remember`), or None.
    """
    logits = logits_of(network, examples.planes)
    temperature = fit_temperature(logits, examples.labels)
    network.temperature.fill_(temperature)
    if not bool(examples.real.any()):
        return
    if calls is None:
        network.head.bias[ORCA] += fit_offset(logits[examples.real], examples.labels[examples.real], temperature)
        return
    remembered = features_of(network, calls.planes)
    heard = features_of(network, examples.planes[examples.real])
    strange = [strangeness(heard, remembered), _strangeness_as_new(remembered, calls.groups)]
    odds = torch.cat([network.odds(heard), network.odds(remembered)])
    labels = torch.cat([examples.labels[examples.real] == ORCA, torch.ones(len(remembered), dtype=torch.bool)])
    network.remember(remembered, fit_trust(odds, torch.cat(strange), labels))


def _strangeness_as_new(features: Tensor, groups: list[str]) -> Tensor:
    """The strangeness of every call, compared only with calls of other groups. `[call, feature]` → `[call]`."""
    found, names = torch.zeros(len(features)), np.array(groups)
    for group in set(groups):
        own = torch.from_numpy(names == group)
        found[own] = strangeness(features[own], features[~own])
    return found


@torch.no_grad()
def features_of(network: Classifier, planes: Iterable[Tensor]) -> Tensor:
    """Last features of examples of any length, each `[plane, frequency, frame]`. → `[example, feature]`."""
    training, network = network.training, network.eval()
    features = torch.cat([network.features(each[None]) for each in planes])
    network.train(training)
    return features
