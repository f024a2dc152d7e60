"""The surface image of a call: the sea surface reflects sound like a mirror.

The sound of a source under water arrives twice, directly and by reflection, as if from an image above the surface. A
fix that assumes one plane wave then has the right azimuth but an elevation between the two rays. If the depth of the
array is known, both rays are in the model. The elevation is then right, and the path difference gives the range
(docs/how-it-works.md, Lloyd's mirror).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from whalefinder.array.geometry import Floats, HydrophoneArray, angles, direction, tangents
from whalefinder.array.limit import inverse_curvature
from whalefinder.bearings.likelihood import Cells, plane_wave_likelihood, steered_likelihood_of_cells

SEARCH_CELLS, REFINE_CELLS = 120, 300
PREVIEW_CELLS, PREVIEW_SHARE = 40, 0.1  # the whole grid is scored with these; its best share then with all SEARCH_CELLS
REACH_DEG, STEP_DEG = 6.0, 0.4  # elevations that are tried around a plane-wave peak
COEFFICIENTS = (-0.5, -0.9)  # reflection coefficients that are tried
DELAY_STEP_S = 6e-5  # ranges that are tried differ by this in the delay of the reflection
MAX_RANGES = 32
STARTS, DRAWS, ROUNDS = 4, 24, 14
BLOCK = 400
HOPE = 60.0  # a grid further than this (log L) below the plane wave is not refined; see docs/experiments.md


@dataclass(frozen=True)
class MirroredFix:
    """A fix with the surface image.

    Args:
        rays: the direct ray and its image, `[5]` as in the hypotheses of `surface_steering`.
        covariance: `[3, 3]` of level, up (rad) and log range, from noise alone, not yet corrected for overlapping frames.
        gain: log L minus that of the plane wave.
    """

    rays: Floats
    covariance: Floats
    gain: float

    @property
    def u(self) -> Floats:
        """Unit vector `[3]` of the direct ray."""
        return self.rays[:3]

    @property
    def range_m(self) -> float:
        """Range in metres."""
        return float(1 / self.rays[3])


def surface_steering(array: HydrophoneArray, frequency_hz: Tensor, hypotheses: Floats) -> Tensor:
    """Steering vectors of the direct ray plus its image in the surface.

    The array is at depth D. A source at range R in direction u is R u_z above the array, and its image is 2 D - R u_z
    above it: the vector to the image is (R u_x, R u_y, 2 D - R u_z). Path difference, image direction and amplitude
    R / R' follow exactly from this. The only approximation is that wavefronts are plane.

    Args:
        array: the geometry, with its depth.
        frequency_hz: `[cell]`.
        hypotheses: `[hypothesis, 5]`: unit vector (3), 1 / range (1/m), reflection coefficient.

    Shape:
        → complex `[hypothesis, cell, channel]`.
    """
    depth = float(array.depth_m or 0.0)
    u, inverse_range, coefficient = hypotheses[:, :3], hypotheses[:, 3], hypotheses[:, 4]
    image = u * np.array([1.0, 1.0, -1.0])
    image[:, 2] += 2 * depth * inverse_range  # in units of R
    length = np.linalg.norm(image, axis=1)
    # (R' - R) / c, from R'² - R² = 4 D (D - R u_z), to avoid the difference of two nearly equal numbers at long range.
    extra = 4 * depth * (depth * inverse_range - u[:, 2]) / (length + 1.0) / array.sound_speed_m_s
    direct_s = array.delays_s(u)
    image_s = array.delays_s(image / length[:, None]) + extra[:, None]
    turn = -2 * math.pi * frequency_hz[:, None]

    def ray(delays: Floats, amplitude: Floats) -> Tensor:
        angle = turn * torch.from_numpy(delays).to(frequency_hz)[:, None, :]
        return torch.polar(torch.from_numpy(np.abs(amplitude)).to(frequency_hz)[:, None, None].expand_as(angle), angle)

    return ray(direct_s, np.ones(len(u))) - ray(image_s, coefficient / length)


def fit_image(cells: Cells, array: HydrophoneArray, starts: Floats, plane_value: float) -> MirroredFix | None:
    """Search direction, range and reflection coefficient around peaks of the plane-wave likelihood.

    A grid over elevation, range and coefficient comes first. Then all are refined together. The two rays have many local
    tops, and the highest one is not always near the highest plane wave.

    Args:
        cells: from `gather_cells`.
        array: the geometry, with its depth.
        starts: unit vectors of the peaks `[start, 3]`.
        plane_value: log L of the best plane wave over the first `REFINE_CELLS` cells.

    Returns:
        The best fix with an image, or None if no image of the grid comes near the plane wave.
    """
    few = cells.best(SEARCH_CELLS)
    hypotheses = _grid(array, starts)
    first = _in_blocks(cells.best(PREVIEW_CELLS), array, hypotheses)
    hypotheses = hypotheses[np.argsort(first)[::-1][: max(STARTS, int(PREVIEW_SHARE * len(hypotheses)))]]
    scores = _in_blocks(few, array, hypotheses)
    plane = plane_wave_likelihood(few, torch.from_numpy(array.delays_s(starts)).to(few.frequency_hz))
    if scores.max() < float(plane.max()) - HOPE:
        return None  # no image comes near the likelihood of one ray alone
    best = hypotheses[np.argsort(scores)[::-1][:STARTS]]
    exact = cells.best(REFINE_CELLS).double()
    best, value = _refine(exact, array, best)
    return MirroredFix(best[0], _covariance(exact, array, best[0]), value - plane_value)


def likelihood_with_image(cells: Cells, array: HydrophoneArray, hypotheses: Floats) -> Floats:
    """Log L of every cell for a direct ray and its image. `[hypothesis, 5]` (`surface_steering`) → `[hypothesis, cell]`."""
    steering = surface_steering(array, cells.frequency_hz, hypotheses)
    return np.asarray(steered_likelihood_of_cells(cells, steering).numpy())


def _in_blocks(cells: Cells, array: HydrophoneArray, hypotheses: Floats) -> Floats:
    blocks = np.array_split(hypotheses, 1 + len(hypotheses) // BLOCK)
    return np.concatenate([_scores(cells, array, block) for block in blocks])


def _scores(cells: Cells, array: HydrophoneArray, hypotheses: Floats) -> Floats:
    return likelihood_with_image(cells, array, hypotheses).sum(-1)


def _grid(array: HydrophoneArray, starts: Floats) -> Floats:
    """Every combination of start, elevation, range and coefficient with the source under water. → `[hypothesis, 5]`."""
    depth = float(array.depth_m or 0.0)
    azimuth, elevation = angles(starts)
    longest_s = 2 * depth**2 / array.min_range_m / array.sound_speed_m_s
    ranges = int(np.clip(math.ceil(longest_s / DELAY_STEP_S), 4, MAX_RANGES))
    offsets = np.radians(np.arange(-REACH_DEG, REACH_DEG + 1e-9, STEP_DEG))
    index, offset, inverse_range, coefficient = (
        x.ravel()
        for x in np.meshgrid(
            np.arange(len(starts)),
            offsets,
            np.linspace(3e-4, 1 / array.min_range_m, ranges),
            COEFFICIENTS,
            indexing="ij",
        )
    )
    turned = elevation[index] + offset
    u = direction(azimuth[index], turned)
    # Under water, depth D - R u_z > 0, and not past the vertical.
    possible = (depth * inverse_range > u[:, 2]) & (turned > -np.pi / 2) & (turned <= array.max_elevation_rad())
    grid = np.column_stack([u, inverse_range, coefficient])[possible]
    return grid if len(grid) else np.array([[*starts[0], 1e-3, COEFFICIENTS[0]]])


def _refine(cells: Cells, array: HydrophoneArray, starts: Floats) -> tuple[Floats, float]:
    """Refine by random steps that become smaller. → hypotheses, best first, and the best log L.

    A change of range can be made up by a change of direction, along curved ridges. A grid of 3 x 3 points misses those.
    """
    rng = np.random.default_rng(0)
    best = starts.copy()
    values = _scores(cells, array, best)
    scale = np.array([0.01, 0.005, 0.15, 0.15])  # level, up (rad), relative 1/R, coefficient
    index = np.arange(len(best))
    for _ in range(ROUNDS):
        moved = _moved(
            np.repeat(best[:, None], DRAWS, axis=1), rng.standard_normal((len(best), DRAWS, 4)) * scale, array
        )
        scores = _scores(cells, array, moved.reshape(-1, 5)).reshape(len(best), -1)
        winner = scores.argmax(1)
        better = scores[index, winner] > values
        best[better] = moved[index, winner][better]
        values = np.maximum(values, scores[index, winner])
        scale = scale * 0.7
    order = np.argsort(values)[::-1]
    return best[order], float(values[order[0]])


def _moved(hypotheses: Floats, steps: Floats, array: HydrophoneArray | None) -> Floats:
    """Hypotheses `[..., 5]` moved by steps `[..., 4]` (level rad, up rad, log 1/R, coefficient).

    If `array` is given, they are kept within what is possible: under water, range and coefficient within their limits.
    """
    moved = hypotheses.copy()
    level, up = tangents(moved[..., :3])
    moved[..., :3] += steps[..., :1] * level + steps[..., 1:2] * up
    moved[..., 3] *= np.exp(steps[..., 2])
    moved[..., 4] += steps[..., 3]
    if array is not None:
        moved[..., 3] = np.clip(moved[..., 3], 1e-4, 1 / array.min_range_m)
        # The source stays under water: D - R u_z > 0.
        moved[..., 2] = np.minimum(moved[..., 2], float(array.depth_m or 0.0) * moved[..., 3])
        moved[..., 4] = np.clip(moved[..., 4], -1.0, 0.0)
    moved[..., :3] /= np.linalg.norm(moved[..., :3], axis=-1, keepdims=True)
    return moved


SIGNS = ((1, 1), (1, -1), (-1, 1), (-1, -1))


def _covariance(cells: Cells, array: HydrophoneArray, best: Floats) -> Floats:
    """Covariance of level, up and log range, `[3, 3]`, from the curvature over all four unknowns.

    The whole 4 x 4 matrix is inverted, so the uncertainty of the coefficient is included.
    """
    step = np.array([2e-4, 2e-4, 0.01, 0.01])
    eye = np.eye(4)
    corners = np.stack([(i * eye[a] + j * eye[b]) * step for a in range(4) for b in range(4) for i, j in SIGNS])
    f = _scores(cells, array, _moved(np.repeat(best[None], len(corners), axis=0), corners, None)).reshape(4, 4, 4)
    hessian = (f[..., 0] - f[..., 1] - f[..., 2] + f[..., 3]) / (4 * np.outer(step, step))
    return inverse_curvature(-hessian)[:3, :3]
