"""A Bayes filter on a grid of directions that moves with the animal. The tracker is compared with it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.rivals import HIDDEN_SR, Bools, backwards, both_ways
from whalefinder.array.geometry import Floats, tangent_offset, tangents
from whalefinder.tracks.fixes import Steps
from whalefinder.tracks.kalman import Filtered, choose, predict


@dataclass(frozen=True)
class GridSettings:
    """Settings of the Bayes filter on a grid.

    Args:
        acceleration: white acceleration of the direction, rad / s^1.5.
        rate_sd: standard deviation of the rate at the first fix, rad/s.
        outlier: prior probability that a fix comes from another sound.
        freedom: degrees of freedom of Student's t for the errors of good fixes, along level and up.
        resets: after so many unused fixes in a row the filter begins again.
        sd_scale: factor on the stated errors of fixes.
        ceiling_rad: highest elevation of animals; π/2 for an array on the sea floor.
        points: points of the grid along each axis.
    """

    acceleration: float = 1e-3
    rate_sd: float = 0.01
    outlier: float = 0.1
    freedom: float = 4.0
    resets: int = 4
    sd_scale: float = 1.0
    ceiling_rad: float = np.radians(3.0)
    points: int = 41


GRID_CAUSAL = GridSettings(acceleration=1.8e-3, rate_sd=4e-4, outlier=0.03, freedom=1.6, resets=4, sd_scale=1.5)
GRID_SMOOTHER = GridSettings(acceleration=1e-3, rate_sd=1.4e-3, outlier=0.07, freedom=5.7, resets=6, sd_scale=2.0)
SPACING = 0.6
"""Spacing of the grid in stated errors of the fix, unless the prediction needs a wider grid."""
SPAN = 7.0
"""The grid is at least this many standard deviations of the prediction wide."""
WIDEST_RAD = np.radians(120.0)


def grid_bayes(steps: Steps, settings: GridSettings | None = None, smoother: bool = False) -> Floats:
    """Bayes filter on a grid of directions that moves with the animal (a point-mass filter).

    The density of the direction is on a square grid around the prediction, in which distances and azimuths from the
    centre are exact. The grid is as fine as the fix needs and as wide as the prediction. So likelihoods of any shape
    can be multiplied. The rate has a normal distribution whose mean depends linearly on the direction. A fix changes
    the rate only through the direction, so this line stays. With normal likelihoods the filter is a Kalman filter.
    Apart from the grid, level and up are independent.

    A grid of fixed cells was tried first. Its cells of 1 to 2° were larger than errors of fixes, and it had no rates.

    The smoother is that of Rauch, Tung and Striebel on the moments, in both directions of time (`both_ways`).

    Shape:
        → directions `[batch, step, 3]`.
    """
    settings = settings or (GRID_SMOOTHER if smoother else GRID_CAUSAL)
    forward = grid_filter(steps, settings)
    return both_ways(steps, forward, grid_filter(backwards(steps), settings)) if smoother else forward.u


@dataclass
class _Grid:
    """Density of the direction and of the rate.

    Args:
        origin: centre of the grid `[batch, 3]`.
        axes: its unit tangents (level, up) `[batch, 2, 3]`.
        mass: probability of the points `[batch, point, point]`.
        spacing: distance of the points along the axes, `[batch, 2]` rad.
        mean, variance: of the direction along the axes, `[batch, 2]`.
        rate: mean rate along the axes, `[batch, 2]`.
        slope: change of the rate with the direction, `[batch, 2]`.
        rest: variance of the rate about this line, `[batch, 2]`.
    """

    origin: Floats
    axes: Floats
    mass: Floats
    spacing: Floats
    mean: Floats
    variance: Floats
    rate: Floats
    slope: Floats
    rest: Floats


def grid_filter(steps: Steps, settings: GridSettings) -> Filtered:
    """Run the grid from fix to fix, forwards in time. Between fixes, predict the moments as a Kalman filter does."""
    at, there = _fix_steps(steps)
    time = np.cumsum(steps.dt_s, axis=1)
    out = Filtered.empty(*steps.dt_s.shape)
    missed = np.zeros(len(at), int)
    rows = np.flatnonzero(there[:, 0])
    grid = _begin_grid(steps.u[rows, at[rows, 0]], settings.sd_scale * steps.sd_rad[rows, at[rows, 0]], settings)
    for k in range(at.shape[1]):
        # Sequences without a further fix drop out.
        grid, rows = _rows_of(grid, there[rows, k]), rows[there[rows, k]]
        here = at[rows, k]
        u, sd_rad = steps.u[rows, here], settings.sd_scale * steps.sd_rad[rows, here]
        anew, believed = np.full(len(rows), k == 0), np.ones(len(rows), bool)
        if k > 0:
            predicted = _predict_grid(grid, time[rows, here] - time[rows, at[rows, k - 1]], sd_rad, settings)
            updated, belief = _update_grid(predicted, u, sd_rad, settings)
            believed = belief > 0.5
            missed[rows] = np.where(believed, 0, missed[rows] + 1)
            anew = missed[rows] >= settings.resets
            grid = _choose_grid(anew, _begin_grid(u, sd_rad, settings), updated)
            missed[rows[anew]] = 0
        out.mean[rows, here], out.covariance[rows, here] = _state_of(grid)
        out.accepted[rows, here], out.restarted[rows, here] = anew | believed, anew
    return _carried(steps, out, settings.acceleration)


def _fix_steps(steps: Steps) -> tuple[NDArray[np.intp], Bools]:
    """Step of the k-th fix (the last one is repeated), and whether there is a k-th fix. `[batch, fix]`."""
    count = steps.present.sum(axis=1)
    order = np.argsort(~steps.present, axis=1, kind="stable")[:, : count.max()]
    number = np.arange(count.max())
    at = np.take_along_axis(order, np.minimum(number, np.maximum(count[:, None] - 1, 0)), axis=1)
    return at, number < count[:, None]


def _carried(steps: Steps, out: Filtered, acceleration: float) -> Filtered:
    """Fill in the predictions, and the states at steps without a fix."""
    mean, covariance = out.mean[:, 0], out.covariance[:, 0] + np.eye(6) * 1e-12
    out.started[:] = np.maximum.accumulate(steps.present, axis=1)
    for t in range(steps.dt_s.shape[1]):
        mean, covariance = predict(mean, covariance, steps.dt_s[:, t], acceleration)
        out.predicted_mean[:, t], out.predicted_covariance[:, t] = mean, covariance
        mean = choose(steps.present[:, t], out.mean[:, t], mean)
        covariance = choose(steps.present[:, t], out.covariance[:, t], covariance)
        out.mean[:, t], out.covariance[:, t] = mean, covariance
    return out


def _begin_grid(u: Floats, sd_rad: Floats, settings: GridSettings) -> _Grid:
    """The grid after the first fix `[batch, 3]` with its errors `[batch, 2]`."""
    index = _index(settings.points)
    spacing = SPACING * sd_rad
    along = [student(index * spacing[:, k, None], sd_rad[:, k, None], settings.freedom) for k in (0, 1)]
    mass = along[0][:, :, None] * along[1][:, None, :]
    zero, axes = np.zeros_like(sd_rad), np.stack(tangents(u), axis=1)
    rest = np.full_like(sd_rad, settings.rate_sd**2)
    return _measured(_Grid(u, axes, mass, spacing, zero, sd_rad**2, zero, zero, rest))


def _predict_grid(grid: _Grid, dt_s: Floats, sd_rad: Floats, settings: GridSettings) -> _Grid:
    """Predict the density after `dt_s` `[batch]`, on a new grid for a fix with errors `sd_rad` `[batch, 2]`."""
    dt, q = dt_s[:, None], settings.acceleration**2
    together = grid.slope * grid.variance
    rates = grid.rest + grid.slope * together
    variance = grid.variance + 2 * dt * together + dt**2 * rates + q * dt**3 / 3
    spacing = np.maximum(SPACING * sd_rad.min(axis=1, keepdims=True), SPAN * np.sqrt(variance) / settings.points)
    spacing = np.minimum(spacing, WIDEST_RAD / settings.points)
    index = _index(settings.points)
    # A point x moves to x + dt (rate + slope (x - mean)), plus the scatter of the rate and of the acceleration.
    stretch, scatter = 1 + dt * grid.slope, dt**2 * grid.rest + q * dt**3 / 3
    source = stretch[..., None] * (index * grid.spacing[..., None] - grid.mean[..., None])
    # Kernels that are narrower than the distance of the points would fall between them.
    blur = np.maximum(scatter, (0.5 * np.maximum(spacing, np.abs(stretch) * grid.spacing)) ** 2)
    apart = index[:, None] * spacing[..., None, None] - source[..., None, :]
    kernel = np.exp(-0.5 * apart**2 / blur[..., None, None])
    mass = kernel[:, 0] @ grid.mass @ np.swapaxes(kernel[:, 1], -1, -2)
    # The added blur is independent of the rate, so it lowers the slope. Otherwise errors of fixes would become rate.
    variance = variance + blur - scatter
    new_together = together + dt * rates + q * dt**2 / 2
    slope = new_together / variance
    rest = np.maximum(rates + q * dt - slope * new_together, 1e-16)
    origin, axes = transported(grid.origin, grid.axes, grid.mean + dt * grid.rate)
    return _Grid(origin, axes, mass, spacing, np.zeros_like(spacing), variance, grid.rate, slope, rest)


def _update_grid(grid: _Grid, u: Floats, sd_rad: Floats, settings: GridSettings) -> tuple[_Grid, Floats]:
    """Multiply by the likelihood of a fix. → grid, and probability `[batch]` that the fix is of the animal."""
    index = _index(settings.points)
    x, y = index * grid.spacing[:, 0, None], index * grid.spacing[:, 1, None]
    fix = tangent_offset(grid.axes, grid.origin, u)
    # The axes (level, up) at the fix, in the axes of the grid.
    turn = np.einsum("bki,bji->bkj", np.stack(tangents(u), axis=1), grid.axes)
    dx, dy = (fix[:, 0, None] - x)[:, :, None], (fix[:, 1, None] - y)[:, None, :]
    good: Floats | float = 1.0 - settings.outlier
    floor = (0.4 * grid.spacing.max(axis=1)) ** 2
    for k in (0, 1):
        error = turn[:, k, 0, None, None] * dx + turn[:, k, 1, None, None] * dy
        sd = np.sqrt(sd_rad[:, k] ** 2 + floor)
        good = good * student(error, sd[:, None, None], settings.freedom)
    height = grid.origin[:, 2, None, None] + grid.axes[:, 0, 2, None, None] * x[:, :, None]
    height = height + grid.axes[:, 1, 2, None, None] * y[:, None, :]
    mass = grid.mass * np.where(height <= np.sin(settings.ceiling_rad), 1.0, 1e-3)
    mass = mass / mass.sum(axis=(1, 2), keepdims=True)
    hit = (mass * good).sum(axis=(1, 2))
    miss = settings.outlier / HIDDEN_SR
    updated = _Grid(**{**vars(grid), "mass": mass * (good + miss)})
    return _measured(updated), hit / (hit + miss)


def _measured(grid: _Grid) -> _Grid:
    """Normalise the mass, and compute the moments of the direction and the rate at its mean."""
    mass = grid.mass / grid.mass.sum(axis=(1, 2), keepdims=True)
    index = _index(mass.shape[1])
    mean, variance = np.empty_like(grid.mean), np.empty_like(grid.variance)
    for k, along in enumerate((mass.sum(axis=2), mass.sum(axis=1))):
        mean[:, k] = (along @ index) * grid.spacing[:, k]
        # A point stands for its whole cell.
        variance[:, k] = ((along @ index**2) - (along @ index) ** 2 + 1 / 12) * grid.spacing[:, k] ** 2
    rate = grid.rate + grid.slope * (mean - grid.mean)
    return _Grid(grid.origin, grid.axes, mass, grid.spacing, mean, variance, rate, grid.slope, grid.rest)


def _state_of(grid: _Grid) -> tuple[Floats, Floats]:
    """Mean `[batch, 6]` and covariance `[batch, 6, 6]` as in a Kalman filter."""
    u, axes = transported(grid.origin, grid.axes, grid.mean)
    mean = np.concatenate([u, (grid.rate[..., None] * axes).sum(axis=1)], axis=-1)
    outer = axes[..., :, None] * axes[..., None, :]
    covariance = np.zeros((len(u), 6, 6))
    together = grid.slope * grid.variance
    blocks = (grid.variance, together, grid.rest + grid.slope * together)
    first, cross, last = ((values[..., None, None] * outer).sum(axis=1) for values in blocks)
    # Along u nothing is measured. A value there keeps the matrix invertible.
    radial = u[:, :, None] * u[:, None, :]
    covariance[:, :3, :3] = first + grid.variance.max(axis=1)[:, None, None] * radial
    covariance[:, :3, 3:] = covariance[:, 3:, :3] = cross
    covariance[:, 3:, 3:] = last + blocks[2].max(axis=1)[:, None, None] * radial
    return mean, covariance


def _choose_grid(which: Bools, a: _Grid, b: _Grid) -> _Grid:
    return _Grid(
        *(choose(which, first, second) for first, second in zip(vars(a).values(), vars(b).values(), strict=True))
    )


def _rows_of(grid: _Grid, which: Bools) -> _Grid:
    return _Grid(*(values[which] for values in vars(grid).values()))


def _index(points: int) -> Floats:
    return np.arange(points, dtype=np.float64) - (points - 1) / 2


def transported(origin: Floats, axes: Floats, offset: Floats) -> tuple[Floats, Floats]:
    """Move the origin by `offset` `[batch, 2]` rad along a great circle, and the axes by parallel transport.

    Parallel transport of e from o to o' gives e - (o'·e)/(1 + o·o') (o + o').
    """
    arc = np.linalg.norm(offset, axis=-1, keepdims=True)
    heading = (offset[..., None] * axes).sum(axis=1) / np.maximum(arc, 1e-12)
    arc = np.minimum(arc, 3.0)
    there = np.cos(arc) * origin + np.sin(arc) * heading
    there = there / np.linalg.norm(there, axis=-1, keepdims=True)
    share = (axes * there[:, None]).sum(axis=-1, keepdims=True) / (1 + (origin * there).sum(axis=-1))[:, None, None]
    return np.asarray(there), np.asarray(axes - share * (origin + there)[:, None])


def student(error: Floats, sd: Floats, freedom: float) -> Floats:
    """Density of Student's t distribution with the scale `sd`. It is five times as fast as that of `scipy.stats`."""
    constant = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - 0.5 * math.log(freedom * math.pi)
    tail = np.exp(-(freedom + 1) / 2 * np.log1p((error / sd) ** 2 / freedom))
    return np.asarray(math.exp(constant) / sd * tail)
