"""An interacting multiple model (IMM) of three constant-velocity filters. The tracker is compared with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.rivals import HIDDEN_SR, backwards, both_ways
from whalefinder.array.geometry import Floats
from whalefinder.tracks.fixes import Steps, measurement_covariance
from whalefinder.tracks.kalman import Filtered, begin, choose, innovate, on_sphere, predict, update

ROUNDING = 1e-12
"""Smallest variance of a state, rad² and rad²/s²: a millionth of a radian, squared."""


@dataclass(frozen=True)
class ImmSettings:
    """Settings of the IMM.

    Args:
        calm, middle, brisk: white acceleration of the three modes, rad / s^1.5.
        stay_s: mean time in a mode.
        rate_sd: standard deviation of the rate at the first fix, rad/s.
        outlier: prior probability that a fix comes from another sound.
        tail, tail_scale: share of good fixes whose error is larger or smaller, and by which factor. So the errors have
            two normal distributions instead of Student's t.
        resets: after so many unused fixes in a row the filter begins again.
        sd_scale: factor on the stated errors of fixes.
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
        """Acceleration of each mode, `[mode]`."""
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

    The smoother is that of Rauch, Tung and Striebel on the moments averaged over the modes, in both directions of time
    (`both_ways`). It does not smooth each mode.

    Shape:
        → directions `[batch, step, 3]`.
    """
    settings = settings or (IMM_SMOOTHER if smoother else IMM_CAUSAL)
    forward = imm_filter(steps, settings)
    return both_ways(steps, forward, imm_filter(backwards(steps), settings)) if smoother else forward.u


def imm_filter(steps: Steps, settings: ImmSettings) -> Filtered:
    """Run the IMM forwards in time. It returns the moments averaged over the modes."""
    batch, length = steps.dt_s.shape
    accelerations = settings.accelerations
    modes = len(accelerations)
    noise = measurement_covariance(steps.u, settings.sd_scale * steps.sd_rad)
    first, wide = _for_modes(*begin(steps.u[:, 0], noise[:, 0], settings.rate_sd), modes)
    mean, covariance, weight = first, wide, np.full((batch, modes), 1.0 / modes)
    running, missed, out = np.zeros(batch, bool), np.zeros(batch, int), Filtered.empty(batch, length)
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
            mean = choose(anew, first, choose(heard, moved, mean))
            covariance = choose(anew, wide, choose(heard, narrowed, covariance))
            weight = choose(heard, weight * likelihood, weight)
            weight = choose(anew, np.full((batch, modes), 1.0 / modes), weight / weight.sum(1, keepdims=True))
            missed, running = np.where(anew, 0, missed), running | present
            out.accepted[:, t], out.restarted[:, t] = (heard & (belief > 0.5)) | anew, anew
        out.started[:, t] = running
        out.mean[:, t], out.covariance[:, t] = moments(mean, covariance, weight)
    return out


def mix(mean: Floats, covariance: Floats, weight: Floats, stays: Floats) -> tuple[Floats, Floats, Floats]:
    """The interaction of the IMM: every mode starts from a mixture of the modes from which the animal may have changed.

    Args:
        mean, covariance: `[batch, mode, 6]`, `[batch, mode, 6, 6]`.
        weight: weights of the modes `[batch, mode]`.
        stays: probability that the mode was not drawn again `[batch]`. If it was, all modes are equally likely.

    Returns:
        Mean, covariance and weight, same shapes.
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
    # After a thousand updates rounding can spoil the covariance. It is kept symmetric and above rounding errors.
    return on_sphere(average), (total + np.swapaxes(total, -1, -2)) / 2 + ROUNDING * np.eye(6)


def soft_update(
    mean: Floats, covariance: Floats, u: Floats, noise: Floats, settings: ImmSettings
) -> tuple[Floats, Floats, Floats, Floats]:
    """Update with a fix that may have one error, the other error, or be an outlier, weighted by their probabilities.

    This is probabilistic data association (Bar-Shalom and Tse 1975).

    Shape:
        `[batch, mode, 6]`, `[batch, mode, 6, 6]`, `[batch, 1, 3]`, `[batch, 1, 3, 3]` → mean, covariance, likelihood of
        the fix per steradian `[batch, mode]`, probability that it is not an outlier `[batch, mode]`.
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
    """Normal density per steradian in the plane perpendicular to `u`, from an inverse covariance in three dimensions.

    The determinant of the covariance S in that plane is det S · uᵀS⁻¹u.
    """
    along = np.einsum("...i,...ij,...j->...", u, inverse, u)
    return np.asarray(np.exp(-0.5 * distance) * np.sqrt(np.linalg.det(inverse) / along) / (2 * np.pi))


def _for_modes(mean: Floats, covariance: Floats, modes: int) -> tuple[Floats, Floats]:
    return np.repeat(mean[:, None], modes, axis=1), np.repeat(covariance[:, None], modes, axis=1)
