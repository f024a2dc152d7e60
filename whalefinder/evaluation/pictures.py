"""Pictures of an evaluation as PNG bytes: confusion matrix, curves, reliability, a clip with a wrong label."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from whalefinder.evaluation.metrics import Curve, Reliability
from whalefinder.pages.page import png_of
from whalefinder.pages.plots import SEEN_KHZ
from whalefinder.sound import spectrogram

COLOURS = ("#0b6e99", "#ff6b35", "#6a994e", "#8a5fbf", "#8a97a6")


def draw_confusion(table: NDArray[np.int64], classes: tuple[str, ...], title: str) -> bytes:
    """Confusion matrix: counts `[truth, predicted]`, coloured by their share of the row."""
    rows = table.sum(1, keepdims=True)
    share = table / np.maximum(rows, 1)
    figure = Figure(figsize=(4.8, 4.2), layout="constrained")
    axis = figure.subplots()
    axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(table):
        shade = "white" if share[row, column] > 0.5 else "#1b2a3a"
        axis.text(column, row, f"{count}", ha="center", va="center", color=shade)
    names = [name.replace("_", " ") for name in classes]
    axis.set_xticks(range(len(classes)), names, rotation=30, ha="right")
    axis.set_yticks(range(len(classes)), names)
    axis.set(xlabel="named", ylabel="truth")
    axis.set_title(title, loc="left", fontsize="medium")
    return png_of(figure)


def draw_curves(curves: dict[str, tuple[Curve, Curve]]) -> bytes:
    """Precision over recall, and recall over false-alarm rate, for each method, with the areas."""
    figure = Figure(figsize=(10.5, 4.4), layout="constrained")
    (left, right) = figure.subplots(1, 2)
    for (name, (precision, roc)), colour in zip(curves.items(), COLOURS, strict=False):
        left.step(precision.x, precision.y, where="post", color=colour, label=f"{name} ({precision.area:.3f})")
        right.plot(roc.x, roc.y, color=colour, label=f"{name} ({roc.area:.3f})")
    right.plot([0, 1], [0, 1], color="#c5ccd3", linestyle=":", linewidth=1)
    left.set(xlabel="recall", ylabel="precision", title="precision and recall (average precision)")
    right.set(xlabel="false-alarm rate (1 - specificity)", ylabel="recall", title="ROC (area)")
    for axis in (left, right):
        axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axis.grid(alpha=0.25)
        axis.legend(frameon=False, fontsize="small", loc="lower right" if axis is right else "lower left")
    return png_of(figure)


def draw_reliability(bins: Reliability) -> bytes:
    """Observed share of orcas over the stated probability, and the number of clips of each point."""
    figure = Figure(figsize=(4.8, 5.2), layout="constrained")
    (top, bottom) = figure.subplots(2, 1, height_ratios=[3, 1], sharex=True)
    top.plot([0, 1], [0, 1], color="#c5ccd3", linestyle=":")
    seen = bins.count > 0
    top.plot(bins.stated[seen], bins.observed[seen], "o-", color=COLOURS[0])
    top.set(ylabel="share that were orca", ylim=(-0.03, 1.03), title=f"calibration error {bins.error:.3f}")
    edges = np.linspace(0, 1, len(bins.count) + 1)
    bottom.bar((edges[:-1] + edges[1:]) / 2, bins.count, width=0.9 / len(bins.count), color="#8a97a6")
    bottom.set(xlabel="stated probability of orca", ylabel="clips", xlim=(0, 1))
    for axis in (top, bottom):
        axis.grid(alpha=0.25)
    return png_of(figure)


def draw_clip(samples: NDArray[np.float32], title: str) -> bytes:
    """Spectrogram of a clip `[time]` at `RATE_HZ`. Every frequency is relative to its median, since boats are loud."""
    power = spectrogram.power(spectrogram.stft(torch.from_numpy(samples)[None])[0])
    level = spectrogram.level_db(power)
    contrast = (level - level.median(1, keepdim=True).values).numpy()
    figure = Figure(figsize=(7.5, 2.6), layout="constrained")
    axis = figure.subplots()
    extent = (0.0, len(samples) / spectrogram.RATE_HZ, *SEEN_KHZ)
    axis.imshow(contrast, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=-5, vmax=25)
    axis.set(xlabel="time (s)", ylabel="kHz")
    axis.set_title(title, loc="left", fontsize="small", parse_math=False)
    return png_of(figure)


def draw_by_ratio(rates: dict[str, list[tuple[float, float, float, float]]], xlabel: str, ylabel: str) -> bytes:
    """Curves with intervals over a ratio in dB; for each method points (ratio, value, low, high)."""
    figure = Figure(figsize=(6, 3.8), layout="constrained")
    axis = figure.subplots()
    for (name, points), colour in zip(rates.items(), COLOURS, strict=False):
        x, y, low, high = (np.array(column) for column in zip(*points, strict=True))
        axis.plot(x, y, "o-", color=colour, label=name)
        axis.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
    axis.set(xlabel=xlabel, ylabel=ylabel, ylim=(-0.03, 1.03))
    axis.grid(alpha=0.25)
    axis.legend(frameon=False, fontsize="small")
    return png_of(figure)
