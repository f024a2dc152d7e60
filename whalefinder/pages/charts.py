"""Charts for a page, as SVG in the text colour of the page. So they can be read on light and dark screens and on paper.

Every axis has its unit. If there are too many shapes for a browser, they are drawn as one picture inside the SVG.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
import matplotlib.dates as dates
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from whalefinder.array.geometry import Floats
from whalefinder.pages.call_clip import Cut
from whalefinder.pages.plots import SEEN_KHZ, broken_at_north

INK = "#123456"  # stands for the page's text colour, see `_svg`
CALL, QUIET = "#d9480f", "#8a97a6"
MANY = 1500  # up to this many points are drawn one by one; more are counted in cells
COMPASS = ((0, 90, 180, 270, 360), ("N", "E", "S", "W", "N"))
STYLE: Any = {
    "svg.fonttype": "none", "svg.hashsalt": "whalefinder", "font.size": 10.5, "font.family": "sans-serif",
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.facecolor": "none", "figure.facecolor": "none", "savefig.facecolor": "none",
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.7, "grid.color": QUIET, "grid.alpha": 0.25,
    "text.parse_math": False,
}  # fmt: skip


@contextmanager
def _figure(width: float, height: float, **kind: Any) -> Iterator[tuple[Figure, Axes]]:
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, figure.add_subplot(**kind)


def _svg(figure: Figure, title: str) -> str:
    """The figure as an `<svg>` element of the page, with its title for screen readers."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # The page decides the size. The proportions are in the viewBox.
    text = re.sub(r'^<svg([^>]*?) width="[^"]*"', r"<svg\1", text)
    text = re.sub(r'^<svg([^>]*?) height="[^"]*"', r"<svg\1", text)
    return text.replace("<svg", f'<svg role="img" aria-label="{html.escape(title)}"', 1)


def _time_axis(axis: Axes, dated: bool) -> None:
    if dated:
        locator = dates.AutoDateLocator(minticks=3, maxticks=8)
        axis.xaxis.set_major_locator(locator)
        axis.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
        axis.set_xlabel("time (UTC)")
    else:
        axis.set_xlabel("time (min), recordings one after the other")


def _counts(axis: Axes) -> None:
    """Whole numbers on the vertical axis, since it counts calls."""
    axis.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))


def calls_by_day(days: Sequence[str], calls: Sequence[int]) -> str:
    """Calls per day as bars, each from midnight to midnight UTC. → SVG."""
    with _figure(6.2, 2.9) as (figure, axis):
        x = np.array(days, "datetime64[D]").astype(float)
        axis.bar(x + 0.05, calls, width=0.9, align="edge", color=CALL)
        axis.set(ylabel="calls per day", ylim=(0, max(calls) * 1.1))
        _counts(axis)
        _time_axis(axis, True)
        axis.set_xlabel("day (UTC)")
        axis.set_xlim(x.min() - 0.2, x.max() + 1.2)
        axis.grid(axis="y")
        return _svg(figure, "calls per day")


def calls_by_hour(days: Sequence[str], counts: Floats, listened: np.ndarray | None) -> str:
    """Calls by day (horizontal) and hour of the day (vertical). Hours without a recording are grey. → SVG.

    Args:
        days: dates such as `2026-07-01`.
        counts: number of calls `[hour, day]`.
        listened: whether anything was recorded, `[hour, day]`, or None if unknown.
    """
    with _figure(6.2, 2.9) as (figure, axis):
        first = float(np.array(days[0], "datetime64[D]").astype(float))
        extent = (first, first + len(days), 0.0, 24.0)
        shown = np.where(counts > 0, counts, np.nan)
        if listened is not None:
            silent = np.zeros((*listened.shape, 4))
            silent[~listened] = (0.54, 0.59, 0.65, 0.25)
            axis.imshow(silent, origin="lower", aspect="auto", extent=extent, interpolation="nearest")
        image = axis.imshow(
            shown, origin="lower", aspect="auto", extent=extent, cmap=_colours(), vmin=0, interpolation="nearest"
        )
        figure.colorbar(
            image, ax=axis, pad=0.02, label="calls per hour", ticks=MaxNLocator(integer=True, min_n_ticks=1)
        )
        axis.set(ylabel="hour of day (UTC)", ylim=(0, 24), yticks=(0, 6, 12, 18, 24))
        _time_axis(axis, True)
        axis.set_xlabel("day (UTC)" + ("; grey: no recording" if listened is not None else ""))
        axis.set_xlim(extent[:2])
        return _svg(figure, "calls by hour of the day and day")


def calls_in_time(minutes: Floats, total: float) -> str:
    """Calls over time if there are no dates: bars over all recordings, one after the other. → SVG.

    `minutes` are the times of the calls, and `total` is the length of all recordings in minutes.
    """
    step = next((step for step in (0.1, 0.5, 1, 5, 10, 30) if total / step <= 60), 60)
    with _figure(6.2, 2.9) as (figure, axis):
        axis.hist(minutes, bins=np.arange(0, total + 1.5 * step, step).tolist(), color=CALL)
        axis.set(ylabel=f"calls per {step:g} min")
        _time_axis(axis, False)
        _counts(axis)
        axis.grid(axis="y")
        return _svg(figure, "calls in time")


def _colours() -> ListedColormap:
    """Colours from few to many, without the ends of the colour map, which cannot be seen on a dark or white page."""
    return ListedColormap(matplotlib.colormaps["plasma"](np.linspace(0.2, 0.92, 64)))


def rose(azimuth_deg: Floats) -> str:
    """Number of calls by azimuth `[call]` degrees, north up, clockwise. → SVG."""
    with _figure(3.6, 3.2, projection="polar") as (figure, axis):
        counts, edges = np.histogram(azimuth_deg % 360, bins=36, range=(0, 360))
        polar: Any = axis
        polar.set_theta_zero_location("N")
        polar.set_theta_direction(-1)
        # The area of a sector is proportional to the count. So the radius is its square root.
        polar.bar(
            np.radians(edges[:-1] + 5),
            np.sqrt(counts),
            width=np.radians(10),
            color=CALL,
            edgecolor="white",
            linewidth=0.4,
        )
        most = int(counts.max())
        ticks = sorted({max(1, most // 4), most})
        polar.set_rgrids(np.sqrt(ticks), [f"{tick}" for tick in ticks], angle=157.5, color=INK)
        polar.set_xticks(np.radians(range(0, 360, 45)), ["N", "NE", "E", "SE", "S", "SW", "W", "NW"])
        polar.set_xlabel("calls per 10° of azimuth (true)")
        polar.spines["polar"].set_visible(False)
        return _svg(figure, "calls by direction")


def bearings(x: Floats, azimuth_deg: Floats, sd_deg: Floats, dated: bool) -> str:
    """Azimuth of every call `[call]` over time, with one standard deviation. → SVG.

    For more than `MANY` calls it shows how many fall into each cell of time and azimuth.
    """
    with _figure(8.2, 3.4) as (figure, axis):
        if len(x) <= MANY:
            axis.errorbar(
                x, azimuth_deg, yerr=np.nan_to_num(sd_deg), fmt="o", color=CALL, ms=3, linestyle="none", elinewidth=0.7, alpha=0.75
            )  # fmt: skip
        else:
            counts, times, angles = np.histogram2d(
                x, azimuth_deg % 360, bins=(150, 36), range=((x.min(), x.max()), (0, 360))
            )
            shown = np.where(counts.T > 0, counts.T, np.nan)
            image = axis.imshow(
                shown, origin="lower", aspect="auto", extent=(times[0], times[-1], angles[0], angles[-1]), cmap=_colours(),
                vmin=0, interpolation="nearest",
            )  # fmt: skip
            width = (times[1] - times[0]) * (24 if dated else 1)
            figure.colorbar(image, ax=axis, pad=0.02, label=f"calls per 10° and {width:.2g} {'h' if dated else 'min'}")
        axis.set_ylabel("azimuth (° from true N)")
        _compass(axis)
        _time_axis(axis, dated)
        return _svg(figure, "azimuth of calls against time")


def tracks(lines: Sequence[tuple[Floats, Floats, Floats]], dated: bool) -> str:
    """Azimuth of tracks over time, with bands of two standard deviations; one (time, azimuth, sd) per track. → SVG."""
    with _figure(10.4, 3.0) as (figure, axis):
        colours = matplotlib.colormaps["tab10"]
        for number, (x, azimuth, sd) in enumerate(lines):
            value, colour = broken_at_north(azimuth), colours(number % 10)
            axis.plot(x, value, color=colour, linewidth=1.6, rasterized=len(lines) > MANY)
            if len(lines) <= 200:
                axis.fill_between(x, value - 2 * sd, value + 2 * sd, color=colour, alpha=0.2, linewidth=0)
        axis.set_ylabel("azimuth (° from true N)")
        _compass(axis)
        _time_axis(axis, dated)
        return _svg(figure, "tracks: azimuth against time")


def _compass(axis: Axes) -> None:
    axis.set_ylim(0, 360)
    axis.set_yticks(COMPASS[0], [f"{name} {degrees}°" for degrees, name in zip(*COMPASS, strict=True)])
    axis.grid(axis="y")


def histogram(values: Floats, unit: str, name: str, step: float = 2.0) -> str:
    """Histogram of levels `[call]`, with bars of `step` dB. → SVG."""
    with _figure(6.2, 2.9) as (figure, axis):
        low = np.floor(values.min() / step) * step
        axis.hist(
            values,
            bins=np.arange(low, values.max() + 2 * step, step).tolist(),
            color=CALL,
            edgecolor="white",
            linewidth=0.4,
        )
        axis.set(xlabel=f"{name} ({unit})", ylabel=f"calls per {step:g} dB")
        _counts(axis)
        axis.grid(axis="y")
        return _svg(figure, f"{name} of the calls")


def spectrogram_of(cut: Cut, begin_s: float, end_s: float, low_hz: float, high_hz: float) -> str:
    """Spectrogram of one cut with a box around the call, 50 dB from black to white. → SVG.

    The call is given by its begin and end in seconds of the recording and by its band in hertz.
    """
    with _figure(4.4, 2.4) as (figure, axis):
        extent = (cut.begin_s, cut.begin_s + cut.seconds, *SEEN_KHZ)
        top = float(np.percentile(cut.level_db, 99.8))
        axis.imshow(cut.level_db, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=top - 50, vmax=top)
        axis.add_patch(
            Rectangle(
                (begin_s, low_hz / 1e3),
                end_s - begin_s,
                (high_hz - low_hz) / 1e3,
                fill=False,
                edgecolor="#7ce0ff",
                linewidth=1,
            )
        )
        axis.set(xlabel="time in the recording (s)", ylabel="frequency (kHz)", xlim=extent[:2], ylim=SEEN_KHZ)
        axis.ticklabel_format(axis="x", useOffset=False)
        return _svg(figure, "spectrogram of the call")
