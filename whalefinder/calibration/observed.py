"""What the sounds have told, and what they cannot tell: gauge freedoms, and directions from which no boat came.

Each quantity is a linear function g of the errors of the array. Its standard deviation is √(gᵀ P g), with the covariance P
from before and from after the sounds were heard. Where the second is nearly the first, it was not observed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whalefinder.array.geometry import Floats, HydrophoneArray, angles, direction, tangents
from whalefinder.array.limit import geometry_covariance
from whalefinder.calibration.solve import Solution

OBSERVED = 0.9
"""A quantity whose standard deviation is still this share of what it was, or more, was not observed."""
JUDGED_ELEVATIONS_DEG = (-2.0, -10.0, -25.0)
JUDGED_AZIMUTHS_DEG = tuple(range(0, 360, 30))
LEAST_SHARE = 0.1
ONE_SIDE_DEG = 200.0
"""A gap in azimuth that is wider leaves boats on one side only."""


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """One quantity: its name, its unit, its standard deviation before and after, and why it may be unobservable."""

    name: str
    unit: str
    before: float
    after: float
    why: str = ""

    @property
    def observed(self) -> bool:
        """Whether the sounds have told something about it."""
        return self.after < OBSERVED * self.before


def quantities(solution: Solution) -> list[Quantity]:
    """All quantities, in the order of the report."""
    return [
        Quantity(
            name=name,
            unit=unit,
            before=scale * _size(functions, np.diag(solution.model.prior_sd**2)),
            after=scale * _size(functions, solution.covariance),
            why=why,
        )
        for name, unit, scale, functions, why in _functions(solution)
    ]


def _size(functions: Floats, covariance: Floats) -> float:
    """Root mean variance of some functions `[function, unknown]`."""
    return float(np.sqrt(np.mean(np.einsum("gi,ij,gj->g", functions, covariance, functions))))


def _functions(solution: Solution) -> Iterator[tuple[str, str, float, Floats, str]]:
    """Name, unit, scale to this unit, functions `[function, unknown]`, and why they may be unobserved."""
    model = solution.model
    channels, shared = model.array.num_channels, model.shared
    places = model.array.positions_m - model.array.positions_m.mean(0)
    has_track = bool(model.aims.with_azimuth.any())
    has_depth = bool(model.aims.with_elevation.any())

    def of_shift(weights: Floats) -> Floats:
        """Functions of d alone, `[function, channel, 3]`."""
        functions = np.zeros((len(weights), shared))
        functions[:, : 3 * channels] = weights.reshape(len(weights), -1)
        return functions

    def turn(axis: int) -> Floats:
        """The angle by which d turns the array about an axis, by least squares: Σ (e × p) · d / Σ |e × p|²."""
        lever = np.cross(np.eye(3)[axis], places)
        return of_shift(lever[None] / max((lever**2).sum(), 1e-12))

    degrees = math.degrees(1.0)
    heading = -turn(2)  # clockwise
    if model.with_heading:
        heading[:, 4 * channels + 1] = 1.0
    yield (
        "heading", "°", degrees, heading,
        "without a track nobody knows where the boats were" if not has_track else "too few boats of the track",
    )  # fmt: skip
    tilt = np.concatenate([turn(0), turn(1)])
    yield (
        "tilt", "°", degrees, tilt,
        "boats do not show the horizontal without `depth_m`" if not has_depth else "the elevation of these boats is vague",
    )  # fmt: skip
    speed = np.zeros((1, shared))
    speed[0, 4 * channels] = model.array.sound_speed_m_s
    size = of_shift(places[None] / (places**2).sum())
    together = "positions times k and sound speed times k give the same delays"
    yield "size / sound speed", "%", 100.0, size - speed / model.array.sound_speed_m_s, "too few directions"
    yield "sound speed", "m/s", 1.0, speed, together
    yield "size", "%", 100.0, size, together
    yield from _shapes(model.array, of_shift, places)
    late = np.zeros((channels, shared))
    late[:, 3 * channels : 4 * channels] = np.eye(channels) - 1 / channels
    yield "delays of channels", "µs", 1e6, late, "boats from one side do not tell a delay from a place"
    late = np.zeros((1, shared))
    late[:, 3 * channels : 4 * channels] = 1 / channels
    yield "delay of all channels", "µs", 1e6, late, "it is the same as a later sound"
    origin = np.tile(np.eye(3)[:, None, :], (1, channels, 1)) / channels
    yield "origin", "mm", 1e3, of_shift(origin), "it is the same as boats elsewhere"


def _shapes(array: HydrophoneArray, of_shift: Any, places: Floats) -> Iterator[tuple[str, str, float, Floats, str]]:
    """Places along the axes, with origin, turns and size taken out, so that shape is left."""
    channels = len(places)
    names = {
        "places, level": (slice(0, 2), "too few directions"),
        "places, up": (slice(2, 3), "all boats are level with the array, so their delays do not depend on heights"),
    }
    lever = [np.cross(axis, places) for axis in np.eye(3)]
    common = [np.tile(axis, (channels, 1)) for axis in np.eye(3)]
    taken = np.stack([*common, *lever, places]).reshape(7, -1)
    for name, (axes, why) in names.items():
        mask = np.zeros((channels, 3), bool)
        mask[:, axes] = True
        index = np.flatnonzero(mask.ravel())
        inside = taken[:, index]
        left = np.eye(len(index)) - np.linalg.pinv(inside, rcond=1e-9) @ inside
        values, vectors = np.linalg.eigh(left)
        shapes = vectors[:, values > 0.5].T
        if len(shapes):
            functions = np.zeros((len(shapes), channels * 3))
            functions[:, index] = shapes
            yield name, "mm", 1e3, of_shift(functions.reshape(-1, channels, 3)), why


def combinations(solution: Solution) -> tuple[int, int]:
    """How many independent combinations of the unknowns were observed, and of how many.

    The eigenvalues of the covariance in units of the prior are 1 for what no sound tells, and near 0 for what is known.
    """
    sd = solution.model.prior_sd
    values = np.linalg.eigvalsh(solution.covariance / sd[:, None] / sd)
    return int((np.sqrt(np.maximum(values, 0.0)) < OBSERVED).sum()), len(values)


def bearing_variance(solution: Solution, covariance: Floats) -> Floats:
    """Variance of the bearings that errors of the array cause, `[direction]` rad², over some directions.

    dθ = D⁺ dτ as in `limit.geometry_covariance`, with dτ = J dx for the errors dx of all shared unknowns.

    Args:
        solution: of the calibration.
        covariance: of dx, `[shared, shared]`.
    """
    model, state = solution.model, solution.state
    u = judged_directions()
    slopes = model.shared_slopes(replace(state, u=u))
    slopes -= slopes.mean(1, keepdims=True)
    places = model.places_m(state)
    across = np.stack(tangents(u), axis=-1)
    speed = model.array.sound_speed_m_s * math.exp(state.log_speed)
    solve = np.linalg.pinv(-(places - places.mean(0)) @ across / speed, rcond=1e-3)
    error = solve @ slopes
    return np.asarray(np.einsum("kai,ij,kaj->k", error, covariance, error))


def bearing_error_deg(solution: Solution) -> tuple[float, float]:
    """Error of a bearing that the array causes, before and after calibration: r.m.s. over directions, degrees.

    Before, the heading counts as right, since array files state no error of it.
    """
    before = solution.model.prior_sd**2
    before[4 * solution.model.array.num_channels + 1 :] = 0.0
    pair = (bearing_variance(solution, p).mean() for p in (np.diag(before), solution.covariance))
    first, second = (float(np.degrees(np.sqrt(variance))) for variance in pair)
    return first, second


def judged_directions() -> Floats:
    """Directions in which bearings are judged, `[direction, 3]`: all round, from the surface down."""
    azimuth, elevation = np.meshgrid(np.radians(JUDGED_AZIMUTHS_DEG), np.radians(JUDGED_ELEVATIONS_DEG))
    return direction(azimuth.ravel(), elevation.ravel())


def file_errors(solution: Solution, array: HydrophoneArray) -> tuple[float, float, float]:
    """Errors for the array file: position (m), timing (s), sound speed (m/s).

    An array file states errors as independent, but after calibration they are not: hydrophones that turn together do more
    harm than ones that err alone. So position and timing get the factor with which independent errors give bearings the same
    mean variance as the true covariance does. No error is larger than before.

    Args:
        solution: of the calibration.
        array: the calibrated array.
    """
    model, channels = solution.model, array.num_channels
    variance = np.diag(solution.covariance)
    position = math.sqrt(variance[: 3 * channels].mean())
    late = solution.covariance[3 * channels : 4 * channels, 3 * channels : 4 * channels]
    centre = np.eye(channels) - 1 / channels
    timing = math.sqrt(np.trace(centre @ late @ centre) / channels)
    speed = array.sound_speed_m_s * math.sqrt(variance[4 * channels])

    def mean(position_m: float, timing_s: float, speed_m_s: float) -> float:
        stated = replace(array, position_error_m=position_m, timing_error_s=timing_s, sound_speed_error_m_s=speed_m_s)
        return float(np.mean([np.trace(geometry_covariance(stated, u)) for u in judged_directions()]))

    wanted = float(np.mean(bearing_variance(solution, solution.covariance))) - mean(0.0, 0.0, speed)
    factor = math.sqrt(max(wanted / max(mean(position, timing, 0.0), 1e-30), LEAST_SHARE**2))
    errors = model.errors
    return (
        min(factor * position, errors.position_m),
        min(factor * timing, errors.timing_s),
        min(speed, errors.sound_speed_m_s),
    )


def coverage(u: Floats) -> tuple[str, float]:
    """The azimuths from which sounds came, in words, and the widest gap between them in degrees. `[sound, 3]`."""
    azimuth = np.sort(np.degrees(angles(u)[0]))
    gaps = np.diff(np.append(azimuth, azimuth[0] + 360.0))
    widest = int(gaps.argmax())
    begin, end = azimuth[(widest + 1) % len(azimuth)], azimuth[widest]
    return f"azimuths {begin:.0f}° to {end:.0f}° (clockwise)", float(gaps[widest])


def spread_deg(u: Floats) -> float:
    """Largest angle between a sound and the mean direction, degrees: of a still boat it is small. `[sound, 3]`."""
    mean = u.mean(0)
    mean = mean / max(float(np.linalg.norm(mean)), 1e-9)
    return float(np.degrees(np.arccos(np.clip(u @ mean, -1, 1))).max())


def leave_one_out_deg(u: Floats, heard: NDArray[np.bool_], left_s: Floats, array: HydrophoneArray) -> Floats:
    """How far the bearing of a sound moves if one hydrophone is left out: r.m.s. over hydrophones, `[sound]` degrees.

    One step of least squares from the bearing of all. NaN where fewer than four hydrophones heard.

    Args:
        u: bearings of all hydrophones, `[sound, 3]`.
        heard: which hydrophones heard, `[sound, channel]`.
        left_s: delays of these bearings less those measured, `[sound, channel]`.
        array: the geometry.
    """
    channels = array.num_channels
    across = np.stack(tangents(u), axis=-1)
    moved = np.zeros((len(u), channels))
    for m in range(channels):
        keep = np.arange(channels) != m
        places = array.positions_m[keep] - array.positions_m[keep].mean(0)
        left = left_s[:, keep] - left_s[:, keep].mean(1, keepdims=True)
        step = np.linalg.pinv(places @ across / array.sound_speed_m_s, rcond=1e-3) @ left[..., None]
        moved[:, m] = np.degrees(np.linalg.norm(step[..., 0], axis=1))
    whole = heard.all(1) & (channels >= 4)
    return np.where(whole, np.sqrt((moved**2).mean(1)), np.nan)
