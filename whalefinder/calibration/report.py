"""What a calibration found, in words, tables and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whalefinder.array.geometry import Floats, angles
from whalefinder.calibration.calibrate import Calibration
from whalefinder.calibration.observed import ONE_SIDE_DEG, bearing_error_deg, coverage
from whalefinder.pages.calibration import CalibrationPlot, draw_calibration
from whalefinder.results.tables import CALIBRATION_COLUMNS, write_table
from whalefinder.words import count, rounded


def summary(found: Calibration) -> list[tuple[str, str]]:
    """(what, words) of each line of the report."""
    used = found.solution.weight > 0
    heard, gap = coverage(found.u[used])
    lines = [("sounds", f"{int(used.sum())} of {found.sounds.count} fit, from {heard}")]
    if gap > ONE_SIDE_DEG:
        lines.append(("", f"none from {gap:.0f}° of the circle; boats on the other side would tell more"))
    sides = (found.left_before_s, found.left_after_s)
    before, after = (float(np.median(_typical_us(x, found.sounds.heard)[used])) for x in sides)
    lines.append(("misfit of delays", _change(before, after, "µs") + ", median"))
    whole = used & np.isfinite(found.apart_before_deg)
    if whole.any():
        before, after = (float(np.median(x[whole])) for x in (found.apart_before_deg, found.apart_after_deg))
        lines.append(("bearings without one hydrophone", "differ by " + _change(before, after, "°") + ", median"))
    if any(found.boat):
        before, after = _from_track(found)
        lines.append(("bearings from those of the track", "differ by " + _change(before, after, "°") + ", median"))
    before, after = bearing_error_deg(found.solution)
    lines.append(("error of a bearing by the array", _change(before, after, "°") + " r.m.s., as expected"))
    for each in found.quantities:
        said = _change(each.before, each.after, each.unit)
        if not each.observed:
            said = f"not observed, {_with_unit(each.before, each.unit)}: {each.why}"
        lines.append((each.name, said))
    number, of = found.combinations
    lines.append(("in all", f"{number} of {of} independent combinations were observed"))
    return lines


def notes(found: Calibration) -> list[str]:
    """One line for each thing that was assumed, or that the user should know."""
    said = []
    if found.errors.assumed:
        values = {
            "position_error_m": found.errors.position_m,
            "timing_error_s": found.errors.timing_s,
            "sound_speed_error_m_s": found.errors.sound_speed_m_s,
        }
        assumed = ", ".join(f"{name} = {values[name]:g}" for name in found.errors.assumed)
        said.append(f"the array file does not state {assumed}, which was assumed; state what you know")
    if found.before.depth_m is None:
        said.append("the array file has no depth_m, so boats do not show the horizontal; add it")
    if found.heading_deg:
        said.append(
            f"the array was turned by {found.heading_deg:+.2f}°; the new file has heading 0 and the turned places"
        )
    unseen = [each.name for each in found.quantities if not each.observed]
    if unseen:
        said.append(f"not observed, so as in the old file: {', '.join(unseen)}")
    return said


def channel_rows(found: Calibration) -> list[tuple[str, ...]]:
    """Rows of the table of channels: how far each place moved, its delay, its gain, each ± its standard deviation."""
    solution, channels = found.solution, found.before.num_channels
    state = solution.state
    sd = np.sqrt(np.diag(solution.covariance))
    places_sd = 1e3 * sd[: 3 * channels].reshape(channels, 3)
    moved, late = 1e3 * state.shift_m, 1e6 * (state.late_s - state.late_s.mean())
    late_sd = 1e6 * sd[3 * channels : 4 * channels]
    return [
        (
            str(found.before.channels[m] + 1),
            *(f"{moved[m, axis]:+.1f} ± {places_sd[m, axis]:.1f}" for axis in range(3)),
            f"{late[m]:+.1f} ± {late_sd[m]:.1f}",
            f"{found.gain_db[m]:+.2f} ± {found.gain_sd_db[m]:.2f}",
        )
        for m in range(channels)
    ]


def _typical_us(left_s: Floats, heard: NDArray[np.bool_]) -> Floats:
    """Misfit of each sound in µs: r.m.s. over the hydrophones that heard it. `[sound, channel]` s → `[sound]`."""
    return np.asarray(1e6 * np.sqrt((left_s**2).sum(1) / np.maximum(heard.sum(1), 1)))


def _with_unit(value: float, unit: str) -> str:
    return f"{rounded(value, 2)}{'' if unit == '°' else ' '}{unit}"


def _change(before: float, after: float, unit: str) -> str:
    return f"{_with_unit(before, unit)} → {_with_unit(after, unit)}"


def _from_track(found: Calibration) -> tuple[float, float]:
    """Median difference of azimuth from that of the track, before and after, degrees."""
    aims, used = found.solution.model.aims, found.solution.weight > 0
    which = aims.with_azimuth & used
    pair = []
    for u in (found.u_before, found.u):
        off = np.angle(np.exp(1j * (angles(u[which])[0] - aims.azimuth_rad[which])))
        pair.append(float(np.degrees(np.median(np.abs(off)))))
    return pair[0], pair[1]


def rows(found: Calibration) -> list[dict[str, Any]]:
    """Rows of `calibration.csv`."""
    azimuth, elevation = (np.degrees(x) for x in angles(found.u))
    before, after = (_typical_us(x, found.sounds.heard) for x in (found.left_before_s, found.left_after_s))
    return [
        {
            "recording": found.sounds.recording[k],
            "time_s": round(float(found.sounds.own_s[k]), 2),
            "boat": found.boat[k],
            "azimuth_deg": round(float(azimuth[k]), 2),
            "elevation_deg": round(float(elevation[k]), 2),
            "before_us": round(float(before[k]), 2),
            "after_us": round(float(after[k]), 2),
            "p": float(f"{found.solution.p[k]:.2g}"),
            "used": int(found.solution.weight[k] > 0),
        }
        for k in range(found.sounds.count)
    ]


def write_rows(found: Calibration, path: Path) -> None:
    """Write `calibration.csv`.

    Raises:
        OutputError: it cannot be written.
    """
    write_table(path, CALIBRATION_COLUMNS, rows(found))


def draw(found: Calibration, path: Path) -> None:
    """Draw places, residuals and directions as a PNG file.

    Raises:
        OutputError: it cannot be written.
    """
    channels = found.before.num_channels
    table = rows(found)
    covariance = found.solution.covariance[: 3 * channels, : 3 * channels].reshape(channels, 3, channels, 3)
    unseen = [each.name for each in found.quantities if not each.observed]
    plot = CalibrationPlot(
        labels=[str(channel + 1) for channel in found.before.channels],
        before_m=found.before.positions_m,
        shift_m=found.solution.state.shift_m,
        covariance=np.stack([covariance[m, :, m] for m in range(channels)]),
        prior_m=found.errors.position_m,
        time_s=found.sounds.time_s,
        azimuth_rad=np.radians([row["azimuth_deg"] for row in table]),
        before_us=np.array([row["before_us"] for row in table]),
        after_us=np.array([row["after_us"] for row in table]),
        used=found.solution.weight > 0,
        title=f"{found.before.name}: {count(found.solution.used, 'sound')}; not observed: {', '.join(unseen) or 'nothing'}",
    )
    draw_calibration(plot, path)
