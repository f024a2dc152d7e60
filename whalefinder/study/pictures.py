"""Pictures of the study. Each takes rows of the ledger. → PNG bytes."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from whalefinder.page import png_of
from whalefinder.study.ledger import Row

BLUE, ORANGE, GREEN, GREY = "#0b6e99", "#ff6b35", "#6a994e", "#8a97a6"


def values(rows: Sequence[Row], name: str) -> np.ndarray:
    """One column as numbers, `[row]`; what is unknown is nan."""
    return np.array([row[name] if isinstance(row[name], int | float) else np.nan for row in rows], float)


def draw_ladder(names: Sequence[str], rows: dict[str, list[Row]], paper: dict[str, float]) -> bytes:
    """Accuracy of every seed, their mean, and what the paper says where it says something."""
    figure, axis = plt.subplots(figsize=(8.5, 4), layout="constrained")
    for place, name in enumerate(names):
        accuracy = values(rows[name], "accuracy")
        axis.bar(place, accuracy.mean() if len(accuracy) else 0, color=BLUE, alpha=0.35, width=0.6)
        axis.plot(np.full(len(accuracy), place), accuracy, "o", color=BLUE, markersize=5)
        if name in paper:
            axis.plot([place - 0.38, place + 0.38], [paper[name]] * 2, color=ORANGE, linewidth=2.5)
            axis.annotate(
                f"paper {paper[name]:.0%}",
                (place, paper[name]),
                (0, 4),
                textcoords="offset points",
                ha="center",
                color=ORANGE,
            )
    axis.set_xticks(range(len(names)), [name.replace(" by", "\nby") for name in names], rotation=15, ha="right")
    axis.set(ylabel="accuracy on the test set", ylim=(0.45, 1.02))
    axis.grid(alpha=0.25, axis="y")
    return png_of(figure)


def draw_samples(rows: Sequence[Row]) -> bytes:
    """Loss against the number of independent training samples."""
    figure, axis = plt.subplots(figsize=(6.5, 4.2), layout="constrained")
    for test, column, words, colour in (
        ("simulated", "training_loss", "training", GREY),
        ("simulated", "test_loss", "test, same kind", BLUE),
        ("test", "test_loss", "test, real calls in real ships", ORANGE),
    ):
        chosen = [row for row in rows if row["test"] == test]
        sizes = sorted({int(row["train_images"]) for row in chosen})
        each = [values([row for row in chosen if row["train_images"] == size], column) for size in sizes]
        axis.plot(sizes, [np.mean(v) for v in each], "o-", color=colour, label=words)
        for size, found in zip(sizes, each, strict=True):
            axis.plot(np.full(len(found), size), found, ".", color=colour, alpha=0.5)
    axis.set(xlabel="independent training samples", ylabel="loss (nats)", xscale="log")
    axis.set_xticks(sizes, [str(size) for size in sizes])
    axis.minorticks_off()
    axis.grid(alpha=0.25)
    axis.legend(frameon=False)
    return png_of(figure)


def draw_epochs(curves: Sequence[Row], capacity: Sequence[Row]) -> bytes:
    """Loss against training time, and against the size of the network, on one small training set."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.2), layout="constrained")
    for seed in sorted({row["seed"] for row in curves}):
        rows = [row for row in curves if row["seed"] == seed]
        for column, label, colour in (("training_loss", "training", GREY), ("test_loss", "test", BLUE)):
            left.plot(values(rows, "epoch"), values(rows, column), color=colour, label=label if seed == 1 else None)
    names = list(dict.fromkeys(str(row["run"]) for row in capacity))
    for column, words, colour in (("training_loss", "training", GREY), ("test_loss", "test", BLUE)):
        each = [values([row for row in capacity if row["run"] == name], column) for name in names]
        right.plot(range(len(names)), [np.mean(v) for v in each], "o-", color=colour, label=words)
    right.set_xticks(range(len(names)), names)
    left.set(xlabel="epochs", ylabel="loss (nats)", yscale="log", title="training time")
    right.set(xlabel="channels of the stages", ylabel="loss (nats)", yscale="log", title="capacity")
    for axis in (left, right):
        axis.grid(alpha=0.25, which="both")
        axis.legend(frameon=False)
    return png_of(figure)


def draw_imbalance(rows: Sequence[Row], ratios: Sequence[int], methods: Sequence[str]) -> bytes:
    """F1 on the balanced test set by ratio and method: at 0.5, and with the threshold chosen on validation."""
    figure, axes = plt.subplots(1, len(ratios), figsize=(10.5, 3.8), sharey=True, layout="constrained")
    for axis, ratio in zip(axes, ratios, strict=True):
        for place, method in enumerate(methods):
            for shift, test, colour in ((-0.17, "test", GREY), (0.17, "test, chosen threshold", BLUE)):
                found = values([r for r in rows if r["run"] == f"1:{ratio}, {method}" and r["test"] == test], "f1")
                label = {"test": "at 0.5"}.get(test, "threshold chosen") if place == 0 and ratio == ratios[0] else None
                axis.bar(
                    place + shift, found.mean() if len(found) else 0, width=0.32, color=colour, alpha=0.5, label=label
                )
                axis.plot(np.full(len(found), place + shift), found, ".", color=colour)
        axis.set_xticks(range(len(methods)), methods)
        axis.set_title(f"orca : boat = 1 : {ratio}", fontsize="medium")
        axis.grid(alpha=0.25, axis="y")
    axes[0].set(ylabel="F1 on the test set", ylim=(0, 1.02))
    axes[0].legend(frameon=False, loc="lower left")
    return png_of(figure)
