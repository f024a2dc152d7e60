"""Which boat of the tracks made each sound, and how the array is turned: both from azimuths alone, before anything else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whalefinder.array.geometry import Floats, HydrophoneArray, angles
from whalefinder.calibration.boats import MOST_GAP_S, Boat
from whalefinder.calibration.priors import ANYWHERE_RAD, BOAT_DEPTH_M, FURTHEST_M, Aims, alike, surface_elevation
from whalefinder.calibration.sounds import Sounds
from whalefinder.errors import OptionError, RecordingError

TRACK_ERROR_M = 10.0
"""Of a fix and its time, and of the antenna against the propeller."""
STEADY = 0.8
"""Share of its variance that is the same as long as a boat is heard."""
ROUGH_RAD = 0.03
"""Error of the azimuths of an array that is not calibrated yet."""
STEP_RAD = np.radians(1.0)
NEAR_SD = 3.0
BEARING_RAD = np.radians(0.5)
"""Error of the direction of a sound in which other boats are heard too."""
LEVEL_SD_DB = 8.5
"""Of the difference in loudness of two boats; the nearer one is louder by 20 dB a decade."""
CLEAR = 4.0
"""A boat must be likelier than the next one by this, in units of χ²."""
OUTLIER = 9.0
"""Square, in standard deviations, beyond which a sound may be that of another boat."""
RIVAL_RAD, CLEARER = np.radians(15.0), 0.8
LEAST_MATCHED = 8


@dataclass(frozen=True, kw_only=True)
class Match:
    """What tracks say about sounds: the heading of the array (to add, clockwise, rad), the boat of each sound or "", aims."""

    heading_rad: float
    boat: tuple[str, ...]
    aims: Aims


def match(sounds: Sounds, array: HydrophoneArray, boats: list[Boat], u: Floats) -> Match:
    """Find the heading at which most sounds come from boats of the tracks.

    Args:
        sounds: with times of day.
        array: as its file describes it.
        boats: their tracks.
        u: directions of the sounds by that file, `[sound, 3]`.

    Raises:
        RecordingError: the times of the recordings are unknown, or no boat was near while they lasted.
        OptionError: the sounds do not follow the tracks, or at more than one heading.
    """
    if any(utc is None for utc in sounds.utc):
        name = next(name for name, utc in zip(sounds.recording, sounds.utc, strict=True) if utc is None)
        raise RecordingError(
            f"{name}: its start is unknown, so `track` cannot be used; give `time_format`, or name it as in 20260701_120000.wav"
        )
    time_s = np.array([utc.timestamp() for utc in sounds.utc if utc is not None])
    places = np.stack([boat.heard_at(time_s, array.sound_speed_m_s) for boat in boats], axis=1)  # [sound, boat, 2]
    if np.isnan(places).all():
        raise OptionError(
            f"`track`: none of {len(boats)} boats has two fixes within {MOST_GAP_S:g} s while the recordings last; "
            "check the dates, and that both are in UTC"
        )
    ranges = np.maximum(np.linalg.norm(places, axis=-1), array.min_range_m)
    true = np.arctan2(places[..., 0], places[..., 1])
    track_sd = np.minimum(TRACK_ERROR_M / ranges, 1.0)
    sd = np.hypot(track_sd, ROUGH_RAD)
    softer_db = 20 * np.log10(ranges / np.nanmin(np.where(np.isnan(ranges), np.inf, ranges), axis=1, keepdims=True))
    unlikely = 2 * np.log(sd) + (softer_db / LEVEL_SD_DB) ** 2
    measured = angles(u)[0]
    heading = _heading(measured, true, sd, unlikely)
    off = np.abs(_wrapped(measured[:, None] + heading - true)) / sd
    cost = np.where(np.isnan(off), np.inf, off**2 + unlikely)
    nearest = cost.argmin(1)
    each = np.arange(sounds.count)
    pick = (each, nearest)
    best = np.sort(cost, axis=1)
    with np.errstate(invalid="ignore"):  # no boat is known: inf - inf
        clear = np.inf if cost.shape[1] == 1 else best[:, 1] - best[:, 0]
    matched = (off[pick] < NEAR_SD) & (ranges[pick] < FURTHEST_M) & (clear > CLEAR)
    if matched.sum() < LEAST_MATCHED:
        raise OptionError(
            f"`track`: only {matched.sum()} of {sounds.count} sounds come from a boat of the tracks, {LEAST_MATCHED} are needed; "
            "check the clock of the recorder, the place of the array and whether other boats were nearer"
        )
    azimuth = np.where(matched, true[pick], 0.0)
    total = np.where(matched, np.hypot(track_sd[pick], BEARING_RAD), ANYWHERE_RAD)
    elevation, elevation_sd = _elevations(array, ranges[pick], matched)
    return Match(
        heading_rad=heading,
        boat=tuple(boats[b].name if yes else "" for b, yes in zip(nearest, matched, strict=True)),
        aims=Aims(
            azimuth_rad=azimuth,
            azimuth_sd_rad=total,
            elevation_rad=elevation,
            elevation_sd_rad=elevation_sd,
            azimuth_alike=_alike(nearest, azimuth, np.where(matched, track_sd[pick] / total, 0.0)),
            elevation_alike=alike(time_s, u),
        ),
    )


def _alike(boat: NDArray[np.intp], azimuth: Floats, share: Floats) -> Floats:
    """Correlation of the errors of azimuth of two sounds, `[sound, sound]`.

    A boat whose track is off by e (the antenna against the propeller, the clock, GPS) is off in azimuth by e · l / R, with l
    the level unit vector across its direction. So two sounds of the same boat have the correlation l · l', as far as the
    error is that of the track (`share` of the standard deviation, `[sound]`) and e stays the same (`STEADY`).
    """
    across = np.stack([np.cos(azimuth), -np.sin(azimuth)], axis=1) * share[:, None]
    same = STEADY * np.where(boat[:, None] == boat, across @ across.T, 0.0)
    np.fill_diagonal(same, 1.0)
    return np.asarray(same)


def _wrapped(angle: Floats) -> Floats:
    return np.asarray(np.angle(np.exp(1j * angle)))


def _heading(measured: Floats, true: Floats, sd: Floats, unlikely: Floats) -> float:
    """The heading of least cost: each sound costs the square of its distance from the likeliest boat, up to a limit.

    Shape:
        measured `[sound]`; true azimuth, its standard deviation, and what a boat costs by itself `[sound, boat]`, NaN where a
        boat is not known.
    """
    least = np.nanmin(np.where(np.isnan(unlikely), np.inf, unlikely), axis=1, keepdims=True)
    unlikely = np.where(np.isfinite(least), unlikely - np.where(np.isfinite(least), least, 0.0), np.inf)
    turns = np.arange(-np.pi, np.pi, STEP_RAD)
    off = (_wrapped(measured[:, None] + turns[:, None, None] - true) / sd) ** 2 + unlikely  # [turn, sound, boat]
    off = np.where(np.isnan(off), np.inf, off)
    gain = np.maximum(OUTLIER - off.min(2), 0.0).sum(1)
    best = int(gain.argmax())
    rival = gain[np.abs(_wrapped(turns - turns[best])) > RIVAL_RAD].max()
    if rival > CLEARER * gain[best]:
        raise OptionError(
            f"`track`: the sounds fit the tracks at more than one heading (this one and {100 * rival / max(gain[best], 1e-9):.0f} % "
            "as well another); give a track of more boats, or a longer one"
        )
    nearest = off[best].argmin(1)
    near = off[best].min(1) < OUTLIER
    each = np.arange(len(measured))[near]
    left = _wrapped(true[each, nearest[near]] - measured[near] - turns[best])
    weight = sd[each, nearest[near]] ** -2
    return float(turns[best] + (weight * left).sum() / weight.sum())


def _elevations(array: HydrophoneArray, ranges: Floats, matched: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Elevation of each sound and its standard deviation: by its range, or as for any boat. `[sound]` rad twice."""
    mean, sd = surface_elevation(array)
    if array.depth_m is None:
        return np.full(len(ranges), mean), np.full(len(ranges), sd)
    deepest = min(BOAT_DEPTH_M, array.depth_m)
    height = array.depth_m - deepest / 2
    # A depth that is evenly spread over D has the standard deviation D / √12.
    vague = np.hypot(deepest / np.sqrt(12) / ranges, height * TRACK_ERROR_M / ranges**2) + 1e-3
    return np.where(matched, np.arctan2(height, ranges), mean), np.where(matched, vague, sd)
