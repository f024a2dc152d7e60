"""The picture of a plan: for each array its hydrophones, and maps of error and outliers as seen from above.

The maps are stereographic: straight down is the middle, the horizon a circle round it, which gives most room to the
elevations near the horizon, where most animals are.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from PIL import Image

from whalefinder.array.geometry import Floats, HydrophoneArray
from whalefinder.files import writing
from whalefinder.pages.plots import CALL_COLOUR, INK
from whalefinder.planning.conditions import Conditions
from whalefinder.planning.sky import SkyMap
from whalefinder.words import count

DPI, PALETTE = 90, 160
ROW_INCHES, WIDTH_INCHES, HEAD_INCHES, FOOT_INCHES = 3.9, 12.0, 1.1, 1.0
LEAST_RANGE = 10.0
"""The colours of the error span at least this factor, so that rounding errors do not show."""
LEAST_SHARE = 1e-3
SHARE_LINES = (0.01, 0.1, 0.5)
PER_FACTOR = 8
"""Shades for each factor of ten."""
RINGS_DEG = (-60, -30, -10, 0, 20)
ERROR_COLOURS, SHARE_COLOURS = "YlGnBu", "YlOrRd"
QUIET = "#5b6875"
HALO = [withStroke(linewidth=2, foreground="white", alpha=0.7)]
"""Round letters that stand on dark colours."""


def draw_plan(maps: Sequence[SkyMap], path: Path) -> None:
    """Write `plan_figure` as a PNG file.

    Raises:
        OutputError: it cannot be written.
    """
    rendered = io.BytesIO()
    plan_figure(maps).savefig(rendered, dpi=DPI)
    with writing(path):
        # Few colours: a palette makes the file a third as large.
        Image.open(rendered).convert("RGB").quantize(PALETTE).save(path, format="PNG", optimize=True)


def plan_figure(maps: Sequence[SkyMap]) -> Figure:
    """One row for each array: hydrophones, map of the error, map of the share beyond 10°. All rows share the colours."""
    height = HEAD_INCHES + FOOT_INCHES + ROW_INCHES * len(maps)
    figure = Figure(figsize=(WIDTH_INCHES, height))
    grid = figure.add_gridspec(
        len(maps), 3, width_ratios=[1.0, 1.05, 1.05], left=0.01, right=0.98, top=1 - HEAD_INCHES / height,
        bottom=FOOT_INCHES / height, wspace=0.12, hspace=0.24,
    )  # fmt: skip
    error_norm, share_norm = _error_norm(maps), LogNorm(LEAST_SHARE, 1.0)
    reach = max(sky.array.aperture_m for sky in maps)
    for row, sky in enumerate(maps):
        _draw_phones(figure.add_subplot(grid[row, 0], projection="3d"), sky.array, reach)
        for column, values, norm, colours, label, lines in (
            (1, sky.error_deg, error_norm, ERROR_COLOURS, _degrees, _rounded_steps(1e-3, 90.0)),
            (2, sky.beyond, share_norm, SHARE_COLOURS, _per_cent, SHARE_LINES),
        ):
            axis = figure.add_subplot(grid[row, column], projection="polar")
            _draw_sky(axis, sky, values, norm, colours, label, lines)
            if column == 2 and sky.array.is_wide:
                axis.text(0.5, 0.5, "lobes of a wide array\nare not predicted", transform=axis.transAxes, ha="center",
                          va="center", color=INK)  # fmt: skip
    figure.text(0.02, 1 - 0.3 / height, "What to expect of bearings", color=INK, fontsize=15, weight="bold")
    figure.text(0.02, 1 - 0.58 / height, words_of(maps[0].conditions), color=QUIET, fontsize=10.5)
    _draw_scale(
        figure,
        height,
        0.36,
        error_norm,
        ERROR_COLOURS,
        "error near the true direction, 1 σ on the sphere",
        _degrees,
        (),
    )
    _draw_scale(figure, height, 0.70, share_norm, SHARE_COLOURS, "bearings more than 10° off", _per_cent, SHARE_LINES)
    return figure


def words_of(conditions: Conditions) -> str:
    """The conditions in one line."""
    call = conditions.call
    text = (
        f"Call of {call.seconds:g} s in {call.low_hz / 1e3:g}–{call.high_hz / 1e3:g} kHz, SNR {_signed(call.snr_db)} dB"
    )
    if conditions.boats_deg:
        text += f", {count(len(conditions.boats_deg), 'boat')} (▲), SIR {_signed(conditions.sir_db)} dB"
    return text + (", noise from all directions" if conditions.diffuse else "")


def _signed(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def _radius(elevation_deg: Any) -> Any:
    return np.tan(np.radians((90.0 + np.asarray(elevation_deg, float)) / 2))


def _error_norm(maps: Sequence[SkyMap]) -> LogNorm:
    values = np.concatenate([sky.error_deg.ravel() for sky in maps])
    low, high = float(values.min()), float(np.percentile(values, 98))
    middle = np.sqrt(low * high)
    low, high = min(low, middle / np.sqrt(LEAST_RANGE)), max(high, middle * np.sqrt(LEAST_RANGE))
    steps = _rounded_steps(low / 2.5, high * 2.5)
    return LogNorm(float(steps[steps <= low * 1.001].max()), min(90.0, float(steps[steps >= high * 0.999].min())))


def _rounded_steps(low: float, high: float) -> Floats:
    """The numbers 1, 2, 5 times powers of ten between two values."""
    powers = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    steps = (np.array([1.0, 2.0, 5.0]) * 10.0 ** powers[:, None]).ravel()
    return steps[(steps >= low * 0.999) & (steps <= high * 1.001)]


def _draw_phones(axis: Any, array: HydrophoneArray, reach: float) -> None:
    """The hydrophones in space. All arrays have one scale."""
    positions = array.positions_m - (array.positions_m.max(axis=0) + array.positions_m.min(axis=0)) / 2
    floor = -reach * 0.62
    for x, y, z in positions:
        axis.plot([x, x], [y, y], [floor, z], color="#b8c4cf", linewidth=1.0)
        axis.plot([x], [y], [floor], ".", color="#b8c4cf", markersize=4)
    for first in range(len(positions)):
        for second in range(first):
            axis.plot(*positions[[first, second]].T, color=INK, linewidth=0.6, alpha=0.35)
    axis.scatter(*positions.T, s=46, color=CALL_COLOUR, depthshade=False, edgecolors="white", linewidths=0.8)
    for channel, (x, y, z) in zip(array.channels, positions, strict=True):
        axis.text(x, y, z, f"  {channel + 1}", color=INK, fontsize=9)
    side = reach * 0.62
    axis.set(xlim=(-side, side), ylim=(-side, side), zlim=(floor, side))
    axis.set_box_aspect((1, 1, 1), zoom=1.15)
    axis.view_init(elev=22, azim=-62)
    axis.tick_params(labelsize=7, colors=QUIET, pad=-2)
    for each, name in ((axis.xaxis, "east (m)"), (axis.yaxis, "north (m)"), (axis.zaxis, "")):
        each.set_label_text(name, fontsize=8, color=QUIET)
        each.set_pane_color((0.96, 0.97, 0.98, 1.0))
        each.set_major_locator(matplotlib.ticker.MaxNLocator(4))
    axis.text2D(0.9, 0.89, "up (m)", transform=axis.transAxes, color=QUIET, fontsize=8, ha="right")
    words = f"{count(array.num_channels, 'hydrophone')}, {array.shape}, aperture {array.aperture_m:.3g} m"
    axis.text2D(
        0.06, 1.03, array.name, transform=axis.transAxes, color=INK, fontsize=12, weight="bold", parse_math=False
    )
    axis.text2D(0.06, 0.965, words, transform=axis.transAxes, color=QUIET, fontsize=9)


def _draw_sky(axis: Any, sky: SkyMap, values: Floats, norm: LogNorm, colours: str, label: Any, lines: Any) -> None:
    low, high = float(norm.vmin or 0), float(norm.vmax or 1)
    shown = np.clip(values, low, high)
    theta, radius = np.radians(sky.azimuth_deg), _radius(sky.elevation_deg)
    shades = np.geomspace(low, high, int(PER_FACTOR * np.log10(high / low)) + 1)
    axis.contourf(theta, radius, shown, shades, norm=norm, cmap=colours, antialiased=False)
    if values.max() > values.min() * 1.02:
        inside = [line for line in lines if low * 1.01 < line < high * 0.99]
        drawn = axis.contour(theta, radius, shown, inside, colors=INK, linewidths=0.7, alpha=0.8)
        if lines is not SHARE_LINES:
            for text in axis.clabel(drawn, fmt=label, fontsize=7.5, inline_spacing=2):
                text.set_path_effects(HALO)
    else:
        axis.text(0, 0, f"{label(float(values.mean()))}\nall over", ha="center", va="center", color=INK, fontsize=9)
    axis.set_theta_zero_location("N")
    axis.set_theta_direction(-1)
    top = float(radius[-1])
    axis.set_ylim(0, top)
    axis.set_xticks(np.radians(np.arange(0, 360, 45)), ["N", "", "E", "", "S", "", "W", ""], color=INK)
    axis.tick_params(axis="x", pad=-1)
    rings = [ring for ring in RINGS_DEG if _radius(ring) < 0.97 * top or ring == 0]
    axis.set_yticks([float(_radius(ring)) for ring in rings], [f"{_signed(ring)}°" for ring in rings])
    axis.set_rlabel_position(_free_azimuth(sky.conditions))
    axis.tick_params(axis="y", labelsize=7, colors=INK)
    for text in axis.get_yticklabels():
        text.set_path_effects(HALO)
    axis.grid(color="#7d8a97", alpha=0.35, linewidth=0.6)
    axis.spines["polar"].set_color("#7d8a97")
    axis.text(1.08, -0.03, f"median {label(_median(sky, values))}\nworst {label(values.max())}", transform=axis.transAxes,
              ha="right", va="bottom", fontsize=8, color=QUIET)  # fmt: skip
    for azimuth, elevation in sky.conditions.boats_deg:
        axis.plot(np.radians(azimuth), min(float(_radius(elevation)), top), "^", color=INK, markersize=8,
                  markeredgecolor="white", clip_on=False, zorder=5)  # fmt: skip


def _median(sky: SkyMap, values: Floats) -> float:
    """Median over the directions of the map, each counted by its solid angle."""
    area = np.broadcast_to(np.cos(np.radians(sky.elevation_deg))[:, None], values.shape)[:, :-1].ravel()
    order = np.argsort(values[:, :-1].ravel())
    half = np.searchsorted(np.cumsum(area[order]), area.sum() / 2)
    return float(values[:, :-1].ravel()[order[half]])


def _free_azimuth(conditions: Conditions) -> float:
    """The azimuth of the numbers at the rings: away from boats and from the letters N, E, S, W."""
    boats = np.array([azimuth for azimuth, _ in conditions.boats_deg] or [180.0])
    places = np.arange(22.5, 360.0, 45.0)
    apart = np.abs((places[:, None] - boats + 180) % 360 - 180).min(axis=1)
    return float(places[apart.argmax()])


def _draw_scale(
    figure: Figure, height: float, left: float, norm: LogNorm, colours: str, title: str, label: Any, lines: Any
) -> None:
    axis: Axes = figure.add_axes((left, 0.42 / height, 0.26, 0.13 / height))
    bar = figure.colorbar(matplotlib.cm.ScalarMappable(norm, colours), cax=axis, orientation="horizontal")
    ticks = _rounded_steps(float(norm.vmin or 0), float(norm.vmax or 1))
    ticks = ticks if len(ticks) < 9 else ticks[np.isclose(np.log10(ticks) % 1, 0) | np.isclose(np.log10(ticks) % 1, 1)]
    axis.xaxis.set_major_locator(FixedLocator(list(ticks)))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: label(value)))
    for line in lines:
        axis.axvline(line, color=INK, linewidth=0.8)
    bar.outline.set_visible(False)  # type: ignore[operator]
    axis.tick_params(labelsize=8.5, colors=INK, length=2)
    axis.set_title(title, fontsize=9.5, color=INK, pad=4)


def _degrees(value: float) -> str:
    return f"{value:.2g}°"


def _per_cent(share: float) -> str:
    if share < LEAST_SHARE:
        return f"below {100 * LEAST_SHARE:g} %"
    return f"{100 * share:.2g} %" if share < 0.995 else "100 %"
