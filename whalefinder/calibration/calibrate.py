"""Calibration of an array by the boats that pass it: from recordings to a better array, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from whalefinder.array.geometry import Floats, HydrophoneArray, angles
from whalefinder.calibration.boats import Boat
from whalefinder.calibration.match import match
from whalefinder.calibration.observed import (
    Quantity,
    combinations,
    file_errors,
    leave_one_out_deg,
    quantities,
    spread_deg,
)
from whalefinder.calibration.priors import Errors, surface_aims, surface_elevation
from whalefinder.calibration.solve import Solution, best_directions, first_directions, solve
from whalefinder.calibration.sounds import Sounds
from whalefinder.errors import ArrayError, RecordingError

LEAST_SOUNDS = 12
STILL_DEG = 10.0
"""All sounds within this angle of their mean are a boat that lies still."""
LEAST_USED = 0.5
"""If fewer sounds fit, the array file is wrong by more than it says."""
NOISY_S = 3e-6
"""Noise of delays that is no sign of a wrong array, however exact its file claims to be."""
LOUD_DB = 0.05
"""A smaller gain is not written."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The result of a calibration.

    Args:
        before, after: the array. The errors of the second are those that are left.
        sounds: all sounds, also those left out.
        solution: what they say.
        errors: that were assumed before.
        boat: the boat of a track that made each sound, or "", `[sound]`.
        u_before, u: where the sounds came from, by the array before and after, `[sound, 3]`.
        left_before_s, left_after_s: delays less those of the best direction for the array before and after, `[sound, channel]`.
        apart_before_deg, apart_after_deg: how far bearings move if a hydrophone is left out, `[sound]`.
        gain_db, gain_sd_db: of each channel relative to the mean, `[channel]`.
        quantities: what was observed.
    """

    before: HydrophoneArray
    after: HydrophoneArray
    sounds: Sounds
    solution: Solution
    errors: Errors
    boat: tuple[str, ...]
    u_before: Floats
    u: Floats
    left_before_s: Floats
    left_after_s: Floats
    apart_before_deg: Floats
    apart_after_deg: Floats
    gain_db: Floats
    gain_sd_db: Floats
    quantities: tuple[Quantity, ...]

    @property
    def combinations(self) -> tuple[int, int]:
        """How many combinations of unknowns were observed, and of how many."""
        return combinations(self.solution)

    @property
    def heading_deg(self) -> float:
        """By how much the array was turned, clockwise; 0 without a track."""
        return float(np.degrees(self.solution.state.heading_rad))


def calibrate(sounds: Sounds, array: HydrophoneArray, boats: list[Boat] | None = None) -> Calibration:
    """Calibrate an array.

    Args:
        sounds: of boats, and of everything else that has a direction (`sounds.hear`).
        array: as its file describes it.
        boats: tracks of the boats, if they are known.

    Raises:
        ArrayError: the array is too wide, or most sounds fit no array near it.
        RecordingError: too few sounds were heard, or all from one direction.
        OptionError: the sounds do not follow the tracks.
    """
    check_array(array)
    if sounds.count < LEAST_SOUNDS:
        raise RecordingError(
            f"{sounds.count} clear sounds were heard, and {LEAST_SOUNDS} are needed; record while boats pass, within some hundred metres"
        )
    errors = Errors.of(array)
    u = first_directions(sounds, array, surface_elevation(array))
    rough_s = float(np.hypot(errors.position_m / array.sound_speed_m_s, errors.timing_s))
    u, _ = best_directions(sounds, array, rough_s, u)
    if (widest := spread_deg(u)) < STILL_DEG:
        azimuth = float(np.degrees(angles(u.mean(0))[0]))
        raise RecordingError(
            f"all sounds come from one direction (azimuth {azimuth:.0f}°, within {widest:.1f}°), which cannot tell places from "
            f"delays; record boats that pass, so that they are heard over {STILL_DEG:g}° or more"
        )
    if boats is None:
        boat, heading, aims = ("",) * sounds.count, None, surface_aims(array, sounds.time_s, u)
        turned = u
    else:
        found = match(sounds, array, boats, u)
        boat, heading, aims = found.boat, found.heading_rad, found.aims
        turned = _clockwise(u, heading)
    solution = solve(sounds, array, errors, aims, turned, heading)
    if solution.used < LEAST_USED * sounds.count or solution.noise_s > max(rough_s, NOISY_S):
        raise ArrayError(
            f"{solution.used} of {sounds.count} sounds fit an array within {1e3 * errors.position_m:g} mm and "
            f"{1e6 * errors.timing_s:g} µs of this one, with {1e6 * solution.noise_s:.2g} µs left of their delays; hear it with "
            "`whalefinder check` for swapped or late channels, or state larger errors in the array file"
        )
    return _result(sounds, array, errors, solution, boat, u)


def check_array(array: HydrophoneArray) -> None:
    """Refuse an array that cannot be calibrated.

    Raises:
        ArrayError: it is too wide for the delays of short sounds, or has less than three hydrophones.
    """
    if array.is_wide:
        raise ArrayError(
            f"array {array.name!r} is {array.aperture_m:.3g} m wide; up to about 4.5 m (3 ms of sound) can be calibrated"
        )
    if array.num_channels < 3:
        raise ArrayError(
            f"array {array.name!r} has {array.num_channels} hydrophones; one delay says nothing about places, 3 are needed"
        )


def _clockwise(u: Floats, heading_rad: float) -> Floats:
    """Directions turned clockwise, `[..., 3]`."""
    cosine, sine = np.cos(heading_rad), np.sin(heading_rad)
    east, north, up = u[..., 0], u[..., 1], u[..., 2]
    return np.stack([cosine * east + sine * north, cosine * north - sine * east, up], axis=-1)


def _result(
    sounds: Sounds, array: HydrophoneArray, errors: Errors, solution: Solution, boat: tuple[str, ...], u: Floats
) -> Calibration:
    gain, gain_sd = gains(sounds.chosen(solution.weight > 0))
    after = calibrated(array, solution, gain)
    _, left_before = best_directions(sounds, array, solution.noise_s, u)
    u_after, left_after = best_directions(sounds, after, solution.noise_s, solution.state.u)
    return Calibration(
        before=array, after=after, sounds=sounds, solution=solution, errors=errors, boat=boat, u_before=u,
        u=solution.state.u,
        left_before_s=left_before, left_after_s=left_after,
        apart_before_deg=leave_one_out_deg(u, sounds.heard, left_before, array),
        apart_after_deg=leave_one_out_deg(u_after, sounds.heard, left_after, after),
        gain_db=gain, gain_sd_db=gain_sd, quantities=tuple(quantities(solution)),
    )  # fmt: skip


def gains(sounds: Sounds) -> tuple[Floats, Floats]:
    """Gain of each channel relative to the mean of all, dB, and its standard deviation. → `[channel]` twice.

    The median over the sounds. Its standard deviation is 1.253 σ / √n, with σ from the median absolute deviation.
    """
    db = 20 * np.log10(np.maximum(np.abs(sounds.gains), 1e-6))
    db = db - np.nanmean(db, axis=1, keepdims=True)
    middle = np.nanmedian(db, axis=0)
    sd = 1.4826 * np.nanmedian(np.abs(db - middle), axis=0)
    return middle - middle.mean(), 1.253 * sd / np.sqrt(np.maximum((~np.isnan(db)).sum(0), 1))


def calibrated(array: HydrophoneArray, solution: Solution, gain_db: Floats) -> HydrophoneArray:
    """The array as the sounds have it, with the errors that are left.

    Delays and gains are relative to their means, as only differences are known.
    """
    state = solution.state
    late = state.late_s - state.late_s.mean()
    louder = gain_db + (0.0 if array.gain_db is None else np.array(array.gain_db))
    new = replace(
        array,
        positions_m=solution.model.places_m(state).round(6),
        sound_speed_m_s=round(float(array.sound_speed_m_s * np.exp(state.log_speed)), 3),
        lead_s=tuple((-late).round(10).tolist()),
        gain_db=tuple(louder.round(2).tolist()) if np.abs(louder).max() > LOUD_DB else None,
    )
    position, timing, speed = file_errors(solution, new)
    return replace(
        new,
        position_error_m=float(f"{position:.2g}"),
        timing_error_s=float(f"{timing:.2g}"),
        sound_speed_error_m_s=float(f"{speed:.2g}"),
    )
