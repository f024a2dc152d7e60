"""One run of the study: a small network of the classifier's kind, with loss and optimiser of `training.objective`.

The optimiser is stochastic gradient descent with momentum, so L2 is that of the examination paper. Images stay in
memory, so a run takes seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from whalefinder.evaluation.metrics import Counts, bootstrap, precision_recall, roc
from whalefinder.evaluation.study.examples import AS_HEARD, IMAGE, Examples
from whalefinder.networks.classifier import Classifier
from whalefinder.results.records import BOAT, ORCA
from whalefinder.training.calibration import logits_of
from whalefinder.training.loop import descents
from whalefinder.training.objective import Settings, make_optimiser, make_schedule, training_loss

WIDTHS = (16, 32, 64)
BATCH = 32
Curve = list[dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The settings of one run.

    Args:
        l2: λ of λ‖w‖² in the loss.
        dropout: share of the last features that training sets to 0.
        augment: random shifts in time, slopes over frequency and masks, new each time an image is used. They do not add
            independent samples.
        imbalance: one of `training.objective.IMBALANCE`.
        plane: `AS_HEARD` or `PER_RECORDING`.
        steps: number of batches of `BATCH` images.
        rate: peak learning rate. It falls to zero along half a cosine.
        seed: of everything random.
        widths: channels of the residual stages: the capacity of the network.
    """

    l2: float = 0.0
    dropout: float = 0.0
    augment: bool = False
    imbalance: str = "none"
    plane: int = AS_HEARD
    steps: int = 200
    rate: float = 0.03
    seed: int = 1
    widths: tuple[int, ...] = WIDTHS

    def settings(self, truth: Tensor) -> Settings:
        """The same settings for `training.objective`, for images with the labels `truth` `[image]`."""
        orcas = max(1, int(truth.sum()))
        return Settings(
            steps=self.steps,
            batch=BATCH,
            optimiser="sgd",
            schedule="cosine",
            peak_rate=self.rate,
            weight_decay=0.0,
            l2=self.l2,
            dropout=self.dropout,
            imbalance=self.imbalance,
            boat_ratio=max(1, len(truth) - orcas) / orcas,
            widths=self.widths,
            seed=self.seed,
        )


def fit(
    recipe: Recipe, train: Examples, watch: Mapping[str, Examples] | None = None, every: int = 0
) -> tuple[Classifier, Curve]:
    """Train a new network.

    Args:
        recipe: the settings.
        train: images for training.
        watch: named sets whose losses are measured every `every` steps, or None.
        every: steps between measurements.

    Returns:
        The network, and the curve: rows with `training_loss` and `<name>_loss` for each name of `watch`. All losses are
        measured without dropout and augmentation, so that they can be compared.
    """
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng([recipe.seed, 42])
    settings = recipe.settings(train.orca)
    network = Classifier(1, recipe.widths, dropout=recipe.dropout)
    optimiser = make_optimiser(network, settings)
    images, labels = train.images[:, [recipe.plane]], labels_of(train)
    order = _order(rng, train.orca.numpy(), recipe)

    def loss_at(step: int) -> Tensor:
        chosen = torch.from_numpy(order[step * BATCH : (step + 1) * BATCH])
        batch = _augmented(rng, images[chosen]) if recipe.augment else images[chosen]
        return training_loss(network, batch, labels[chosen], settings)

    curve: Curve = []
    for step, _ in descents(network, optimiser, make_schedule(optimiser, settings), loss_at, range(recipe.steps)):
        if watch and every and (step % every == 0 or step == 1):
            sets = {"training": train, **watch}
            losses = {f"{name}_loss": loss_on(network, examples, recipe) for name, examples in sets.items()}
            curve.append({"step": step, "epoch": step * BATCH / len(train), **losses})
    return network.eval(), curve


def labels_of(examples: Examples) -> Tensor:
    """Class indices `[image]`: orca or boat."""
    return torch.where(examples.orca, ORCA, BOAT)


def _order(rng: np.random.Generator, truth: np.ndarray, recipe: Recipe) -> np.ndarray:
    """Indices of all images that the run uses, epoch after epoch. The sampler draws both classes equally often."""
    needed = recipe.steps * BATCH
    if recipe.imbalance == "sampler":
        share = np.where(truth == 1, 1 / max(1, truth.sum()), 1 / max(1, (truth == 0).sum()))
        return rng.choice(len(truth), needed, p=share / share.sum())
    epochs = [rng.permutation(len(truth)) for _ in range(-(-needed // len(truth)))]
    return np.concatenate(epochs)[:needed]


def _augmented(rng: np.random.Generator, images: Tensor) -> Tensor:
    """Images with random changes that the sea or a recorder could make; the class stays the same."""
    images = images.clone()
    octaves = torch.linspace(-1, 1, IMAGE[0])[None, :, None]
    for image in images:
        image.copy_(image.roll(int(rng.integers(IMAGE[1])), -1))
        image += float(rng.normal(0, 0.5)) * octaves + float(rng.normal(0, 0.2))
        band, at = int(rng.integers(0, 10)), int(rng.integers(IMAGE[0]))
        image[:, at : at + band] = 0.0
        span, at = int(rng.integers(0, 8)), int(rng.integers(IMAGE[1]))
        image[:, :, at : at + span] = 0.0
    return images


def loss_on(network: Classifier, examples: Examples, recipe: Recipe) -> float:
    """Mean cross-entropy in nats, without dropout."""
    logits = logits_of(network, examples.images[:, [recipe.plane]])
    return float(nn.functional.cross_entropy(logits, labels_of(examples)))


def probability_on(network: Classifier, examples: Examples, recipe: Recipe) -> NDArray[np.float32]:
    """Probability of orca, `[image]`."""
    logits = logits_of(network, examples.images[:, [recipe.plane]])
    return logits.softmax(1)[:, ORCA].numpy()  # type: ignore[no-any-return]


def scores_on(network: Classifier, examples: Examples, recipe: Recipe, threshold: float = 0.5) -> dict[str, float]:
    """Scores of a run for the table: loss, scores of `metrics.Counts` at `threshold`, and areas under curves."""
    probability, truth = probability_on(network, examples, recipe), examples.orca.numpy()
    counts = Counts.of(truth, probability >= threshold)
    # Mixtures with the same call are not independent, so the bootstrap draws whole calls and ships.
    groups = [call or boat for call, boat in zip(examples.calls, examples.boats, strict=True)]
    f1 = bootstrap(lambda index: Counts.of(truth[index], probability[index] >= threshold).f1, groups, repeats=300)
    return {
        "test_loss": loss_on(network, examples, recipe),
        "accuracy": counts.accuracy,
        "recall": counts.recall,
        "specificity": counts.specificity,
        "precision": counts.precision,
        "f1": counts.f1,
        "f1_low": f1.low,
        "f1_high": f1.high,
        "average_precision": precision_recall(truth, probability).area,
        "roc_area": roc(truth, probability).area,
        "threshold": threshold,
    }
