"""Pictures: recordings with calls, tracks, an array and its health, a training curve, a heat map."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, NullFormatter

from whalefinder.array.geometry import Floats, HydrophoneArray
from whalefinder.array.limit import TypicalCall, expected_error_deg
from whalefinder.files import writing
from whalefinder.results.records import Detection, Track
from whalefinder.sound.spectrogram import BIN_HZ, FIRST_BIN, FRAME_S, NUM_BINS
from whalefinder.words import count

MAX_COLUMNS = 2400  # of the spectrogram in a picture
SEEN_KHZ = (FIRST_BIN * BIN_HZ / 1e3, (FIRST_BIN + NUM_BINS) * BIN_HZ / 1e3)  # lowest and highest frequency
LEAST_ELEVATION_SPAN_DEG = 10.0  # the axis of elevation shows at least this many degrees
Box = tuple[float, float, float, float]
INK, CALL_COLOUR, OTHER_COLOUR = "#1b2a3a", "#ff6b35", "#8a97a6"


class Picture:
    """The picture of a recording. It collects the spectrogram piece by piece, in at most `MAX_COLUMNS` columns.

    Args:
        duration_s: length of the recording, or of its part.
        begin_s: where in the recording the part begins.
        holes_s: begin and end of each stretch that is not the sea's sound; it is hatched. They may be added until it is saved.
    """

    def __init__(self, duration_s: float, begin_s: float = 0.0) -> None:
        self.holes_s: list[tuple[float, float]] = []
        frames = max(1, int(np.ceil(duration_s / FRAME_S)) + 2)
        self.per_column = max(1, int(np.ceil(frames / MAX_COLUMNS)))
        columns = int(np.ceil(frames / self.per_column))
        self.level_db = np.full((NUM_BINS, columns), np.nan, np.float32)
        self.call_share = np.zeros((NUM_BINS, columns), np.float32)
        self.begin_s, self.duration_s = begin_s, duration_s

    def add(self, first_frame: int, level_db: Floats, call_share: Floats) -> None:
        """Add frames from `first_frame` of the part on. Each column keeps the highest level and call share in it.

        Shape:
            level_db (dB) and call_share `[frequency, frame]`.
        """
        columns = (first_frame + np.arange(level_db.shape[1])) // self.per_column
        starts = np.flatnonzero(np.diff(columns, prepend=-1))
        if not len(starts):
            return
        target = np.minimum(columns[starts], self.level_db.shape[1] - 1)
        level = np.maximum.reduceat(level_db, starts, axis=1)
        share = np.maximum.reduceat(call_share, starts, axis=1)
        self.level_db[:, target] = np.fmax(self.level_db[:, target], level)
        self.call_share[:, target] = np.maximum(self.call_share[:, target], share)

    def save(self, path: Path, title: str, detections: list[Detection], with_bearing: bool) -> None:
        """Write `figure` as a PNG file.

        Raises:
            OutputError: it cannot be written.
        """
        _save(self.figure(title, detections, with_bearing), path)

    def figure(self, title: str, detections: list[Detection], with_bearing: bool) -> Figure:
        """The spectrogram with outlines of the calls, and below it azimuth and elevation over time with error bars."""
        rows = 3 if with_bearing else 1
        height = 3.6 + 2.2 * (rows - 1)
        figure = Figure(figsize=(12, height))
        # Margins in inches. A layout engine would draw everything twice, which is a third of the time of a picture.
        grid = figure.add_gridspec(
            rows, 2, height_ratios=[2.2, 1, 1][:rows], width_ratios=[60, 1], wspace=0.02, hspace=0.08,
            left=0.06, right=0.94, bottom=0.55 / height, top=1 - 0.35 / height,
        )  # fmt: skip
        axes = [figure.add_subplot(grid[0, 0])]
        image = self.draw_on(axes[0], title, detections)
        figure.colorbar(image, cax=figure.add_subplot(grid[:, 1]), label="level (dB re full scale)")
        if with_bearing:
            axes += [figure.add_subplot(grid[row, 0], sharex=axes[0]) for row in (1, 2)]
            _draw_angles(axes[1], detections, "azimuth_deg", "azimuth_sd_deg", "azimuth (° from north)")
            _draw_angles(axes[2], detections, "elevation_deg", "elevation_sd_deg", "elevation (°)")
            _draw_compass_ticks(axes[1])
            _widen(axes[2], LEAST_ELEVATION_SPAN_DEG)
        for axis in axes[:-1]:
            axis.tick_params(labelbottom=False)
        axes[-1].set_xlabel("time (s)")
        axes[-1].set_xlim(self.begin_s, self.begin_s + self.duration_s)
        return figure

    def draw_on(self, axis: Axes, title: str, detections: list[Detection]) -> AxesImage:
        """Draw the spectrogram, outlines of the calls and a box around every detection. → image for the colour bar."""
        end_s = self.begin_s + self.level_db.shape[1] * self.per_column * FRAME_S
        extent = (self.begin_s, end_s, *SEEN_KHZ)
        seen = self.level_db[np.isfinite(self.level_db)]
        low, high = np.percentile(seen, [5, 99.7]) if seen.size else (-100, 0)
        image = axis.imshow(
            self.level_db, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=low, vmax=high
        )
        if (self.call_share > 0.5).any():
            axis.contour(self.call_share, [0.5], extent=extent, colors="#7ce0ff", linewidths=0.6)
        for call in detections:
            colour = CALL_COLOUR if call.is_call else OTHER_COLOUR
            box = Rectangle(
                (call.begin_s, call.low_hz / 1e3),
                call.end_s - call.begin_s,
                (call.high_hz - call.low_hz) / 1e3,
                fill=False,
                edgecolor=colour,
                linewidth=1.4,
            )
            axis.add_patch(box)
        for begin_s, end_s in self.holes_s:
            axis.axvspan(begin_s, end_s, facecolor="#808080", edgecolor="white", hatch="//", alpha=0.7, linewidth=0.5)
        axis.set_ylim(SEEN_KHZ)  # a box may begin below the lowest frequency
        calls = sum(call.is_call for call in detections)
        axis.set_title(f"{title}: {count(calls, 'call')}", loc="left", color=INK, parse_math=False)
        axis.set_ylabel("frequency (kHz)")
        return image


def _save(figure: Figure, path: Path) -> None:
    # Figures are made without pyplot, so the backend of a notebook does not change. Spectrograms hardly compress: a
    # higher level takes three times as long and makes the file only a tenth smaller.
    with writing(path):
        figure.savefig(path, dpi=110, pil_kwargs={"compress_level": 2})


def _draw_angles(axis: Axes, detections: list[Detection], name: str, error: str, label: str) -> None:
    with_angle = [d for d in detections if d.bearing is not None and getattr(d.bearing, name) is not None]
    for detection in with_angle:
        colour = CALL_COLOUR if detection.is_call else OTHER_COLOUR
        middle = (detection.begin_s + detection.end_s) / 2
        sd = getattr(detection.bearing, error) or 0.0
        axis.errorbar(middle, getattr(detection.bearing, name), yerr=sd, fmt="o", color=colour, markersize=4, capsize=3)
    axis.set_ylabel(label)
    axis.grid(alpha=0.25)


def _draw_compass_ticks(axis: Axes) -> None:
    axis.set_ylim(0, 360)
    axis.set_yticks([0, 90, 180, 270, 360], ["N", "E", "S", "W", "N"])


def _widen(axis: Axes, least_span: float) -> None:
    """Show at least this span. Otherwise the axis would zoom in on rounding errors if all values are nearly equal."""
    low, high = axis.get_ylim()
    if high - low < least_span:
        middle = (low + high) / 2
        axis.set_ylim(middle - least_span / 2, middle + least_span / 2)


def draw_tracks(tracks: list[Track], detections: list[Detection], path: Path, title: str) -> None:
    """Draw tracks as a PNG file: a polar plot (north up, straight down in the middle), and the angles over time.

    Calls are points. Tracks are lines with bands of two standard deviations.

    Raises:
        OutputError: the file cannot be written.
    """
    figure = Figure(figsize=(12, 5.2), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[1, 1.5])  # type: ignore[misc]
    polar = left.add_subplot(projection="polar")
    polar.set_theta_zero_location("N")
    polar.set_theta_direction(-1)
    azimuth, elevation = right.subplots(2, 1, sharex=True)
    colours = matplotlib.colormaps["tab10"]
    in_tracks = {k for track in tracks for k in track.fixes}
    rest = [d for k, d in enumerate(detections) if k not in in_tracks and d.is_call]
    _draw_calls(polar, azimuth, elevation, rest, OTHER_COLOUR)
    lowest = -20.0
    for track in tracks:
        colour = colours((track.number - 1) % 10)
        _draw_calls(polar, azimuth, elevation, [detections[k] for k in track.fixes], colour)
        polar.plot(np.radians(track.azimuth_deg), 90 + track.elevation_deg, color=colour, linewidth=1.6)
        _draw_band(azimuth, track.time_s, broken_at_north(track.azimuth_deg), track.azimuth_sd_deg, colour)
        _draw_band(
            elevation, track.time_s, track.elevation_deg, track.elevation_sd_deg, colour, f"track {track.number}"
        )
        lowest = min(lowest, float(track.elevation_deg.min()) - 5)
    polar.set_rlim(0, 95)
    polar.set_rgrids([30, 60, 90], ["-60°", "-30°", "0°"], color=OTHER_COLOUR)
    polar.set_xticks(np.radians([0, 90, 180, 270]), ["N", "E", "S", "W"])
    azimuth.set(ylabel="azimuth (° from north)")
    _draw_compass_ticks(azimuth)
    elevation.set(ylabel="elevation (°)", xlabel="time (s)", ylim=(max(-92.0, lowest), 10))
    elevation.legend(frameon=False, ncols=5, fontsize="small")
    for axis in (azimuth, elevation):
        axis.grid(alpha=0.25)
    figure.suptitle(f"{title}: {count(len(tracks), 'track')}", x=0.02, ha="left", color=INK, parse_math=False)
    _save(figure, path)


def broken_at_north(azimuth_deg: Floats) -> Floats:
    """Azimuths with NaN where they jump between 360° and 0°, so that no line crosses the plot. `[time]` → `[time]`."""
    return np.where(np.append(np.abs(np.diff(azimuth_deg)) > 180, False), np.nan, azimuth_deg)


def _draw_band(axis: Axes, time_s: Floats, value: Floats, sd: Floats, colour: Any, label: str | None = None) -> None:
    axis.plot(time_s, value, color=colour, linewidth=1.6, label=label)
    axis.fill_between(time_s, value - 2 * sd, value + 2 * sd, color=colour, alpha=0.2, linewidth=0)


def _draw_calls(polar: Axes, azimuth: Axes, elevation: Axes, calls: list[Detection], colour: Any) -> None:
    rows = [(d.end_s, d.azimuth_deg, d.elevation_deg) for d in calls if d.azimuth_deg is not None]
    time, az, el = np.array(rows, float).reshape(-1, 3).T  # an unknown elevation becomes NaN and is not drawn
    for axis, x, y in ((azimuth, time, az), (elevation, time, el), (polar, np.radians(az), 90 + el)):
        axis.plot(x, y, "o", color=colour, markersize=4, alpha=0.7)


def draw_array(array: HydrophoneArray, path: Path) -> None:
    """Write `array_figure` as a PNG file.

    Raises:
        OutputError: it cannot be written.
    """
    _save(array_figure(array), path)


def array_figure(array: HydrophoneArray) -> Figure:
    """The hydrophones from above and from the side, and the expected error of a typical call over azimuth."""
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    axes = figure.subplots(1, 3)
    for axis, (a, b), names in zip(axes, ((0, 1), (0, 2)), (("east", "north"), ("east", "up")), strict=False):
        _draw_phones(axis, array, a, b, names)
    _draw_expected_error(axes[2], array)
    figure.suptitle(
        f"{array.name}: {array.num_channels} hydrophones, {array.shape}", x=0.02, ha="left", color=INK, parse_math=False
    )
    return figure


def _draw_expected_error(axis: Axes, array: HydrophoneArray) -> None:
    if array.shape == "line":
        axis.text(0.5, 0.5, "a line knows only\nthe angle from its axis", ha="center", va="center", color=INK)
        axis.set_axis_off()
        return
    azimuth = np.arange(0, 360, 3)
    lowest, highest = 90.0, 0.0
    for elevation, colour in ((-2, "#0b6e99"), (-20, "#ff6b35"), (-60, "#6a994e")):
        errors = [expected_error_deg(array, float(az), float(elevation), TypicalCall()) for az in azimuth]
        lowest, highest = min(lowest, *errors), min(90.0, max(highest, *errors))
        axis.plot(azimuth, np.minimum(errors, 90), color=colour, label=f"elevation {elevation}°")
    axis.set(xlabel="azimuth (° from north)", ylabel="expected error (°)", yscale="log", title="typical call, SNR 0 dB")
    axis.set_ylim(lowest / 3, highest * 3)  # at least a decade, so that rounding errors do not show
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.set_xticks([0, 90, 180, 270, 360], ["N", "E", "S", "W", "N"])
    axis.grid(alpha=0.25, which="both")
    axis.legend(frameon=False)


def _draw_phones(axis: Axes, array: HydrophoneArray, a: int, b: int, names: tuple[str, str]) -> None:
    positions: Floats = array.positions_m
    axis.scatter(positions[:, a], positions[:, b], s=60, color=CALL_COLOUR, zorder=3)
    for place, channels in _places(array, a, b):
        label = ", ".join(str(channel + 1) for channel in channels)
        axis.annotate(label, (place[0], place[1]), (6, 6), textcoords="offset points", color=INK)
    reach, middle = 0.6 * array.aperture_m, (positions.max(axis=0) + positions.min(axis=0)) / 2
    axis.set(
        xlim=(middle[a] - reach, middle[a] + reach),
        ylim=(middle[b] - reach, middle[b] + reach),
        xlabel=f"{names[0]} (m)",
        ylabel=f"{names[1]} (m)",
        aspect="equal",
    )
    axis.grid(alpha=0.25)


def _places(array: HydrophoneArray, a: int, b: int) -> list[tuple[Floats, list[int]]]:
    """Places of hydrophones in one view, each with the channels that are (nearly) at this place in the view."""
    places: list[tuple[Floats, list[int]]] = []
    for channel, position in zip(array.channels, array.positions_m[:, [a, b]], strict=True):
        near = [channels for place, channels in places if np.linalg.norm(place - position) < 0.08 * array.aperture_m]
        if near:
            near[0].append(channel)
        else:
            places.append((position, [channel]))
    return places


@dataclass(frozen=True, kw_only=True)
class HealthPlot:
    """What the picture of an array's health shows.

    Shape:
        `time_s` `[second]`, `level_db` `[second, channel]`; of the seconds with a clear sound `window_s` `[window]`, `gains` and
        `rest_s` (delays less those of the best direction, s) `[window, channel]`.
    """

    labels: list[str]
    time_s: Floats
    level_db: Floats
    window_s: Floats
    gains: Floats
    rest_s: Floats
    lines: list[str]


def draw_health(plot: HealthPlot, path: Path, title: str) -> None:
    """Draw levels, gains and delays of all channels over time, with the findings above, as a PNG file.

    Raises:
        OutputError: the file cannot be written.
    """
    figure = Figure(figsize=(10, 7.0 + 0.22 * len(plot.lines)), layout="constrained")
    level, gain, delay = figure.subplots(3, 1, sharex=True)
    said = "\n".join(plot.lines) if plot.lines else "nothing is wrong, as far as the sound tells"
    level.set_title(f"{title}\n{said}", loc="left", color=INK, parse_math=False, fontsize=10)
    for m, label in enumerate(plot.labels):
        shown: Any = {"color": f"C{m % 10}", "label": label}
        level.plot(plot.time_s, plot.level_db[:, m], linewidth=1.0, **shown)
        inverted = plot.gains[:, m] < 0
        db = 20 * np.log10(np.maximum(np.abs(plot.gains[:, m]), 1e-3))
        gain.plot(plot.window_s[~inverted], db[~inverted], "o", markersize=4, **shown)
        gain.plot(plot.window_s[inverted], db[inverted], "x", markersize=7, color=shown["color"])
        delay.plot(plot.window_s, plot.rest_s[:, m] * 1e6, "o", markersize=4, **shown)
    level.set_ylabel("level (dB re full scale)")
    gain.set_ylabel("gain (dB)\n× is inverted")
    delay.set(ylabel="delay less that of\nthe best direction (µs)", xlabel="time (s)")
    delay.set_yscale("symlog", linthresh=20.0)
    for axis in (level, gain, delay):
        axis.grid(alpha=0.25)
    level.legend(title="channel", ncols=min(8, len(plot.labels)), loc="lower right", fontsize=8)
    _save(figure, path)


def draw_curve(curve: Path, path: Path, ylabel: str = "divergence (nats per bin)") -> None:
    """Draw training and validation loss over steps as a PNG file, from `curve.csv`.

    Raises:
        OutputError: the file cannot be written.
    """
    with curve.open(newline="") as file:
        rows = list(csv.DictReader(file))
    figure = Figure(figsize=(7, 4), layout="constrained")
    axis = figure.subplots()
    for name in rows[0]:
        if name != "step":
            axis.plot(
                [int(r["step"]) for r in rows],
                [float(r[name]) for r in rows],
                marker="o",
                markersize=3,
                label=name.replace("_", " "),
            )
    positive = min(float(value) for row in rows for name, value in row.items() if name != "step") > 0
    axis.set(xlabel="step", ylabel=ylabel, yscale="log" if positive else "linear")
    axis.grid(alpha=0.25, which="both")
    axis.legend(frameon=False)
    _save(figure, path)


def draw_occlusion(
    level_db: Floats,
    loss: Floats,
    first_frame: int,
    path: Path,
    title: str,
    event: Box | None = None,
    unit: str = "confidence",
    full_colour: float = 0.1,
) -> None:
    """Draw a heat map over a spectrogram as a PNG file. Places without a loss have no colour, so the sound can be seen.

    Args:
        level_db: spectrogram `[frequency, frame]` of the frames of the map, dB.
        loss: the map `[frequency, frame]`.
        first_frame: index in the recording of the first frame.
        path: the PNG file.
        title: title of the picture.
        event: (begin s, end s, low Hz, high Hz) of a box around the event.
        unit: name of the values of the map, for its colour bar.
        full_colour: the colour scale ends at the largest loss, but at least at this value. So tiny losses stay pale.

    Raises:
        OutputError: the file cannot be written.
    """
    begin = (first_frame - 0.5) * FRAME_S
    low_khz = (FIRST_BIN - 0.5) * BIN_HZ / 1e3
    extent = (begin, begin + level_db.shape[1] * FRAME_S, low_khz, low_khz + NUM_BINS * BIN_HZ / 1e3)
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    axis = figure.subplots()
    bottom, top = np.percentile(level_db, [5, 99.7])
    shown: Any = {"origin": "lower", "aspect": "auto", "extent": extent}
    grey = axis.imshow(level_db, cmap="gray_r", vmin=bottom, vmax=max(top, bottom + 1), **shown)
    reach = max(float(np.abs(loss).max()), full_colour)
    opacity = np.clip(np.abs(loss) / reach * 1.2, 0, 0.75)
    warm = axis.imshow(loss, cmap="RdBu_r", vmin=-reach, vmax=reach, alpha=opacity, **shown)
    figure.colorbar(warm, ax=axis, pad=0.01, label=f"loss of {unit} when covered")
    figure.colorbar(grey, ax=axis, pad=0.01, label="level (dB re full scale)")
    if event is not None:
        corner, size = (event[0], event[2] / 1e3), (event[1] - event[0], (event[3] - event[2]) / 1e3)
        axis.add_patch(Rectangle(corner, *size, fill=False, edgecolor=CALL_COLOUR, linewidth=1.4))
    axis.set(xlabel="time (s)", ylabel="frequency (kHz)")
    axis.set_title(title, loc="left", color=INK, parse_math=False)
    _save(figure, path)
