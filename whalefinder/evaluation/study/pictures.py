"""Pictures of the study as PNG bytes, drawn from rows of the ledger."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from whalefinder.evaluation.study.ledger import Row
from whalefinder.pages.page import png_of

BLUE, ORANGE, GREEN, GREY = "#0b6e99", "#ff6b35", "#6a994e", "#8a97a6"
HELD_OUT = ("validation", "test")


def values(rows: Sequence[Row], name: str) -> np.ndarray:
    """One column as numbers, `[row]`, with nan for unknown values."""
    return np.array([row[name] if isinstance(row[name], int | float) else np.nan for row in rows], float)


def draw_ladder(names: Sequence[str], rows: dict[str, list[Row]], paper: dict[str, float]) -> bytes:
    """Accuracy of every seed, their mean, and the figure of the examination paper if there is one."""
    figure = Figure(figsize=(8.5, 4), layout="constrained")
    axis = figure.subplots()
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
    """Loss over the number of independent training samples. The gap between sets of the same kind is shaded."""
    figure = Figure(figsize=(7, 4.4), layout="constrained")
    axis = figure.subplots()
    means = []
    sizes = sorted({int(row["train_images"]) for row in rows})
    for test, column, words, colour, line in (
        ("simulated", "training_loss", "training: simulated", GREY, "-"),
        ("simulated", "test_loss", "test of the same kind: simulated", BLUE, "-"),
        ("test", "test_loss", "real calls in real ships (an easier set)", ORANGE, ":"),
    ):
        chosen = [row for row in rows if row["test"] == test]
        each = [values([row for row in chosen if row["train_images"] == size], column) for size in sizes]
        means.append(np.array([np.mean(v) for v in each]))
        axis.plot(sizes, means[-1], marker="o", label=words, color=colour, linestyle=line)
        for size, found in zip(sizes, each, strict=True):
            axis.plot(np.full(len(found), size), found, ".", color=colour, alpha=0.4)
    axis.fill_between(sizes, means[0], means[1], color=BLUE, alpha=0.08, linewidth=0)
    for size, low, high in zip(sizes, means[0], means[1], strict=True):
        axis.annotate(f"{high - low:.2f}", (size, high), (0, 8), textcoords="offset points", ha="center", color=BLUE)
    axis.set(xlabel="independent training samples", ylabel="loss (nats)", xscale="log", ylim=(0, None))
    axis.set_title("figures: gap between training and test of the same kind", fontsize="medium")
    axis.set_xticks(sizes, [str(size) for size in sizes])
    axis.minorticks_off()
    axis.grid(alpha=0.25)
    axis.legend(frameon=False)
    return png_of(figure)


def by_seed(curves: Sequence[Row]) -> dict[int, list[Row]]:
    """The points of each seed's curve."""
    return {seed: [row for row in curves if row["seed"] == seed] for seed in sorted({row["seed"] for row in curves})}


def stopping_point(curve: Sequence[Row]) -> Row:
    """The point at which early stopping ends a run: that of the lowest validation loss. The test set is not used."""
    return min(curve, key=lambda row: row["validation_loss"])


def draw_epochs(curves: Sequence[Row], capacity: Sequence[Row]) -> bytes:
    """Loss over training time, and over the size of the network, with one small training set."""
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    (left, right) = figure.subplots(1, 2)
    _draw_time(left, by_seed(curves))
    names = list(dict.fromkeys(str(row["run"]) for row in capacity))
    for column, words, colour in (("training_loss", "training", GREY), ("test_loss", "test", BLUE)):
        each = [values([row for row in capacity if row["run"] == name], column) for name in names]
        right.plot(range(len(names)), [np.mean(v) for v in each], "o-", color=colour, label=f"{words}, mean of seeds")
        for place, found in enumerate(each):
            right.plot(np.full(len(found), place), found, ".", color=colour, alpha=0.4)
    right.set_xticks(range(len(names)), names)
    right.set(xlabel="channels of the stages", ylabel="loss (nats)", ylim=(0, None), title="capacity")
    for axis in (left, right):
        axis.grid(alpha=0.25)
        axis.legend(frameon=False)
    return png_of(figure)


def _draw_time(axis: Axes, curves: dict[int, list[Row]]) -> None:
    epochs = values(next(iter(curves.values())), "epoch")
    for name, colour in zip(("training", *HELD_OUT), (GREY, GREEN, BLUE), strict=True):
        each = np.array([values(rows, f"{name}_loss") for rows in curves.values()])
        axis.plot(epochs, each.T, color=colour, linewidth=0.7, alpha=0.35)
        axis.plot(epochs, each.mean(0), color=colour, linewidth=2.2, label=f"{name}, mean of seeds")
    stops = [stopping_point(rows) for rows in curves.values()]
    axis.plot(
        values(stops, "epoch"), values(stops, "test_loss"), "o", color=ORANGE, label="early stopping: lowest validation"
    )
    axis.axvline(float(np.median(values(stops, "epoch"))), color=ORANGE, linewidth=1, linestyle="--")
    # The axis fits the later part of the curves, since the losses of the first steps are far higher.
    late = [values(rows[len(rows) // 2 :], f"{name}_loss").max() for rows in curves.values() for name in HELD_OUT]
    axis.set(xlabel="epochs", ylabel="loss (nats)", xlim=(0, None), ylim=(0, 1.3 * max(late)), title="training time")


def draw_imbalance(rows: Sequence[Row], ratios: Sequence[int], methods: Sequence[str]) -> bytes:
    """F1 on the balanced test set by ratio and method, at 0.5 and at the threshold chosen on the validation set."""
    figure = Figure(figsize=(10.5, 3.8), layout="constrained")
    axes = figure.subplots(1, len(ratios), sharey=True)
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
