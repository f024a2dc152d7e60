"""Errors along an axis that the array hardly measures, as the elevation near the plane of a flat array.

The bound takes the log likelihood for a parabola. Where that is so flat that the error is many degrees, the likelihood is
no parabola, and the bound is far too large: in the plane itself it is infinite.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from whalefinder.array.geometry import Floats, tangents
from whalefinder.planning.outliers import SADDLE
from whalefinder.planning.separation import Separation

FLAT_RAD = np.radians(1.5)
"""From this standard deviation along its worse axis on, an error is taken from the likelihood itself."""
REACH_RAD = np.linspace(-np.pi / 2, np.pi / 2, 181)
"""Where the likelihood is taken: steps of 1°."""
MIDDLE = len(REACH_RAD) // 2


def with_flat_axes(separation: Separation, u: Floats, covariance: Floats, blur: Floats) -> Floats:
    """Covariances `[n, 2, 2]` rad² in which large variances are those of the likelihood.

    Near the true direction D = δᵀJδ / 4, as the pairwise error Q(√J δ / 2) shows, so the likelihood is exp(-2 D) there,
    and its variance is taken along the great circle of the worse axis, below the highest elevation.

    Args:
        separation: D of the array under its conditions.
        u: true directions `[n, 3]`.
        covariance: of the bound, `[n, 2, 2]` rad², axes (level, up).
        blur: `[n]` variance along the worse axis without errors of the array, over that with them: D shrinks by it.
    """
    values, vectors = np.linalg.eigh(covariance)
    flat = np.flatnonzero(values[:, -1] > FLAT_RAD**2)
    if not len(flat):
        return covariance
    axis = np.einsum("na,nax->nx", vectors[flat, :, -1], np.stack(tangents(u[flat]), axis=1))
    circle = np.cos(REACH_RAD)[:, None] * u[flat, None] + np.sin(REACH_RAD)[:, None] * axis[:, None]
    d = separation.of_pairs(u[flat], circle)
    weight = np.exp(-2 * blur[flat, None] * d) * _in_lobe(d)
    weight *= circle[..., 2] <= np.sin(separation.array.max_elevation_rad()) + 1e-9
    # A true direction above the highest elevation has no weight anywhere near; it keeps itself.
    weight[:, MIDDLE] += 1e-12
    values[flat, -1] = (weight * REACH_RAD**2).sum(-1) / weight.sum(-1)
    return np.asarray((vectors * values[:, None, :]) @ vectors.swapaxes(-1, -2))


def _in_lobe(d: Floats) -> NDArray[np.bool_]:
    """Whether a place is in the lobe of the true direction: no ridge is on the way. `[n, place]` of D → the same."""
    sides = []
    for side in (d[:, MIDDLE::-1], d[:, MIDDLE:]):
        ridge = np.maximum.accumulate(side, axis=-1)
        sides.append(~np.logical_or.accumulate(ridge - side > SADDLE, axis=-1))
    return np.concatenate([sides[0][:, :0:-1], sides[1]], axis=-1)
