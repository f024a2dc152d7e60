"""`python -m bench.paper` draws the pictures of docs/paper.md that no other benchmark draws."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from whalefinder.training.losses import AzimuthLoss, azimuth_label

DOCS = Path(__file__).parent.parent / "docs"
TRUTH_DEG = 10.0
KAPPA = 10.0
Floats = NDArray[np.float64]
Loss = Callable[[Floats, float], Floats]
"""Predicted labels `[prediction]` and one true label → loss of each prediction."""

PLAIN, CYCLIC, HANDWRITTEN, TRUE_COLOUR = "#ff6b35", "#0b6e99", "#8a5fbf", "#8a97a6"


def plain(p: Floats, l: float) -> Floats:
    """Squared error of the label."""
    return (p - l) ** 2


def cyclic(p: Floats, l: float) -> Floats:
    """`AzimuthLoss` of each prediction."""
    loss, label = AzimuthLoss(), np.array([[l]])
    return np.array([float(loss(np.array([[one]]), label)) for one in p])


def handwritten(p: Floats, l: float, turn: float = 1.0) -> Floats:
    """1 - exp(κ cos(turn · (l - p))). The handwritten answer forgot the factor `turn` = 2π."""
    return 1 - np.exp(KAPPA * np.cos(turn * (l - p)))


def gradient(loss: Loss, p: Floats, l: float, step: float = 1e-6) -> Floats:
    """Gradient of a loss by its prediction, by central differences."""
    return (loss(p + step, l) - loss(p - step, l)) / (2 * step)


def draw_azimuth_losses(path: Path) -> None:
    """Draw the losses over all azimuths, their gradients, and the handwritten answer."""
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    axes = figure.subplots(1, 3)
    degrees = np.linspace(0.0, 360.0, 721)
    p, l = degrees / 360.0, azimuth_label(TRUTH_DEG)
    for loss, colour, label in ((plain, PLAIN, "squared error"), (cyclic, CYCLIC, "AzimuthLoss")):
        axes[0].plot(degrees, loss(p, l), color=colour, label=label)
        axes[1].plot(degrees, -gradient(loss, p, l), color=colour, label=label)
    axes[0].set(title="loss")
    axes[1].set(title="push on the node: up or down", ylabel="−∂L/∂p")
    axes[1].axhline(0.0, color=TRUE_COLOUR, linewidth=0.8)
    _draw_handwritten(axes[2], degrees, p)
    for axis, truth in zip(axes, (TRUTH_DEG, TRUTH_DEG, 0.0), strict=True):
        axis.axvline(truth, color=TRUE_COLOUR, linewidth=0.8, linestyle="--")
        axis.set(xlabel=f"predicted azimuth (truth {truth:g}°)", xticks=range(0, 361, 90))
        axis.grid(alpha=0.25)
    for axis in axes[1:]:
        axis.legend(frameon=False, fontsize="small")
    figure.savefig(path, dpi=110)


def _draw_handwritten(axis: Axes, degrees: Floats, p: Floats) -> None:
    axis.plot(degrees, handwritten(p, 0.0) / 1e3, color=HANDWRITTEN, label="as written")
    axis.plot(degrees, handwritten(p, 0.0, 2 * math.pi) / 1e3, color=HANDWRITTEN, linestyle=":", label="with its 2π")
    axis.set(title="handwritten: 1 − exp(κ cos(l − p))", ylabel="loss / 1000")


def main() -> None:
    """Write the pictures into docs/."""
    torch.set_num_threads(1)
    draw_azimuth_losses(DOCS / "azimuth-losses.png")


if __name__ == "__main__":
    main()
