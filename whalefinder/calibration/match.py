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
OUTLIER, MOST_COST = 9.0, 1e6
"""Cost, in units of χ², beyond which a sound may be that of a boat without a track; and that of a boat that is not known."""
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
    time_s = _times(sounds)
    known = _Tracks.of(boats, time_s, array)
    measured = angles(u)[0]
    heading = _heading(measured, known)
    off, cost = known.costs(measured + heading)
    nearest = cost.argmin(1)
    pick = (np.arange(sounds.count), nearest)
    best = np.sort(np.where(np.isinf(cost), MOST_COST, cost), axis=1)
    clear = np.inf if len(boats) == 1 else best[:, 1] - best[:, 0]
    matched = (off[pick] < NEAR_SD) & (known.range_m[pick] < FURTHEST_M) & (clear > CLEAR)
    if matched.sum() < LEAST_MATCHED:
        raise OptionError(
            f"`track`: only {matched.sum()} of {sounds.count} sounds come from a boat of the tracks, {LEAST_MATCHED} are needed; "
            "check the clock of the recorder, the place of the array and whether other boats were nearer"
        )
    azimuth = np.where(matched, known.azimuth_rad[pick], 0.0)
    track_sd = known.track_sd_rad[pick]
    total = np.where(matched, np.hypot(track_sd, BEARING_RAD), ANYWHERE_RAD)
    elevation, elevation_sd = _elevations(array, known.range_m[pick], matched)
    return Match(
        heading_rad=heading,
        boat=tuple(boats[b].name if yes else "" for b, yes in zip(nearest, matched, strict=True)),
        aims=Aims(
            azimuth_rad=azimuth,
            azimuth_sd_rad=total,
            elevation_rad=elevation,
            elevation_sd_rad=elevation_sd,
            azimuth_alike=_alike(nearest, azimuth, np.where(matched, track_sd / total, 0.0)),
            elevation_alike=alike(time_s, u),
        ),
    )


def _times(sounds: Sounds) -> Floats:
    """Unix time of each sound, `[sound]` s."""
    for utc, name in zip(sounds.utc, sounds.recording, strict=True):
        if utc is None:
            raise RecordingError(
                f"{name}: its start is unknown, so `track` cannot be used; give `time_format`, or name it as in "
                "20260701_120000.wav"
            )
    return np.array([utc.timestamp() for utc in sounds.utc if utc is not None])


@dataclass(frozen=True, kw_only=True)
class _Tracks:
    """Where each boat was when each sound left it, `[sound, boat]`. Of a boat that is not known the range is infinite.

    Args:
        range_m, azimuth_rad: of the boat.
        track_sd_rad: error of the azimuth by that of the track.
        unlikely: -2 log of the density of a boat, but for where its sound comes from: that of loud, near boats is small.
    """

    range_m: Floats
    azimuth_rad: Floats
    track_sd_rad: Floats
    unlikely: Floats

    @classmethod
    def of(cls, boats: list[Boat], time_s: Floats, array: HydrophoneArray) -> _Tracks:
        """Places of boats at the times of sounds `[sound]`."""
        places = np.stack([boat.heard_at(time_s, array.sound_speed_m_s) for boat in boats], axis=1)  # [sound, boat, 2]
        known = np.asarray(np.isfinite(places).all(axis=2), bool)
        if not known.any():
            raise OptionError(
                f"`track`: none of {len(boats)} boats has two fixes within {MOST_GAP_S:g} s while the recordings last; "
                "check the dates, and that both are in UTC"
            )
        ranges = np.where(known, np.maximum(np.linalg.norm(places, axis=2), array.min_range_m), np.inf)
        track_sd = np.minimum(TRACK_ERROR_M / ranges, 1.0)
        nearest = np.where(known.any(1), ranges.min(1), 1.0)[:, None]
        softer_db = 20 * np.log10(np.where(known, ranges, 1.0) / nearest)
        unlikely = 2 * np.log(np.hypot(track_sd, ROUGH_RAD) / ROUGH_RAD) + (softer_db / LEVEL_SD_DB) ** 2
        return cls(
            range_m=ranges,
            azimuth_rad=np.where(known, np.arctan2(places[..., 0], places[..., 1]), 0.0),
            track_sd_rad=track_sd,
            unlikely=np.where(known, unlikely, np.inf),
        )

    @property
    def sd_rad(self) -> Floats:
        """Error of a measured azimuth from that of the boat."""
        return np.hypot(self.track_sd_rad, ROUGH_RAD)

    def costs(self, azimuth_rad: Floats) -> tuple[Floats, Floats]:
        """Azimuths `[..., sound]` from those of the boats, in standard deviations, and -2 log likelihood. `[..., sound, boat]`."""
        off = np.abs(_wrapped(azimuth_rad[..., None] - self.azimuth_rad)) / self.sd_rad
        return off, off**2 + self.unlikely


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


def _heading(measured_rad: Floats, known: _Tracks) -> float:
    """The heading at which most sounds come from a boat that is likely to be heard. `[sound]` rad → rad."""
    turns = np.arange(-np.pi, np.pi, STEP_RAD)
    _, cost = known.costs(measured_rad + turns[:, None])  # [turn, sound, boat]
    gain = np.maximum(OUTLIER - cost.min(2), 0.0).sum(1)
    best = int(gain.argmax())
    rival = gain[np.abs(_wrapped(turns - turns[best])) > RIVAL_RAD].max()
    if rival > CLEARER * gain[best]:
        raise OptionError(
            f"`track`: another heading fits {100 * rival / max(gain[best], 1e-9):.0f} % as well as the best one "
            f"({100 * CLEARER:.0f} % at most); give a track of more boats, or a longer one"
        )
    near = cost[best].min(1) < OUTLIER
    pick = (np.flatnonzero(near), cost[best].argmin(1)[near])
    left = _wrapped(known.azimuth_rad[pick] - measured_rad[near] - turns[best])
    weight = known.sd_rad[pick] ** -2
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
