"""What else follows a whale's direction: rivals of the tracker, each as well tuned as we could (`python -m bench.tune_tracks`).

All take `Steps` and return unit vectors `[batch, step, 3]`. Causal ones know the past alone, smoothers the whole sequence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from whalefinder.filters import Filtered, FilterSettings, begin, innovate, kalman, on_sphere, predict, smooth, update
from whalefinder.fixes import Fixes, Steps, measurement_covariance
from whalefinder.geometry import Floats, great_circle_rad, tangents

Bools = NDArray[np.bool_]

KALMAN_CAUSAL = FilterSettings(acceleration=6e-4, rate_sd=1.4e-3, gate=100.0, resets=5, sd_scale=1.2)
KALMAN_SMOOTHER = FilterSettings(acceleration=9.4e-4, rate_sd=1.4e-3, gate=14.0, resets=6, sd_scale=3.4)
"""By `python -m bench.tune_tracks` on 300 training swims; those of the IMM and the grid on the first 150 of them."""

ROUNDING = 1e-12
"""Least variance of a state, rad² and rad²/s²: a millionth of a radian."""
HIDDEN_SR = 2 * np.pi
"""An outlier lies anywhere below the horizon: its density is 1 over this many steradians."""


# --- the fixes themselves ---------------------------------------------------------------------------------------------


def raw(steps: Steps) -> Floats:
    """The last fix, held. `[batch, step, 3]`; before the first fix the first one."""
    last, first_to_come = _neighbours(steps)
    return np.take_along_axis(steps.u, np.where(last < 0, first_to_come, last)[..., None], axis=1)


def raw_smoother(steps: Steps) -> Floats:
    """Great-circle interpolation between the fixes before and after. `[batch, step, 3]`."""
    time = np.cumsum(steps.dt_s, axis=1)
    last, coming = _neighbours(steps)
    last, coming = np.where(last < 0, coming, last), np.where(coming >= time.shape[1], last, coming)
    u, v = (np.take_along_axis(steps.u, at[..., None], axis=1) for at in (last, coming))
    begins, ends = (np.take_along_axis(time, at, axis=1) for at in (last, coming))
    share = (time - begins) / np.maximum(ends - begins, 1e-9)
    angle = np.maximum(great_circle_rad(u, v), 1e-9)
    between = np.sin((1 - share) * angle)[..., None] * u + np.sin(share * angle)[..., None] * v
    return np.asarray(between / np.maximum(np.linalg.norm(between, axis=-1, keepdims=True), 1e-12))


def _neighbours(steps: Steps) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Step of the last fix so far (-1: none) and of the next one, this step included (length: none). `[batch, step]`."""
    length = steps.present.shape[1]
    here = np.arange(length)
    last = np.maximum.accumulate(np.where(steps.present, here, -1), axis=1)
    coming = np.minimum.accumulate(np.where(steps.present, here, length)[:, ::-1], axis=1)[:, ::-1]
    return last, coming


# --- one Kalman filter with a gate ------------------------------------------------------------------------------------


def kalman_causal(steps: Steps, settings: FilterSettings | None = None) -> Floats:
    """The gated filter of `whalefinder.filters`, tuned as a filter."""
    return kalman(steps, settings or KALMAN_CAUSAL).u


def kalman_smoother(steps: Steps, settings: FilterSettings | None = None) -> Floats:
    """The same with Rauch-Tung-Striebel along both directions of time (`both_ways`), tuned as a smoother."""
    settings = settings or KALMAN_SMOOTHER
    return both_ways(steps, kalman(steps, settings), kalman(backwards(steps), settings))


def backwards(steps: Steps) -> Steps:
    """The same with time running backwards; padding comes first."""
    turned = {field.name: getattr(steps, field.name)[:, ::-1] for field in fields(steps)}
    # dt belongs to the step before it in this direction.
    turned["dt_s"] = np.concatenate([np.zeros((len(steps.dt_s), 1)), steps.dt_s[:, :0:-1]], axis=1)
    return Steps(**turned)


def both_ways(steps: Steps, forward: Filtered, backward: Filtered) -> Floats:
    """RTS along both directions of time, and of the two the one whose filter believed more of the fixes around.

    A filter that began at an outlier, or restarted late after a gap, smooths badly up to there; the filter that comes
    from the other side does not. → `[batch, step, 3]`.

    Args:
        steps: in order of time.
        forward: a filter's run over `steps`.
        backward: its run over `backwards(steps)`.
    """
    ahead = smooth(steps, forward)[0][..., :3]
    behind = smooth(backwards(steps), backward)[0][:, ::-1, :3]
    share_ahead = _believed_share(forward, steps.present)
    share_behind = _believed_share(backward, steps.present[:, ::-1])[:, ::-1]
    return np.where((share_behind > share_ahead + 1e-9)[..., None], behind, ahead)


def _believed_share(filtered: Filtered, present: Bools) -> Floats:
    """Share of fixes believed between the restart before and the restart after. `[batch, step]`."""
    run = np.cumsum(filtered.restarted, axis=1)
    share = np.zeros(run.shape)
    for row, numbers in enumerate(run):
        fixes = np.bincount(numbers, weights=present[row])
        believed = np.bincount(numbers, weights=filtered.accepted[row] & present[row])
        share[row] = (believed / np.maximum(fixes, 1))[numbers]
    return share


# --- interacting multiple model ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ImmSettings:
    """Settings of the IMM.

    Args:
        calm, middle, brisk: white acceleration of the three modes, rad / s^1.5.
        stay_s: mean time in a mode.
        rate_sd: of the first rate, rad/s.
        outlier: prior probability that a fix is of something else.
        tail, tail_scale: share of good fixes whose error has another width, and how much: two Gaussians in place of Student's t.
        resets: so many unbelieved fixes in a row start the filter anew.
        sd_scale: stated errors times this.
    """

    calm: float = 1e-5
    middle: float = 5e-4
    brisk: float = 3e-3
    stay_s: float = 30.0
    rate_sd: float = 0.01
    outlier: float = 0.1
    tail: float = 0.2
    tail_scale: float = 2.5
    resets: int = 4
    sd_scale: float = 1.0

    @property
    def accelerations(self) -> Floats:
        """`[mode]`."""
        return np.array([self.calm, self.middle, self.brisk])


IMM_CAUSAL = ImmSettings(
    calm=2.4e-5,
    middle=1.8e-3,
    brisk=2.5e-3,
    stay_s=7.6,
    rate_sd=1.1e-3,
    outlier=0.08,
    tail=0.2,
    tail_scale=12.0,
    resets=5,
    sd_scale=1.9,
)
IMM_SMOOTHER = ImmSettings(
    calm=1.4e-4,
    middle=1.2e-4,
    brisk=1.7e-3,
    stay_s=2.5,
    rate_sd=9e-4,
    outlier=0.1,
    tail=0.094,
    tail_scale=0.28,
    resets=6,
    sd_scale=2.0,
)


def imm(steps: Steps, settings: ImmSettings | None = None, smoother: bool = False) -> Floats:
    """Three constant-velocity filters that exchange their states (Blom and Bar-Shalom 1988).

    The smoother is Rauch-Tung-Striebel on the moments averaged over the modes, along both directions of time
    (`both_ways`), not a smoother of every mode.
    """
    settings = settings or (IMM_SMOOTHER if smoother else IMM_CAUSAL)
    forward = imm_filter(steps, settings)
    return both_ways(steps, forward, imm_filter(backwards(steps), settings)) if smoother else forward.u


def imm_filter(steps: Steps, settings: ImmSettings) -> Filtered:
    """Run the IMM causally; what it returns are moments over the modes."""
    batch, length = steps.dt_s.shape
    accelerations = settings.accelerations
    modes = len(accelerations)
    noise = measurement_covariance(steps.u, settings.sd_scale * steps.sd_rad)
    first, wide = _for_modes(*begin(steps.u[:, 0], noise[:, 0], settings.rate_sd), modes)
    mean, covariance, weight = first, wide, np.full((batch, modes), 1.0 / modes)
    running, missed, out = np.zeros(batch, bool), np.zeros(batch, int), empty_filtered(batch, length)
    for t in range(length):
        dt_s = steps.dt_s[:, t] * running
        mean, covariance, weight = mix(mean, covariance, weight, np.exp(-dt_s / settings.stay_s))
        mean, covariance = predict(mean, covariance, np.repeat(dt_s[:, None], modes, axis=1), accelerations)
        out.predicted_mean[:, t], out.predicted_covariance[:, t] = moments(mean, covariance, weight)
        present = steps.present[:, t]
        if present.any():
            moved, narrowed, likelihood, belief = soft_update(
                mean, covariance, steps.u[:, t, None], noise[:, t, None], settings
            )
            heard = present & running
            belief = (weight * belief * likelihood).sum(1) / (weight * likelihood).sum(1)
            missed = np.where(heard, np.where(belief > 0.5, 0, missed + 1), missed)
            anew = present & (~running | (missed >= settings.resets))
            first, wide = _for_modes(*begin(steps.u[:, t], noise[:, t], settings.rate_sd), modes)
            mean = _choose(anew, first, _choose(heard, moved, mean))
            covariance = _choose(anew, wide, _choose(heard, narrowed, covariance))
            weight = _choose(heard, weight * likelihood, weight)
            weight = _choose(anew, np.full((batch, modes), 1.0 / modes), weight / weight.sum(1, keepdims=True))
            missed, running = np.where(anew, 0, missed), running | present
            out.accepted[:, t], out.restarted[:, t] = (heard & (belief > 0.5)) | anew, anew
        out.started[:, t] = running
        out.mean[:, t], out.covariance[:, t] = moments(mean, covariance, weight)
    return out


def mix(mean: Floats, covariance: Floats, weight: Floats, stays: Floats) -> tuple[Floats, Floats, Floats]:
    """The IMM's interaction: every mode starts from what the modes it may have come from know.

    Shape:
        `[batch, mode, 6]`, `[batch, mode, 6, 6]`, weight of the modes `[batch, mode]`, probability that nothing was drawn
        `[batch]`; where something was, all modes are equally likely. → the same three.
    """
    modes = mean.shape[1]
    transition = stays[:, None, None] * np.eye(modes) + (1 - stays[:, None, None]) / modes
    joint = weight[:, :, None] * transition  # [batch, from, to]
    prior = joint.sum(axis=1)
    share = joint / np.maximum(prior, 1e-300)[:, None, :]
    mixed = np.einsum("bij,bik->bjk", share, mean)
    apart = mean[:, :, None, :] - mixed[:, None, :, :]  # [batch, from, to, 6]
    weighted = np.swapaxes(share[..., None] * apart, 1, 2)  # [batch, to, from, 6]
    scatter = np.swapaxes(weighted, -1, -2) @ np.swapaxes(apart, 1, 2)
    within = (np.swapaxes(share, 1, 2) @ covariance.reshape(len(mean), modes, 36)).reshape(covariance.shape)
    return on_sphere(mixed), within + scatter, prior


def moments(mean: Floats, covariance: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Mean and covariance of a mixture. `[batch, part, 6]`, `[batch, part, 6, 6]`, `[batch, part]` → without `part`."""
    average = (weight[..., None] * mean).sum(axis=1)
    apart = mean - average[:, None]
    scatter = np.swapaxes(weight[..., None] * apart, -1, -2) @ apart
    total = (weight[..., None, None] * covariance).sum(axis=1) + scatter
    # A thousand updates by rounded numbers leave a covariance that is none; keep it symmetric and above rounding.
    return on_sphere(average), (total + np.swapaxes(total, -1, -2)) / 2 + ROUNDING * np.eye(6)


def soft_update(
    mean: Floats, covariance: Floats, u: Floats, noise: Floats, settings: ImmSettings
) -> tuple[Floats, Floats, Floats, Floats]:
    """Update by a fix that has the one width, the other, or is an outlier, each as likely as it turns out (probabilistic data association).

    Shape:
        `[batch, mode, 6]`, `[batch, mode, 6, 6]`, `[batch, 1, 3]`, `[batch, 1, 3, 3]` → mean, covariance, likelihood of the fix
        `[batch, mode]` per steradian, probability that it is no outlier `[batch, mode]`.
    """
    good = 1.0 - settings.outlier
    kinds = ((good * (1 - settings.tail), 1.0), (good * settings.tail, settings.tail_scale**2))
    means, covariances, weights = [mean], [covariance], [np.full(mean.shape[:-1], settings.outlier / HIDDEN_SR)]
    for prior, variance in kinds:
        innovation, inverse, distance = innovate(mean, covariance, u, variance * noise)
        moved, narrowed = update(mean, covariance, innovation, inverse)
        means, covariances = [*means, moved], [*covariances, narrowed]
        weights.append(prior * tangential_density(mean[..., :3], inverse, distance))
    weight = np.stack(weights, axis=-1)
    likelihood = weight.sum(axis=-1)
    weight = weight / likelihood[..., None]
    flat = mean.shape[0] * mean.shape[1]
    averaged, spread = moments(
        np.stack(means, axis=-2).reshape(flat, 3, 6),
        np.stack(covariances, axis=-3).reshape(flat, 3, 6, 6),
        weight.reshape(flat, 3),
    )
    return averaged.reshape(mean.shape), spread.reshape(covariance.shape), likelihood, 1.0 - weight[..., 0]


def tangential_density(u: Floats, inverse: Floats, distance: Floats) -> Floats:
    """Gaussian density in the plane tangential at `u`, per steradian, from an inverse covariance in three dimensions.

    The determinant of the covariance S within that plane is det S · uᵀS⁻¹u.
    """
    along = np.einsum("...i,...ij,...j->...", u, inverse, u)
    return np.asarray(np.exp(-0.5 * distance) * np.sqrt(np.linalg.det(inverse) / along) / (2 * np.pi))


def empty_filtered(batch: int, length: int) -> Filtered:
    """Room for what a filter finds."""
    means, covariances = (batch, length, 6), (batch, length, 6, 6)
    return Filtered(
        mean=np.zeros(means),
        covariance=np.zeros(covariances),
        predicted_mean=np.zeros(means),
        predicted_covariance=np.zeros(covariances),
        accepted=np.zeros((batch, length), bool),
        started=np.zeros((batch, length), bool),
        restarted=np.zeros((batch, length), bool),
    )


def _for_modes(mean: Floats, covariance: Floats, modes: int) -> tuple[Floats, Floats]:
    return np.repeat(mean[:, None], modes, axis=1), np.repeat(covariance[:, None], modes, axis=1)


def _choose(which: Bools, a: Floats, b: Floats) -> Floats:
    return np.where(which.reshape(-1, *[1] * (a.ndim - 1)), a, b)


# --- Bayes filter on a grid -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GridSettings:
    """Settings of the Bayes filter on a grid.

    Args:
        acceleration: white acceleration of the direction, rad / s^1.5.
        rate_sd: of the first rate, rad/s.
        outlier: prior probability that a fix is of something else.
        freedom: of the Student's t that good fixes scatter by, along level and up.
        resets: so many unbelieved fixes in a row start the filter anew.
        sd_scale: stated errors times this.
        ceiling_rad: elevation above which no animal is looked for; an array on the sea floor has none (π/2).
        points: of the grid along each axis.
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
    """Bayes filter on a grid of directions that moves along with the animal (a point-mass filter).

    The direction's density is held on a square grid in the plane tangential at the prediction (distances and
    azimuths from its centre are true), as fine as the fix asks for and as wide as the prediction. So likelihoods of any
    shape multiply exactly. The rate has a Gaussian density whose mean depends linearly on the direction; a
    fix says nothing about the rate but through the direction, hence that line survives every fix. With
    Gaussian likelihoods all this is a Kalman filter. Level and up are held independent of each other but for the grid.

    A lattice of fixed cells was the first choice; cells of 1 to 2° are coarser than the fixes, and rates do not fit in.

    The smoother is Rauch-Tung-Striebel on the moments, along both directions of time (`both_ways`).
    """
    settings = settings or (GRID_SMOOTHER if smoother else GRID_CAUSAL)
    forward = grid_filter(steps, settings)
    return both_ways(steps, forward, grid_filter(backwards(steps), settings)) if smoother else forward.u


@dataclass
class _Grid:
    """Density of the direction and the rate.

    Shape:
        `origin` `[batch, 3]` with unit tangents `axes` `[batch, 2, 3]`; `mass` `[batch, point, point]` over points `spacing`
        `[batch, 2]` rad apart along the axes; moments along the axes, `[batch, 2]`: `mean` and `variance` of the
        direction, `rate`, its `slope` against the direction and the variance `rest` about that line.
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
    """Run the grid from fix to fix, causally, and the moments in between as a Kalman filter without fixes would."""
    at, there = _fix_steps(steps)
    time = np.cumsum(steps.dt_s, axis=1)
    out = empty_filtered(*steps.dt_s.shape)
    missed = np.zeros(len(at), int)
    rows = np.flatnonzero(there[:, 0])
    grid = _begin_grid(steps.u[rows, at[rows, 0]], settings.sd_scale * steps.sd_rad[rows, at[rows, 0]], settings)
    for k in range(at.shape[1]):
        # Sequences drop out when they have no further fix.
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
    """Step of the k-th fix, the last one repeated, and whether there is a k-th. `[batch, fix]`."""
    count = steps.present.sum(axis=1)
    order = np.argsort(~steps.present, axis=1, kind="stable")[:, : count.max()]
    number = np.arange(count.max())
    at = np.take_along_axis(order, np.minimum(number, np.maximum(count[:, None] - 1, 0)), axis=1)
    return at, number < count[:, None]


def _carried(steps: Steps, out: Filtered, acceleration: float) -> Filtered:
    """Fill in predictions, and the states where there is no fix."""
    mean, covariance = out.mean[:, 0], out.covariance[:, 0] + np.eye(6) * 1e-12
    out.started[:] = np.maximum.accumulate(steps.present, axis=1)
    for t in range(steps.dt_s.shape[1]):
        mean, covariance = predict(mean, covariance, steps.dt_s[:, t], acceleration)
        out.predicted_mean[:, t], out.predicted_covariance[:, t] = mean, covariance
        mean = _choose(steps.present[:, t], out.mean[:, t], mean)
        covariance = _choose(steps.present[:, t], out.covariance[:, t], covariance)
        out.mean[:, t], out.covariance[:, t] = mean, covariance
    return out


def _begin_grid(u: Floats, sd_rad: Floats, settings: GridSettings) -> _Grid:
    """One fix `[batch, 3]` with its errors `[batch, 2]`."""
    index = _index(settings.points)
    spacing = SPACING * sd_rad
    along = [student(index * spacing[:, k, None], sd_rad[:, k, None], settings.freedom) for k in (0, 1)]
    mass = along[0][:, :, None] * along[1][:, None, :]
    zero, axes = np.zeros_like(sd_rad), np.stack(tangents(u), axis=1)
    rest = np.full_like(sd_rad, settings.rate_sd**2)
    return _measured(_Grid(u, axes, mass, spacing, zero, sd_rad**2, zero, zero, rest))


def _predict_grid(grid: _Grid, dt_s: Floats, sd_rad: Floats, settings: GridSettings) -> _Grid:
    """Move, stretch and widen the density over `dt_s` `[batch]`, onto a grid for a fix with errors `sd_rad` `[batch, 2]`."""
    dt, q = dt_s[:, None], settings.acceleration**2
    together = grid.slope * grid.variance
    rates = grid.rest + grid.slope * together
    variance = grid.variance + 2 * dt * together + dt**2 * rates + q * dt**3 / 3
    spacing = np.maximum(SPACING * sd_rad.min(axis=1, keepdims=True), SPAN * np.sqrt(variance) / settings.points)
    spacing = np.minimum(spacing, WIDEST_RAD / settings.points)
    index = _index(settings.points)
    # A point x goes to x + dt (rate + slope (x - mean)), give or take what the line leaves open and the acceleration.
    stretch, scatter = 1 + dt * grid.slope, dt**2 * grid.rest + q * dt**3 / 3
    source = stretch[..., None] * (index * grid.spacing[..., None] - grid.mean[..., None])
    # Kernels narrower than the points lie apart would fall between them.
    blur = np.maximum(scatter, (0.5 * np.maximum(spacing, np.abs(stretch) * grid.spacing)) ** 2)
    apart = index[:, None] * spacing[..., None, None] - source[..., None, :]
    kernel = np.exp(-0.5 * apart**2 / blur[..., None, None])
    mass = kernel[:, 0] @ grid.mass @ np.swapaxes(kernel[:, 1], -1, -2)
    # What the blur adds goes with no rate: it flattens the line, or noise of the fixes would become rate.
    variance = variance + blur - scatter
    new_together = together + dt * rates + q * dt**2 / 2
    slope = new_together / variance
    rest = np.maximum(rates + q * dt - slope * new_together, 1e-16)
    origin, axes = transported(grid.origin, grid.axes, grid.mean + dt * grid.rate)
    return _Grid(origin, axes, mass, spacing, np.zeros_like(spacing), variance, grid.rate, slope, rest)


def _update_grid(grid: _Grid, u: Floats, sd_rad: Floats, settings: GridSettings) -> tuple[_Grid, Floats]:
    """Multiply by the likelihood of a fix. → grid, probability that the fix is no outlier `[batch]`."""
    index = _index(settings.points)
    x, y = index * grid.spacing[:, 0, None], index * grid.spacing[:, 1, None]
    fix = _chart(grid, u)
    # The fix's own (level, up) in the axes of the grid.
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
    """Normalise the mass; moments of the direction, and the rate that goes with its mean."""
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
    """Moments as a Kalman filter holds them: `[batch, 6]`, `[batch, 6, 6]`."""
    u, axes = transported(grid.origin, grid.axes, grid.mean)
    mean = np.concatenate([u, (grid.rate[..., None] * axes).sum(axis=1)], axis=-1)
    outer = axes[..., :, None] * axes[..., None, :]
    covariance = np.zeros((len(u), 6, 6))
    together = grid.slope * grid.variance
    blocks = (grid.variance, together, grid.rest + grid.slope * together)
    first, cross, last = ((values[..., None, None] * outer).sum(axis=1) for values in blocks)
    # Along u nothing is known; something regular has to stand there.
    radial = u[:, :, None] * u[:, None, :]
    covariance[:, :3, :3] = first + grid.variance.max(axis=1)[:, None, None] * radial
    covariance[:, :3, 3:] = covariance[:, 3:, :3] = cross
    covariance[:, 3:, 3:] = last + blocks[2].max(axis=1)[:, None, None] * radial
    return mean, covariance


def _choose_grid(which: Bools, a: _Grid, b: _Grid) -> _Grid:
    return _Grid(
        *(_choose(which, first, second) for first, second in zip(vars(a).values(), vars(b).values(), strict=True))
    )


def _rows_of(grid: _Grid, which: Bools) -> _Grid:
    return _Grid(*(values[which] for values in vars(grid).values()))


def _index(points: int) -> Floats:
    return np.arange(points, dtype=np.float64) - (points - 1) / 2


def _chart(grid: _Grid, u: Floats) -> Floats:
    """Offset of `u` `[batch, 3]` from the grid's origin along its axes, as long as the arc. → `[batch, 2]` rad."""
    offset = np.einsum("bki,bi->bk", grid.axes, u)
    arc = great_circle_rad(u, grid.origin)
    return np.asarray(offset * (arc / np.maximum(np.linalg.norm(offset, axis=-1), 1e-12))[:, None])


def transported(origin: Floats, axes: Floats, offset: Floats) -> tuple[Floats, Floats]:
    """Go `offset` `[batch, 2]` rad along a great circle, and take the axes along without turning them.

    Parallel transport of e from o to o' is e - (o'·e)/(1 + o·o') (o + o').
    """
    arc = np.linalg.norm(offset, axis=-1, keepdims=True)
    heading = (offset[..., None] * axes).sum(axis=1) / np.maximum(arc, 1e-12)
    arc = np.minimum(arc, 3.0)
    there = np.cos(arc) * origin + np.sin(arc) * heading
    there = there / np.linalg.norm(there, axis=-1, keepdims=True)
    share = (axes * there[:, None]).sum(axis=-1, keepdims=True) / (1 + (origin * there).sum(axis=-1))[:, None, None]
    return np.asarray(there), np.asarray(axes - share * (origin + there)[:, None])


def student(error: Floats, sd: Floats, freedom: float) -> Floats:
    """Density of Student's t times `sd`; its constant for the freedom comes from the Gamma function."""
    constant = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - 0.5 * math.log(freedom * math.pi)
    tail = np.exp(-(freedom + 1) / 2 * np.log1p((error / sd) ** 2 / freedom))
    return np.asarray(math.exp(constant) / sd * tail)


# --- association ------------------------------------------------------------------------------------------------------


def nearest_neighbour(
    fixes: Fixes, gate_rad: float = np.radians(10.0), max_silence_s: float = 60.0
) -> NDArray[np.intp]:
    """Each fix to the track whose last fix is nearest, within a gate and not too long ago; else it begins a track. → `[fix]`."""
    labels = np.full(len(fixes), -1)
    ends: list[int] = []  # last fix of every track
    for k in range(len(fixes)):
        distance = great_circle_rad(fixes.u[ends], fixes.u[k]) if ends else np.zeros(0)
        silent = fixes.time_s[k] - fixes.time_s[ends] > max_silence_s if ends else np.zeros(0, bool)
        distance = np.where(silent, np.inf, distance)
        if len(distance) and distance.min() < gate_rad:
            labels[k] = distance.argmin()
            ends[labels[k]] = k
        else:
            labels[k] = len(ends)
            ends.append(k)
    return labels
