"""Whether an array can exist: what is impossible is refused, what is odd is said. Sea, lake and air are allowed."""

from __future__ import annotations

import math
from collections.abc import Iterator

from whalefinder.array.geometry import HydrophoneArray
from whalefinder.errors import ArrayError

AIR_M_S = 400.0
"""Below this sound speed the array is in air (331 m/s at 0 °C, 360 m/s at 50 °C)."""
WATER_M_S = (1390.0, 1650.0)
"""Sound speed of fresh and salt water from ice to the hottest spring, and down to the deepest floor."""
SENSITIVITY_DB = (-260.0, -90.0)
"""dB re 1 V/µPa, with the gain of any preamplifier. Above it the sign is missing, or the unit is V/Pa."""
USUAL_SENSITIVITY_DB = (-220.0, -140.0)
FULL_SCALE_V = (1e-6, 1000.0)
"""Volts at the hydrophone of a full sample, from a microphone amplifier to the supply of a preamplifier."""
USUAL_FULL_SCALE_V = (1e-3, 100.0)
ABOVE_WATER_M = 0.1
"""A hydrophone may be this far above the surface, as far as waves and tape measures go."""
LARGE_SHARE = 0.25
"""An error above this share of the array, or of the time that sound takes to cross it, is odd."""
LARGE_SPEED_ERROR = 0.03
APERTURE_M = (0.01, 200.0)
NOT_NEGATIVE = ("depth_m", "position_error_m", "timing_error_s", "sound_speed_error_m_s")
POSITIVE = ("min_range_m", "full_scale_v")


def check(array: HydrophoneArray) -> HydrophoneArray:
    """The array, if it can exist.

    Raises:
        ArrayError: it cannot. One line names the entry, its value, the limit and the remedy.
    """
    for problem in _impossible(array):
        raise ArrayError(problem)
    return array


def _impossible(array: HydrophoneArray) -> Iterator[str]:
    for name in (*NOT_NEGATIVE, *POSITIVE):
        value = getattr(array, name)
        if value is not None and not (0 <= value < math.inf and (value or name in NOT_NEGATIVE)):
            yield f"{name} = {value:g} must be a number {'of 0 or more' if name in NOT_NEGATIVE else 'above 0'}; correct it"
            return
    pattern = array.file_pattern
    if pattern is not None and (pattern.count("{channel}") != 1 or "/" in pattern):
        yield (
            f"file_pattern = {pattern!r} must be the name of a file, without folder, that holds {{channel}} once, "
            "as in 'AMAR*.{channel}.*.wav'; for files of all channels leave it out"
        )
    volts = array.full_scale_v
    if volts is not None and not FULL_SCALE_V[0] <= volts <= FULL_SCALE_V[1]:
        yield (
            f"full_scale_v = {volts:g} is outside {FULL_SCALE_V[0]:g}…{FULL_SCALE_V[1]:g}; give the volts at the "
            "hydrophone that make a full sample, not counts (2.5 V are 2.5)"
        )
    wide, speed = array.aperture_m, array.sound_speed_m_s
    crossing_s = wide / speed
    if array.depth_m is not None:
        depth = array.depth_m
        if depth > 0 and speed < AIR_M_S:
            yield (
                f"depth_m = {depth:g} with sound_speed_m_s = {speed:g}, which is air (below {AIR_M_S:g}); "
                "water is about 1480 m/s, and an array in air has no depth_m"
            )
        heights = array.positions_m[:, 2] - depth
        highest = int(heights.argmax())
        if heights[highest] > ABOVE_WATER_M:
            yield (
                f"the hydrophone of channel {array.channels[highest] + 1} is {heights[highest]:.3g} m above the water: "
                f"it is {array.positions_m[highest, 2]:.3g} m above the origin, whose depth_m is {depth:g}; z_m counts "
                "upward and depth_m downward, and heading, pitch and roll turn the array; correct them"
            )
    for channel, sensitivity in zip(array.channels, array.sensitivity_db or (), strict=False):
        if not SENSITIVITY_DB[0] <= sensitivity <= SENSITIVITY_DB[1]:
            sign = "; the sign is missing" if -SENSITIVITY_DB[1] <= sensitivity <= -SENSITIVITY_DB[0] else ""
            yield (
                f"sensitivity_db = {sensitivity:g} on channel {channel + 1} is outside {SENSITIVITY_DB[0]:g}…"
                f"{SENSITIVITY_DB[1]:g}{sign}; hydrophones have about -210 to -140 dB re 1 V/µPa (a data sheet in V/Pa "
                "is 120 dB higher)"
            )
    if array.position_error_m >= wide:
        yield (
            f"position_error_m = {array.position_error_m:g} is no smaller than the array ({wide:.3g} m), so it says "
            "nothing about directions; give metres, one sigma per axis (5 mm are 0.005)"
        )
    if array.timing_error_s >= crossing_s:
        yield (
            f"timing_error_s = {array.timing_error_s:g} is no shorter than sound takes across the array "
            f"({crossing_s:.2g} s), so it says nothing about directions; give seconds, one sigma (10 µs are 0.00001)"
        )
    if array.sound_speed_error_m_s >= 0.2 * speed:
        yield (
            f"sound_speed_error_m_s = {array.sound_speed_error_m_s:g} is a fifth of the sound speed ({speed:g} m/s) or "
            "more; give one sigma, 1 to 20 m/s"
        )


def oddities(array: HydrophoneArray) -> Iterator[str]:
    """One line for each entry that can be true but is more likely a mistake."""
    wide, speed = array.aperture_m, array.sound_speed_m_s
    if speed < AIR_M_S:
        yield f"sound_speed_m_s = {speed:g} is that of air; water is about 1480"
    elif not WATER_M_S[0] <= speed <= WATER_M_S[1]:
        yield f"sound_speed_m_s = {speed:g} is neither air nor water ({WATER_M_S[0]:g} to {WATER_M_S[1]:g}); sea water is about 1480"
    if array.sensitivity_db:
        low, high = USUAL_SENSITIVITY_DB
        strange = next((s for s in array.sensitivity_db if not low <= s <= high), None)
        if strange is not None:
            yield f"sensitivity_db = {strange:g} is unusual; hydrophones have {low:g} to {high:g} dB re 1 V/µPa"
        if array.full_scale_v is None:
            yield "sensitivity_db without full_scale_v gives no levels (level_db); add full_scale_v, the volts of a full sample"
    volts = array.full_scale_v
    if volts is not None and not USUAL_FULL_SCALE_V[0] <= volts <= USUAL_FULL_SCALE_V[1]:
        yield f"full_scale_v = {volts:g} is unusual; recorders have {USUAL_FULL_SCALE_V[0]:g} to {USUAL_FULL_SCALE_V[1]:g} V (volts, not counts)"
    if array.position_error_m > LARGE_SHARE * wide:
        yield f"position_error_m = {array.position_error_m:g} is large for an array of {wide:.3g} m; directions will be vague"
    if array.timing_error_s > LARGE_SHARE * wide / speed:
        yield (
            f"timing_error_s = {array.timing_error_s:g} is large: sound takes {wide / speed:.2g} s across the array; "
            "directions will be vague"
        )
    if array.sound_speed_error_m_s > LARGE_SPEED_ERROR * speed:
        yield f"sound_speed_error_m_s = {array.sound_speed_error_m_s:g} is large; 1 to 20 m/s are usual"
    if not APERTURE_M[0] <= wide <= APERTURE_M[1]:
        yield f"the hydrophones are {wide:.3g} m apart ({APERTURE_M[0]:g} to {APERTURE_M[1]:g} m are usual); are x_m, y_m, z_m in metres?"
