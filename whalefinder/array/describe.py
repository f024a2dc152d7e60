"""What an array can and cannot measure: the text that `whalefinder check` prints."""

from __future__ import annotations

import math

import numpy as np

from whalefinder.array.geometry import HydrophoneArray, angles, direction
from whalefinder.array.limit import TypicalCall, expected_error_deg, geometry_covariance


def describe(array: HydrophoneArray) -> list[tuple[str, str]]:
    """Pairs of text (what, value): geometry, ambiguity, aliasing, expected error of a typical call."""
    call = TypicalCall()
    depth = "unknown" if array.depth_m is None else f"{array.depth_m:g} m"
    lines = [
        ("hydrophones", f"{array.num_channels} on channels {', '.join(str(c + 1) for c in array.channels)}"),
        ("shape", f"{array.shape}, aperture {array.aperture_m:.3g} m{_wide_words(array)}"),
        ("sound speed", f"{array.sound_speed_m_s:g} m/s"),
        ("depth", depth + _surface_words(array)),
        ("bearings", ambiguity(array)),
        (
            "aliasing",
            f"{array.aliasing_hz:.0f} Hz and above, for a pure tone and the closest pair; calls with a wide band have no such limit",
        ),
    ]
    if array.shape != "line":
        for elevation in (-2.0, -20.0, -60.0):
            errors = [expected_error_deg(array, az, elevation, call) for az in np.arange(0.0, 360.0, 10.0)]
            text = f"{np.median(errors):.2g}° median, {min(errors):.2g}° to {max(errors):.2g}° over all azimuths"
            lines.append((f"expected error at {elevation:g}°", text))
    lines.append(("typical call", f"{call.low_hz:g}-{call.high_hz:g} Hz, {call.seconds:g} s, SNR {call.snr_db:g} dB"))
    lines.append(("error of the array", _floor_words(array)))
    return lines


def ambiguity(array: HydrophoneArray) -> str:
    """One sentence that says which directions the geometry cannot tell apart."""
    _, axes = array.principal_axes()
    if array.shape == "line":
        azimuth, elevation = (float(np.degrees(a)) for a in angles(axes[0]))
        if abs(axes[0][2]) > math.cos(math.radians(10)):
            return "elevation only: a vertical line cannot tell azimuths apart"
        return (
            f"a cone about the axis (azimuth {azimuth:.0f}°, elevation {elevation:.0f}°): only the angle from the axis "
            "is known; there are two azimuths at elevation 0"
        )
    if array.shape == "plane":
        normal = axes[2]
        if abs(normal[2]) > math.cos(math.radians(5)):
            return "unique under water, because the mirror image is above a level plane; the elevation is poor near 0°"
        azimuth, elevation = (float(np.degrees(a)) for a in angles(normal))
        return (
            f"two: mirrored in the plane of the hydrophones (normal azimuth {azimuth:.0f}°, elevation {elevation:.0f}°)"
        )
    return "unique: azimuth and elevation"


def _wide_words(array: HydrophoneArray) -> str:
    """How an array is heard that is too wide for one frame."""
    if not array.is_wide:
        return ""
    late_ms = 1e3 * array.aperture_m / array.sound_speed_m_s
    return f"; sound takes {late_ms:.0f} ms across, so the channels are aligned for each event, one animal at a time"


def _surface_words(array: HydrophoneArray) -> str:
    if array.depth_m is None:
        return "; give depth_m to use the surface echo and to exclude directions above the water"
    return f"; highest elevation {math.degrees(array.max_elevation_rad()):.0f}° (min_range_m {array.min_range_m:g})"


def _floor_words(array: HydrophoneArray) -> str:
    if not (array.position_error_m or array.timing_error_s or array.sound_speed_error_m_s):
        return "no errors in the array file; give position_error_m, timing_error_s, sound_speed_error_m_s (5 mm on 0.5 m is about 1°)"
    if array.shape == "line":
        return "depends on the errors in the array file"
    sums = [np.trace(geometry_covariance(array, direction(math.radians(az), -0.2))) for az in range(0, 360, 15)]
    return f"{math.degrees(math.sqrt(float(np.median(sums)))):.2g}° r.m.s. from the errors of position, timing and sound speed in the array file"
