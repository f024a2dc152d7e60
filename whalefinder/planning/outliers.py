"""Where bearings jump to a wrong lobe: the pairwise probabilities of docs/how-it-works.md, "False lobes"."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.special import ndtr

from whalefinder.array.geometry import Floats, HydrophoneArray, equal_area_grid, great_circle_rad, tangents
from whalefinder.planning.conditions import Conditions
from whalefinder.planning.separation import Separation

Index = NDArray[np.intp]
BEYOND_RAD = np.radians(10.0)
"""A bearing that is further off is an outlier, as in the benchmark."""
STEPS_PER_LOBE, ROUGH_STEPS = 8, 3
WIDEST_STEP_RAD = 0.2
NEIGHBOURS = 1.9
"""Neighbours lie within this many steps of the grid."""
PATH = np.linspace(0.0, 1.0, 11)[1:-1, None]
SADDLE, SADDLE_SHARE = 1.0, 0.002
"""A minimum is a lobe of its own if D climbs by this, and by this share of its largest value, on the way there."""
SURE = 40.0
"""Lobes of a larger D do not matter: Q(√40) is 10⁻¹⁰."""
COARSE = 0.06
"""The grid misses a minimum by at most this share of the largest separation."""
SQUARE = np.stack(np.meshgrid([-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0]), axis=-1).reshape(9, 2)
PARABOLOID = np.linalg.pinv(
    np.stack([np.ones(9), *SQUARE.T, SQUARE[:, 0] ** 2 / 2, SQUARE.prod(1), SQUARE[:, 1] ** 2 / 2], axis=1)
)
"""Coefficients of a paraboloid from its values on `SQUARE`, by least squares."""
FINER = (0.5, 0.1)
"""Half widths of the squares on which a minimum is sought, in steps of the grid."""


@dataclass(frozen=True, kw_only=True)
class Sphere:
    """Directions that a bearing can have, with their neighbours.

    Args:
        u: `[direction, 3]` unit vectors.
        step_rad: the distance of neighbours.
        neighbours: `[direction, k]` indices; the index of the direction itself fills up.
        rounds: how often the place of a lobe is refined, `len(FINER)` at most.
    """

    u: Floats
    step_rad: float
    neighbours: Index
    rounds: int = len(FINER)

    @classmethod
    def of(cls, step_rad: float, max_elevation_rad: float, rounds: int = len(FINER)) -> Sphere:
        """Directions `step_rad` apart, below the highest elevation."""
        u = equal_area_grid(step_rad, max_elevation_rad)
        _, near = cKDTree(u).query(u, k=min(9, len(u)), distance_upper_bound=NEIGHBOURS * step_rad)
        return cls(
            u=u,
            step_rad=step_rad,
            neighbours=np.where(near < len(u), near, np.arange(len(u))[:, None]),
            rounds=rounds,
        )


def sphere_of(array: HydrophoneArray, conditions: Conditions, *, rough: bool = False) -> Sphere:
    """Directions so dense that no lobe is missed. A lobe is as wide as the wavelength over the aperture.

    Rough ones are for a search that tries thousands of arrays.
    """
    lobe = array.sound_speed_m_s / (conditions.call.high_hz * array.aperture_m)
    step = min(lobe / (ROUGH_STEPS if rough else STEPS_PER_LOBE), WIDEST_STEP_RAD)
    return Sphere.of(step, array.max_elevation_rad(), 1 if rough else len(FINER))


def outliers(separation: Separation, u0: Floats, sphere: Sphere) -> tuple[Floats, Floats, Floats]:
    """How often the likelihood of a wrong lobe is the highest.

    The lobes are the minima of D, each with the probability p = Q(√D) of being preferred to the true direction. All
    comparisons share the true direction, so as a rule their errors have positive correlations, and the probability that
    none is lost is at least Π (1 - p) (Slepian 1962). The rest is what is returned: an upper bound.

    Args:
        separation: D of the array under its conditions.
        u0: true directions `[n, 3]`.
        sphere: directions among which the lobes are.

    Returns:
        `[n]` the probability that another lobe wins; the probability that one wins which is more than 10° off; and
        the mean square of the angle to the lobe that wins, times the probability that one wins, rad².
    """
    sums = np.zeros((4, len(u0)))
    for span, d, most in separation.from_each(u0, sphere.u):
        # Only minima that could matter: the grid misses their depth by a few per cent of the largest D.
        lowest = (d[:, sphere.neighbours] >= d[..., None]).all(-1)
        row, place = np.nonzero(lowest & (d - COARSE * most[:, None] < SURE))
        true, lobe, depth = u0[span][row], sphere.u[place], d[row, place]
        if len(row):
            lobe, depth = _refined(separation, true, lobe, depth, sphere)
        if separation.array.shape == "plane":
            row, true, lobe, depth = _with_images(separation, u0[span], row, true, lobe, depth, sphere)
        if not len(row):
            continue
        climb = separation.of_pairs(true, _between(true, lobe)).max(-1) - depth
        own = climb > np.maximum(SADDLE, SADDLE_SHARE * most[row])
        row, off, p = row[own], great_circle_rad(true, lobe)[own], ndtr(-np.sqrt(depth[own]))
        kept = np.log1p(-p)
        for part, weights in zip(sums, (kept, kept * (off > BEYOND_RAD), p, p * off**2), strict=True):
            part[span] = np.bincount(row, weights, len(most))
    lobe_wins, beyond = -np.expm1(sums[:2])
    return lobe_wins, beyond, lobe_wins * sums[3] / np.maximum(sums[2], 1e-300)


def _with_images(
    separation: Separation, u0: Floats, row: Index, true: Floats, lobe: Floats, depth: Floats, sphere: Sphere
) -> tuple[Index, Floats, Floats, Floats]:
    """The mirror images in the plane of a flat array, where D is 0, in place of the minima that the grid found there.

    Near the plane the image is close, and the ridge between is lower than what the grid can tell.
    """
    normal = separation.array.principal_axes()[1][2]
    image = u0 - 2 * (u0 @ normal)[:, None] * normal
    kept = great_circle_rad(image[row], lobe) > NEIGHBOURS * sphere.step_rad
    heard = np.flatnonzero(image[:, 2] <= np.sin(separation.array.max_elevation_rad()) + 1e-12)
    return (
        np.concatenate([row[kept], heard]),
        np.concatenate([true[kept], u0[heard]]),
        np.concatenate([lobe[kept], image[heard]]),
        np.concatenate([depth[kept], np.zeros(len(heard))]),
    )


def _between(u: Floats, other: Floats) -> Floats:
    """Directions on the arcs from `u` to `other`, without the ends. `[n, 3]` twice → `[n, path, 3]`."""
    angle = great_circle_rad(u, other)[:, None, None]
    return _unit(u[:, None] * np.sin((1 - PATH) * angle) + other[:, None] * np.sin(PATH * angle))


def _refined(
    separation: Separation, true: Floats, lobe: Floats, depth: Floats, sphere: Sphere
) -> tuple[Floats, Floats]:
    """The exact minima near directions of the grid, by paraboloids: their directions `[n, 3]` and D `[n]`."""
    highest = sphere.u[:, 2].max() + sphere.step_rad / 2
    for width in FINER[: sphere.rounds]:
        h = width * sphere.step_rad
        across = np.stack(tangents(lobe), axis=1)  # [n, axis, 3]
        values = separation.of_pairs(true, _unit(lobe[:, None] + h * SQUARE @ across))
        _, gx, gy, hxx, hxy, hyy = PARABOLOID @ values.T
        hessian = np.stack([np.stack([hxx, hxy], -1), np.stack([hxy, hyy], -1)], -2) + 1e-9 * np.eye(2)
        step = np.linalg.solve(hessian, -np.stack([gx, gy], -1)[..., None])[..., 0]
        # Not far beyond the square; where the paraboloid has no minimum, to the lowest of the nine.
        convex = np.linalg.eigvalsh(hessian)[:, :1] > 0
        step = np.where(convex, np.clip(step, -1.5, 1.5), SQUARE[values.argmin(1)])
        moved = _unit(lobe + h * (step[:, None] @ across)[:, 0])
        found = separation.of_pairs(true, moved[:, None])[:, 0]
        better = (found < depth) & (moved[:, 2] <= highest)
        lobe, depth = np.where(better[:, None], moved, lobe), np.where(better, found, depth)
    return lobe, depth


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12))
