"""Settings, loss, optimiser and learning rate of a training run of the classifier.

There are two ways to keep weights small, which are not the same: L2 is a term of the loss, and AdamW has a decay that
does not depend on the gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from whalefinder.errors import OptionError
from whalefinder.results.records import LABELS, ORCA
from whalefinder.training.labelled import ORCAS

IMBALANCE = ("none", "weights", "sampler", "focal")
OPTIMISERS = ("adamw", "sgd")
SCHEDULES = ("one_cycle", "cosine", "constant")
FOCUS = 2.0  # exponent of the focal loss


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of a run. They are written into the card of its weights.

    Args:
        steps, batch: number of steps, and of examples in each.
        optimiser, peak_rate, momentum, schedule: `adamw` or `sgd`, and its learning rate; see `make_schedule`.
        l2: λ of the examination paper's L2, a term λ‖w‖² of the loss: w ← (1 - 2ηλ) w - η ∂L/∂w with SGD.
        weight_decay: decay of AdamW, w ← (1 - η · decay) w - …, which does not depend on the gradient.
        dropout: share of the last features that are set to 0 at random.
        imbalance: `none`, `weights` (in the loss), `sampler` (as many orcas as others) or `focal` (loss).
        boat_ratio: n for a ratio orca:boat of 1:n. None: pairs with and without a call in one background.
        augment: random changes of recorder and masks.
        examples: number of independent examples, or None for a new one each time.
        widths: channels of the residual stages.
        seed: of everything random.
        pool_calls, pool_boats, pool_nuisances: how many simulated sounds to mix.
        validate_every, validation_clips: steps between validations, and clips in each.
        patience: training stops after this many validations without a better loss.
        threads: threads of the processor.
        leave_out: sources of real calls that are not used in training (`clips.source_of`).
        trunk: path of weights whose trunk it begins with (`weights.take_trunk`), or None for a new one.
        start: path of weights of a classifier that it goes on from, head included (`weights.take_all`), or None.

    Raises:
        OptionError: an unknown name, SGD with a weight decay, or both a trunk and a start.
    """

    steps: int = 11_000
    batch: int = 32
    optimiser: str = "adamw"
    peak_rate: float = 3e-3
    momentum: float = 0.9
    schedule: str = "one_cycle"
    l2: float = 0.0
    weight_decay: float = 1e-2
    dropout: float = 0.3
    imbalance: str = "none"
    boat_ratio: float | None = None
    augment: bool = True
    examples: int | None = None
    widths: tuple[int, ...] = (16, 32, 64, 128, 192)
    seed: int = 1
    pool_calls: int = 1500
    pool_boats: int = 300
    pool_nuisances: int = 1800
    validate_every: int = 250
    validation_clips: int = 160
    patience: int = 60
    threads: int = 1
    leave_out: tuple[str, ...] = ()
    trunk: str | None = None
    start: str | None = None

    @property
    def marks(self) -> bool:
        """True if the input marks the frames of the event (`Classifier`). This needs pairs of examples."""
        return self.boat_ratio is None

    def __post_init__(self) -> None:
        for name, allowed in (("imbalance", IMBALANCE), ("optimiser", OPTIMISERS), ("schedule", SCHEDULES)):
            if getattr(self, name) not in allowed:
                raise OptionError(f"{name} {getattr(self, name)!r} is unknown; choose from {', '.join(allowed)}")
        if self.optimiser == "sgd" and self.weight_decay:
            raise OptionError("sgd has no decoupled decay; set weight_decay 0 and use l2")
        if self.trunk is not None and self.start is not None:
            raise OptionError("trunk and start contradict each other; give one of them")


def class_weights(settings: Settings) -> Tensor:
    """Weights `[class]` by which orcas have half of the loss, and all other classes together the other half."""
    share = 0.5 * ORCAS if settings.boat_ratio is None else 1 / (1 + settings.boat_ratio)
    weights = torch.full((len(LABELS),), 0.5 / (1 - share))
    weights[ORCA] = 0.5 / share
    return weights


def classification_loss(logits: Tensor, labels: Tensor, settings: Settings) -> Tensor:
    """Cross entropy, plain, weighted or focal (Lin et al. 2017, arXiv:1708.02002), by `settings.imbalance`.

    `[batch, class]`, `[batch]` → scalar.
    """
    if settings.imbalance == "focal":
        each = nn.functional.cross_entropy(logits, labels, reduction="none")
        return ((1 - torch.exp(-each)) ** FOCUS * each).mean()
    weight = class_weights(settings) if settings.imbalance == "weights" else None
    return nn.functional.cross_entropy(logits, labels, weight)


def training_loss(network: nn.Module, planes: Tensor, labels: Tensor, settings: Settings) -> Tensor:
    """The loss that a step reduces: the classification loss of a batch, plus the L2 term if there is one. → scalar."""
    loss = classification_loss(network(planes), labels, settings)
    return loss + l2_penalty(network, settings.l2) if settings.l2 else loss


def l2_penalty(network: nn.Module, strength: float) -> Tensor:
    """λ‖w‖² over the weights of convolutions and linear layers. Biases and normalisations do not count."""
    return strength * sum((w.square().sum() for w in _weights(network)), torch.zeros(()))


def _weights(network: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in network.parameters() if parameter.dim() > 1]


def make_optimiser(network: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """AdamW (its decay leaves out biases and normalisations), or SGD with momentum."""
    if settings.optimiser == "sgd":
        return torch.optim.SGD(network.parameters(), settings.peak_rate, momentum=settings.momentum)
    others = [parameter for parameter in network.parameters() if parameter.dim() <= 1]
    groups: list[dict[str, Any]] = [{"params": _weights(network)}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, settings.peak_rate, weight_decay=settings.weight_decay)


def make_schedule(optimiser: torch.optim.Optimizer, settings: Settings) -> torch.optim.lr_scheduler.LRScheduler:
    """The learning rate: `one_cycle` (rises, then falls), `cosine` (falls from the peak to 0) or `constant`."""
    if settings.schedule == "one_cycle":
        return torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.peak_rate, settings.steps, pct_start=0.15)
    if settings.schedule == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.steps)
    return torch.optim.lr_scheduler.ConstantLR(optimiser, 1.0, settings.steps)
