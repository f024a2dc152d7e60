"""Predictions all round: for the map, for the table, and the SNR below which outliers begin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from whalefinder.array.geometry import Floats, HydrophoneArray, direction, equal_area_grid
from whalefinder.planning.conditions import Conditions
from whalefinder.planning.outliers import sphere_of
from whalefinder.planning.predict import predict

SHOWN_ELEVATIONS_DEG = (-2.0, -20.0, -60.0)
SKY_STEP_DEG, SKY_TOP_DEG = 6.0, 30.0
SKY_DEG = (-90, -80, -70, -60, -50, -40, -32, -25, -19, -14, -10, -6, -3, 0, 3, 6, 10, 14, 19, 25)
BEGIN_SHARE = 0.01
SNR_DB = (-40.0, 40.0)


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
