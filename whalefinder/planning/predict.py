"""The error to expect of an array: the bound near the true direction, and the lobes further off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from whalefinder.array.cramer_rao import bearing_covariance, delay_information
from whalefinder.array.geometry import Floats, HydrophoneArray, angles
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
        return np.degrees(np.sqrt(variance_of(self.covariance)))

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

    Raises:
        ArrayError: a line, which has no azimuth and elevation.
    """
    separation = Separation(check_plannable(array), conditions)
    if not array.is_wide and sphere is None:
        sphere = sphere_of(array, conditions)
    size = int(np.clip(PIECE_ENTRIES / separation.whitening.size, 1, PIECE))
    pieces = [u[begin : begin + size] for begin in range(0, len(u), size)]
    bins = len(separation.frequencies_hz)
    thin = 1 if sphere is None else max(1, round(len(u) * len(sphere.u) * bins / BUDGET))
    covariance, shares = [], []
    for piece in pieces:
        covariance.append(near_covariance(separation, piece))
        if sphere is not None:
            shares.append(np.stack(outliers(separation, piece[::thin], sphere)))
        report(sum(map(len, covariance)), len(u))
    near = np.concatenate(covariance)
    variance, tail = variance_of(near), _tail(near, BEYOND_RAD)
    if sphere is None:
        return Prediction(u=u, covariance=near, beyond=tail, rms_rad=np.sqrt(variance))
    heard = np.concatenate([piece[::thin] for piece in pieces])
    lobe, beyond, square = np.concatenate(shares, axis=1)[:, cKDTree(heard).query(u)[1]]
    return Prediction(
        u=u, covariance=near, beyond=1 - (1 - beyond) * (1 - tail), rms_rad=np.sqrt((1 - lobe) * variance + square)
    )


def near_covariance(separation: Separation, u: Floats) -> Floats:
    """Covariance near the true directions `[n, 2, 2]` rad²: the bound, and along axes that are hardly measured less."""
    array, conditions, f = separation.array, separation.conditions, separation.frequencies_hz
    power = np.full(len(f), conditions.snr)
    information = delay_information(power, conditions.noise(array, f), f, array.delays_s(u), gaussian=True)
    information *= conditions.snapshots / len(f)  # power and noise are of one snapshot
    bound = bearing_covariance(array, u, information)
    blur = np.ones(len(u))
    if array.position_error_m or array.timing_error_s or array.sound_speed_error_m_s:
        exact = replace(array, position_error_m=0.0, timing_error_s=0.0, sound_speed_error_m_s=0.0)
        without = np.linalg.eigvalsh(bearing_covariance(exact, u, information))
        blur = without[:, -1] / np.linalg.eigvalsh(bound)[:, -1]
    return with_flat_axes(separation, u, bound, blur)


def variance_of(covariance: Floats) -> Floats:
    """Variance on the sphere, at most that of ignorance. `[n, 2, 2]` → `[n]` rad²."""
    return np.asarray(np.minimum(np.trace(covariance, axis1=-2, axis2=-1), LARGEST_RAD**2))


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
