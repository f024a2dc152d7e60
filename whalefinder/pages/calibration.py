"""The picture of a calibration: how the places moved, with ellipses, the misfits before and after, and the directions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Ellipse
from numpy.typing import NDArray

from whalefinder.array.geometry import Floats
from whalefinder.files import writing
from whalefinder.pages.plots import CALL_COLOUR, INK, OTHER_COLOUR

SHOWN_SHARE = 0.2
"""The longest shift, or the largest error, is drawn with about this share of the size of the array."""
STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
TWO_SIGMA = 2.0


@dataclass(frozen=True, kw_only=True)
class CalibrationPlot:
    """What the picture shows.

    Shape:
        `before_m`, `shift_m` `[channel, 3]` m, `covariance` `[channel, 3, 3]` m²; of the sounds `time_s`, `azimuth_rad`,
        `before_us`, `after_us` (r.m.s. misfit, µs), `used` `[sound]`. `prior_m` is the error before, per axis.
    """

    labels: list[str]
    before_m: Floats
    shift_m: Floats
    covariance: Floats
    prior_m: float
    time_s: Floats
    azimuth_rad: Floats
    before_us: Floats
    after_us: Floats
    used: NDArray[np.bool_]
    title: str


def draw_calibration(plot: CalibrationPlot, path: Path) -> None:
    """Draw a calibration as a PNG file.

    Raises:
        OutputError: the file cannot be written.
    """
    figure = Figure(figsize=(13, 8.5), layout="constrained")
    grid = figure.add_gridspec(2, 3, height_ratios=(3, 2))
    enlarged = _enlargement(plot)
    for place, (a, b), names in ((0, (0, 1), ("east", "north")), (1, (0, 2), ("east", "up"))):
        _draw_places(figure.add_subplot(grid[0, place]), plot, a, b, names, enlarged)
    polar = figure.add_subplot(grid[0, 2], projection="polar")
    polar.set_theta_zero_location("N")  # type: ignore[attr-defined]
    polar.set_theta_direction(-1)  # type: ignore[attr-defined]
    polar.plot(plot.azimuth_rad[plot.used], plot.after_us[plot.used], "o", color=CALL_COLOUR, markersize=4, alpha=0.7)
    polar.set_title("azimuth of the sounds used, misfit after (µs)", color=INK, fontsize=10)
    _draw_misfit(figure.add_subplot(grid[1, :]), plot)
    figure.suptitle(plot.title, x=0.02, ha="left", color=INK, parse_math=False)
    with writing(path):
        figure.savefig(path, dpi=110)


def _enlargement(plot: CalibrationPlot) -> int:
    """By how much shifts and errors are enlarged: millimetres do not show beside the size of an array."""
    size = float(np.ptp(plot.before_m, axis=0).max())
    longest = max(float(np.abs(plot.shift_m).max()), TWO_SIGMA * plot.prior_m, 1e-9)
    return max((step for step in STEPS if step * longest <= SHOWN_SHARE * size), default=1)


def _draw_places(axis: Axes, plot: CalibrationPlot, a: int, b: int, names: tuple[str, str], enlarged: int) -> None:
    before = plot.before_m[:, [a, b]]
    after = before + enlarged * plot.shift_m[:, [a, b]]
    radius = TWO_SIGMA * enlarged
    for m, label in enumerate(plot.labels):
        axis.add_patch(Circle(tuple(before[m]), radius * plot.prior_m, fill=False, color=OTHER_COLOUR, linestyle=":"))
        values, vectors = np.linalg.eigh(plot.covariance[m][np.ix_([a, b], [a, b])])
        width, height = 2 * radius * np.sqrt(np.maximum(values, 0.0))
        angle = float(np.degrees(np.arctan2(vectors[1, 0], vectors[0, 0])))
        axis.add_patch(Ellipse(tuple(after[m]), width, height, angle=angle, color=CALL_COLOUR, alpha=0.3))
        axis.annotate(label, tuple(after[m]), (6, 6), textcoords="offset points", color=INK)
    axis.plot(before[:, 0], before[:, 1], "o", markerfacecolor="none", color=OTHER_COLOUR, label="before")
    axis.plot(after[:, 0], after[:, 1], "o", color=CALL_COLOUR, label="after")
    axis.set(xlabel=f"{names[0]} (m)", ylabel=f"{names[1]} (m)", aspect="equal")
    axis.set_title(f"shifts and 2 σ, {enlarged} times enlarged", color=INK, fontsize=10)
    axis.margins(0.2)
    axis.grid(alpha=0.25)
    axis.legend(frameon=False, fontsize=8)


def _draw_misfit(axis: Axes, plot: CalibrationPlot) -> None:
    axis.plot(plot.time_s, plot.before_us, "o", markerfacecolor="none", color=OTHER_COLOUR, label="before")
    axis.plot(plot.time_s[plot.used], plot.after_us[plot.used], "o", color=CALL_COLOUR, markersize=4, label="after")
    left_out = ~plot.used
    if left_out.any():
        axis.plot(plot.time_s[left_out], plot.after_us[left_out], "x", color=INK, label="left out")
    axis.set_yscale("symlog", linthresh=1.0)
    axis.set_ylim(bottom=0.0)
    axis.set(xlabel="time (s)", ylabel="misfit of the delays (µs)")
    axis.grid(alpha=0.25)
    axis.legend(frameon=False, fontsize=8)
