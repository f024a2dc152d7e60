"""What is known before boats are heard: the errors that the array file states, and that boats are at the surface."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from whalefinder.array.geometry import Floats, HydrophoneArray

POSITION_M, TIMING_S, SOUND_SPEED_M_S = 5e-3, 5e-6, 5.0
"""Errors that are assumed where the array file states none."""
BOAT_DEPTH_M = 3.0
"""The sound of a boat comes from its propeller and hull, between the surface and this depth."""
FURTHEST_M = 1000.0
"""Boats are heard between `min_range_m` and this range. They run straight, so each metre of range takes as long."""
SAME_BOAT_S, SAME_BOAT_RAD = 60.0, 0.5
"""Sounds that are this far apart in time and direction share most of what is unknown about a boat."""
JITTER = 1e-4
"""Share of the variance that sounds do not have in common, however alike they are."""
SHARED = 0.1
"""Share of the variance that all boats have in common, since the assumptions about boats may be wrong themselves."""
ANYWHERE_RAD = 1e6
"""A standard deviation that says nothing."""


@dataclass(frozen=True, kw_only=True)
class Errors:
    """Standard deviations of the array file: per axis and hydrophone, per channel, of the sound speed.

    Args:
        position_m, timing_s, sound_speed_m_s: one sigma.
        assumed: entries that the array file does not state.
    """

    position_m: float
    timing_s: float
    sound_speed_m_s: float
    assumed: tuple[str, ...] = ()

    @classmethod
    def of(cls, array: HydrophoneArray) -> Errors:
        """The errors of an array, with assumptions where its file states none."""
        given = {
            "position_error_m": (array.position_error_m, POSITION_M),
            "timing_error_s": (array.timing_error_s, TIMING_S),
            "sound_speed_error_m_s": (array.sound_speed_error_m_s, SOUND_SPEED_M_S),
        }
        position, timing, speed = (stated or usual for stated, usual in given.values())
        assumed = tuple(name for name, (stated, _) in given.items() if not stated)
        return cls(position_m=position, timing_s=timing, sound_speed_m_s=speed, assumed=assumed)


@dataclass(frozen=True, kw_only=True)
class Aims:
    """Where the boats are known to be, as angles with errors, `[sound]` rad each.

    An error of `ANYWHERE_RAD` says nothing. `azimuth_alike` and `elevation_alike` `[sound, sound]` are the correlations of
    the errors: what is unknown about one boat is the same in all of its sounds.
    """

    azimuth_rad: Floats
    azimuth_sd_rad: Floats
    elevation_rad: Floats
    elevation_sd_rad: Floats
    azimuth_alike: Floats
    elevation_alike: Floats

    @property
    def with_azimuth(self) -> NDArray[np.bool_]:
        """Sounds of boats whose azimuth is known, `[sound]`."""
        return self.azimuth_sd_rad < ANYWHERE_RAD

    @property
    def with_elevation(self) -> NDArray[np.bool_]:
        """Sounds of boats whose elevation is known, `[sound]`."""
        return self.elevation_sd_rad < ANYWHERE_RAD

    @cached_property
    def azimuth_root(self) -> Floats:
        """L⁻¹ of the azimuths that are known, where L Lᵀ is their covariance: `[known, known]` 1/rad."""
        return self._root(self.azimuth_sd_rad, self.azimuth_alike, self.with_azimuth)

    @cached_property
    def elevation_root(self) -> Floats:
        """L⁻¹ of the elevations that are known, `[known, known]` 1/rad."""
        return self._root(self.elevation_sd_rad, self.elevation_alike, self.with_elevation)

    @staticmethod
    def _root(sd_rad: Floats, alike: Floats, which: NDArray[np.bool_]) -> Floats:
        correlation = alike[np.ix_(which, which)] + JITTER * np.eye(int(which.sum()))
        lower = np.linalg.cholesky(correlation) * sd_rad[which, None]
        return np.asarray(linalg.solve_triangular(lower, np.eye(len(lower)), lower=True)) if len(lower) else lower


def alike(time_s: Floats, u: Floats) -> Floats:
    """Correlation of what is unknown about the boats of two sounds. `[sound]` s, `[sound, 3]` → `[sound, sound]`.

    exp(-|Δt| / T) exp(-|Δu| / w): both factors are covariances (of an Ornstein-Uhlenbeck process, and its counterpart in
    space, the Matérn covariance of order 1/2), and so is their product (Schur).
    """
    apart_s = np.abs(time_s[:, None] - time_s)
    apart = np.linalg.norm(u[:, None] - u, axis=-1)
    return np.asarray(SHARED + (1 - SHARED) * np.exp(-apart_s / SAME_BOAT_S - apart / SAME_BOAT_RAD))


def surface_elevation(array: HydrophoneArray) -> tuple[float, float]:
    """Mean and standard deviation of the elevation of boats that are heard, in radians.

    The source is evenly spread over the uppermost `BOAT_DEPTH_M`, and over the range.
    """
    if array.depth_m is None:
        return 0.0, ANYWHERE_RAD
    height = array.depth_m - np.linspace(0.0, min(BOAT_DEPTH_M, array.depth_m), 21)
    ranges = np.linspace(array.min_range_m, max(FURTHEST_M, 2 * array.min_range_m), 200)
    elevation = np.arctan2(height[:, None], ranges)
    return float(elevation.mean()), float(elevation.std()) + 1e-3


def surface_aims(array: HydrophoneArray, time_s: Floats, u: Floats) -> Aims:
    """What the depth of the array says about boats of which no track is known.

    Args:
        array: the geometry; without `depth_m` it says nothing.
        time_s: of the sounds, `[sound]`.
        u: where they come from, roughly, `[sound, 3]`.
    """
    mean, sd = surface_elevation(array)
    nothing = np.full(len(time_s), ANYWHERE_RAD)
    return Aims(
        azimuth_rad=np.zeros(len(time_s)),
        azimuth_sd_rad=nothing,
        elevation_rad=np.full(len(time_s), mean),
        elevation_sd_rad=np.full(len(time_s), sd),
        azimuth_alike=np.eye(len(time_s)),
        elevation_alike=alike(time_s, u),
    )
