"""The curvature of a wavefront: an animal that is near a wide array is at a place, and not only in a direction.

A plane wave from u reaches hydrophone m at -r_m·u / c. A source at x reaches it at (|x - r_m| - |x|) / c. The two differ by up
to a² / 2Rc for an aperture a and a range R: 1 ms for 50 m and 800 m. So where the delays fit a place far better than a
direction, the difference is taken out of the channels, and the range is known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whalefinder.array.geometry import Floats, HydrophoneArray, tangents
from whalefinder.array.limit import inverse_curvature
from whalefinder.bearings.fit import weight_of_delays
from whalefinder.bearings.wavefront import Wavefront

LEAST_HYDROPHONES = 4
STARTS = (1.0, 3.0, 10.0, 40.0)  # ranges that are tried, in apertures
GAIN = 30.0  # T that a place must save before it is believed
FARTHEST = 100.0  # apertures; beyond, a wavefront is plane
ROUNDS = 30


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where an animal is.

    Args:
        u: unit vector `[3]` from the array's origin.
        range_m, range_sd_m: distance from the origin, and its standard deviation.
        covariance: of the direction, `[2, 2]` rad² in (level, up).
        bend_s: delays of the place less those of a plane wave from `u`, `[channel]` s.
    """

    u: Floats
    range_m: float
    range_sd_m: float
    covariance: Floats
    bend_s: Floats


def find_place(wavefront: Wavefront, array: HydrophoneArray, u: Floats) -> Place | None:
    """The place from which a wavefront comes, or None if it is as well a plane wave.

    Args:
        wavefront: free delays; those of `array.lead_s` are added.
        array: the geometry. Lines are left alone: around them all places look alike.
        u: the direction of the nearest plane wave.
    """
    if array.num_channels < LEAST_HYDROPHONES or array.shape == "line":
        return None
    centre = np.eye(array.num_channels) - 1 / array.num_channels
    weight = weight_of_delays(wavefront, array)
    free = wavefront.delays_s if array.lead_s is None else wavefront.delays_s + array.lead_s
    plane = centre @ (free - array.slopes_s(u[None])[:, 0])
    best = min(
        (_descend(free, weight, array, u * size * array.aperture_m) for size in STARTS), key=lambda each: each[0]
    )
    distance, x, information = best
    range_m = float(np.linalg.norm(x))
    if float(plane @ weight @ plane) - distance < GAIN or range_m > FARTHEST * array.aperture_m:
        return None
    towards = x / range_m
    above_water = array.depth_m is not None and x[2] > array.depth_m
    if above_water or range_m < array.min_range_m or towards[2] > np.sin(array.max_elevation_rad()):
        return None
    across = np.stack(tangents(towards), axis=1)
    covariance = across.T @ inverse_curvature(information * range_m**2) @ across  # in units of the range: rad²
    bend = _delays(array, x) - array.slopes_s(towards[None])[:, 0]
    range_sd_m = range_m * float(np.sqrt(towards @ inverse_curvature(information * range_m**2) @ towards))
    return Place(u=towards, range_m=range_m, range_sd_m=range_sd_m, covariance=covariance, bend_s=bend)


def _delays(array: HydrophoneArray, x: Floats) -> Floats:
    """(|x - r_m| - |x|) / c, `[channel]` s."""
    return np.asarray((np.linalg.norm(x - array.positions_m, axis=1) - np.linalg.norm(x)) / array.sound_speed_m_s)


def _descend(free: Floats, weight: Floats, array: HydrophoneArray, x: Floats) -> tuple[float, Floats, Floats]:
    """Least squares over places by Gauss and Newton, with steps of at most half the range. → T, place, information."""
    centre = np.eye(len(free)) - 1 / len(free)

    def rest_at(x: Floats) -> tuple[float, Floats]:
        rest = centre @ (free - _delays(array, x))
        return float(rest @ weight @ rest), rest

    distance, rest = rest_at(x)
    information = np.eye(3)
    for _ in range(ROUNDS):
        away = x - array.positions_m
        slope = centre @ (away / np.linalg.norm(away, axis=1, keepdims=True)) / array.sound_speed_m_s
        information = slope.T @ weight @ slope
        step = np.linalg.pinv(information, rcond=1e-9, hermitian=True) @ (slope.T @ weight @ rest)
        step *= min(1.0, 0.5 * float(np.linalg.norm(x)) / max(float(np.linalg.norm(step)), 1e-9))
        after, rest_after = rest_at(x + step)
        while after > distance and np.linalg.norm(step) > 1e-4:
            step = step / 2
            after, rest_after = rest_at(x + step)
        if after > distance:
            break
        settled = np.linalg.norm(step) < 1e-4 * np.linalg.norm(x)
        x, distance, rest = x + step, after, rest_after
        if settled:
            break
    return distance, x, information
