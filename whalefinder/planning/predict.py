"""The error to expect of an array: the bound near the true direction, and the lobes further off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from whalefinder.array.cramer_rao import bearing_covariance, delay_information
from whalefinder.array.geometry import Floats, HydrophoneArray, angles, direction, equal_area_grid
from whalefinder.errors import ArrayError
from whalefinder.planning.conditions import Conditions
from whalefinder.planning.flat import with_flat_axes
from whalefinder.planning.outliers import BEYOND_RAD, Sphere, outliers, sphere_of
from whalefinder.planning.separation import Separation

LARGEST_RAD = np.pi / 2
"""A standard deviation is at most this: then nothing is known along its axis."""
BUDGET = 3e9
"""Products of true direction, direction and frequency for outliers; beyond it, neighbours share an outlier share."""
PIECE, PIECE_ENTRIES = 64, 2_000_000
"""Directions that are predicted at once; fewer where matrices of all frequencies would take too much memory."""
SHOWN_ELEVATIONS_DEG = (-2.0, -20.0, -60.0)
SKY_STEP_DEG, SKY_TOP_DEG = 6.0, 30.0
SKY_DEG = (-90, -80, -70, -60, -50, -40, -32, -25, -19, -14, -10, -6, -3, 0, 3, 6, 10, 14, 19, 25)
BEGIN_SHARE = 0.01
SNR_DB = (-40.0, 40.0)


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What to expect of bearings from some directions.

    Args:
        u: the directions, unit vectors `[n, 3]`.
        covariance: smallest covariance near the true direction `[n, 2, 2]` rad², axes (level, up).
        beyond: `[n]` share of bearings that are more than 10° off; without lobes for a wide array.
        rms_rad: `[n]` root-mean-square great-circle error, with outliers (without them for a wide array).
    """

    u: Floats
    covariance: Floats
    beyond: Floats
    rms_rad: Floats

    @property
    def error_deg(self) -> Floats:
        """Standard deviation on the sphere, both axes together, without outliers. `[n]` degrees."""
        return np.degrees(np.sqrt(_variance(self.covariance)))

    @property
    def azimuth_sd_deg(self) -> Floats:
        """Standard deviation of the azimuth itself, `[n]` degrees; 180 at most."""
        _, elevation = angles(self.u)
        level = np.sqrt(self.covariance[:, 0, 0])
        return np.minimum(np.degrees(level / np.maximum(np.cos(elevation), 1e-6)), 180.0)

    @property
    def elevation_sd_deg(self) -> Floats:
        """Standard deviation of the elevation, `[n]` degrees; 90 at most."""
        return np.minimum(np.degrees(np.sqrt(self.covariance[:, 1, 1])), 90.0)


def check_plannable(array: HydrophoneArray) -> HydrophoneArray:
    """The array, if its bearings can be predicted.

    Raises:
        ArrayError: it is a line, which has no azimuth and elevation.
    """
    if array.shape == "line":
        raise ArrayError(
            f"array {array.name!r}: its {array.num_channels} hydrophones are on one line, which knows one angle and no "
            "azimuth and elevation to predict; give an array with 3 or more hydrophones that are not on a line"
        )
    return array


def predict(
    array: HydrophoneArray,
    conditions: Conditions,
    u: Floats,
    report: Callable[[float, float], None] = lambda done, total: None,
    sphere: Sphere | None = None,
    *,
    lobes: bool = True,
) -> Prediction:
    """Predict bearings from the directions `u` `[n, 3]`.

    Near the true direction the error is at the bound for a Gaussian waveform. With the probability p of each wrong lobe,
    at the angle δ, the mean square is (1 - Σp) σ² + Σ p δ² (the method of interval errors, Van Trees and Bell 2013,
    chapter 4). Wide arrays are found by their free delays, not over a grid, so their lobes are not predicted.

    Args:
        array: the geometry and its errors.
        conditions: call, ambient and boats.
        u: unit vectors `[n, 3]`.
        report: is called with (directions done, directions in all).
        sphere: directions among which the lobes are; None for all below `max_elevation_rad`.
        lobes: whether lobes count.

    Raises:
        ArrayError: a line, which has no azimuth and elevation.
    """
    check_plannable(array)
    f = conditions.frequencies_hz(array.aperture_m, array.sound_speed_m_s)
    noise = conditions.noise(array, f)
    if lobes and not array.is_wide and sphere is None:
        sphere = sphere_of(array, conditions)
    separation = Separation(array, conditions)
    # Power and noise are of one snapshot; each frequency stands for several.
    repeats = conditions.snapshots / len(f)
    power = np.full(len(f), conditions.snr)
    thin = 1 if sphere is None else max(1, round(len(u) * len(sphere.u) * len(f) / BUDGET))
    covariance, shares = [], []
    size = int(np.clip(PIECE_ENTRIES / (len(f) * array.num_channels**2), 1, PIECE))
    pieces = [u[begin : begin + size] for begin in range(0, len(u), size)]
    for piece in pieces:
        information = repeats * delay_information(power, noise, f, array.delays_s(piece), gaussian=True)
        covariance.append(_near(separation, piece, information))
        if sphere is not None:
            shares.append(np.stack(outliers(separation, piece[::thin], sphere)))
        report(sum(map(len, covariance)), len(u))
    near = np.concatenate(covariance)
    if sphere is None:
        return Prediction(u=u, covariance=near, beyond=_tail(near, BEYOND_RAD), rms_rad=np.sqrt(_variance(near)))
    heard = np.concatenate([piece[::thin] for piece in pieces])
    lobe, beyond, square = np.concatenate(shares, axis=1)[:, cKDTree(heard).query(u)[1]]
    far = 1 - (1 - beyond) * (1 - _tail(near, BEYOND_RAD))
    return Prediction(u=u, covariance=near, beyond=far, rms_rad=np.sqrt((1 - lobe) * _variance(near) + square))


def _near(separation: Separation, u: Floats, information: Floats) -> Floats:
    """Covariance near the true direction `[n, 2, 2]` rad², also along axes that are hardly measured."""
    array = separation.array
    bound = bearing_covariance(array, u, information)
    exact = bearing_covariance(replace(array, position_error_m=0.0, timing_error_s=0.0, sound_speed_error_m_s=0.0),
                               u, information)  # fmt: skip
    blur = np.linalg.eigvalsh(exact)[:, -1] / np.linalg.eigvalsh(bound)[:, -1]
    return with_flat_axes(separation, u, bound, blur)


def _tail(covariance: Floats, radius_rad: float) -> Floats:
    """Probability that a normal error `[n, 2, 2]` rad² is longer than a radius.

    In polar coordinates the integral over the length is exp(-r² g / 2) / g with g = eᵀ C⁻¹ e for the unit vector e. The
    one over the angle is a mean, since the function is periodic.
    """
    angle = np.linspace(0.0, np.pi, 360, endpoint=False)
    e = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    g = np.einsum("ki,nij,kj->nk", e, np.linalg.inv(covariance), e)
    tail = (np.exp(-(radius_rad**2) * g / 2) / g).mean(-1) / np.sqrt(np.linalg.det(covariance))
    return np.asarray(np.clip(tail, 0.0, 1.0))


def _variance(covariance: Floats) -> Floats:
    """Variance on the sphere, at most that of ignorance. `[n, 2, 2]` → `[n]` rad²."""
    return np.asarray(np.minimum(np.trace(covariance, axis1=-2, axis2=-1), LARGEST_RAD**2))


@dataclass(frozen=True, kw_only=True)
class SkyMap:
    """Predictions all round, for a picture.

    Args:
        array, conditions: what was predicted.
        azimuth_deg: `[a]`, from 0 to 360, so that the first direction is the last one too.
        elevation_deg: `[e]`, rising.
        error_deg: standard deviation on the sphere without outliers, `[e, a]` degrees.
        beyond: share beyond 10°, `[e, a]`.
    """

    array: HydrophoneArray
    conditions: Conditions
    azimuth_deg: Floats
    elevation_deg: Floats
    error_deg: Floats
    beyond: Floats


def sky_map(
    array: HydrophoneArray, conditions: Conditions, report: Callable[[float, float], None] = lambda done, total: None
) -> SkyMap:
    """Predict all round, from straight down to the highest elevation, or to 30° if that is higher."""
    azimuth = np.arange(0.0, 360.0, SKY_STEP_DEG)
    highest = min(float(np.degrees(array.max_elevation_rad())), SKY_TOP_DEG)
    elevation = np.array([el for el in SKY_DEG if el < highest - 1] + [highest])
    across, up = np.meshgrid(np.radians(azimuth), np.radians(elevation))
    found = predict(array, conditions, direction(across.ravel(), up.ravel()), report)
    error, beyond = (each.reshape(across.shape) for each in (found.error_deg, found.beyond))
    closed = [np.concatenate([each, each[:, :1]], axis=1) for each in (error, beyond)]
    return SkyMap(
        array=array, conditions=conditions, azimuth_deg=np.append(azimuth, 360.0), elevation_deg=elevation,
        error_deg=closed[0], beyond=closed[1],
    )  # fmt: skip


def all_round(array: HydrophoneArray, lowest_deg: float = -90.0, step_rad: float = 0.25) -> Floats:
    """Directions evenly over the sphere, from the lowest elevation to the highest of the array. → `[n, 3]`."""
    u = equal_area_grid(step_rad, array.max_elevation_rad())
    return u[u[:, 2] >= np.sin(np.radians(lowest_deg)) - 1e-12]


def at_elevations(array: HydrophoneArray, step_deg: float = 10.0) -> dict[float, Floats]:
    """Directions all round, for each elevation of the table that is below the highest. Elevation → `[n, 3]`."""
    highest = np.degrees(array.max_elevation_rad())
    azimuth = np.radians(np.arange(0.0, 360.0, step_deg))
    return {
        el: direction(azimuth, np.full_like(azimuth, np.radians(el))) for el in SHOWN_ELEVATIONS_DEG if el <= highest
    }


def threshold_db(array: HydrophoneArray, conditions: Conditions) -> float:
    """The SNR in dB below which outliers begin: there 1 % are more than 10° off, on average over `at_elevations`.

    The SIR stays as it is. Infinite if no SNR from -40 to 40 dB has so few or so many.
    """
    u = np.concatenate(list(at_elevations(array, 30.0).values()))
    sphere = None if array.is_wide else sphere_of(array, conditions)

    def share(snr_db: float) -> float:
        call = replace(conditions.call, snr_db=snr_db)
        return float(predict(array, replace(conditions, call=call), u, sphere=sphere).beyond.mean())

    low, high = SNR_DB
    if share(high) > BEGIN_SHARE:
        return float("inf")
    if share(low) < BEGIN_SHARE:
        return float("-inf")
    while high - low > 0.25:
        middle = (low + high) / 2
        low, high = (middle, high) if share(middle) > BEGIN_SHARE else (low, middle)
    return (low + high) / 2
