"""A Kalman filter of constant velocity for directions, with a gate, and its smoother, for many sequences at once.

The state is the direction u and its rate v, both vectors of three dimensions: u' = u + v dt, driven by white
acceleration. So there is no jump at north or at the vertical. After each step u is made a unit vector again, and v is
made perpendicular to u. The filter has three uses: it assigns calls to animals, it gives the tracker its reference, and
the tracker is compared with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whalefinder.array.geometry import Floats, as_arc
from whalefinder.tracks.fixes import Steps, measurement_covariance

EYE = np.eye(3)


@dataclass(frozen=True, kw_only=True)
class FilterSettings:
    """Settings of one filter, tuned on simulated swims by `python -m bench.tune_tracks`.

    Args:
        acceleration: white acceleration of the direction, rad / s^1.5.
        rate_sd: standard deviation of the rate at the first fix, rad/s.
        gate: a fix is not used if its squared Mahalanobis distance from the prediction is at least this.
        resets: after so many unused fixes in a row the filter begins again at the last of them.
        sd_scale: factor on the stated errors of fixes.
    """

    acceleration: float = 6e-4
    rate_sd: float = 0.01
    gate: float = 16.0
    resets: int = 4
    sd_scale: float = 1.2


@dataclass(frozen=True, kw_only=True)
class Filtered:
    """Directions and rates along sequences.

    Args:
        mean, covariance: state after the fix of each step, `[batch, step, 6]` and `[batch, step, 6, 6]`.
        predicted_mean, predicted_covariance: state before the fix, same shapes.
        accepted: whether the fix of this step was used, `[batch, step]`.
        started: whether there was a fix up to this step, `[batch, step]`.
        restarted: whether the filter began at the fix of this step, for the first time or again, `[batch, step]`.
    """

    mean: Floats
    covariance: Floats
    predicted_mean: Floats
    predicted_covariance: Floats
    accepted: NDArray[np.bool_]
    started: NDArray[np.bool_]
    restarted: NDArray[np.bool_]

    @classmethod
    def empty(cls, batch: int, length: int) -> Filtered:
        """Arrays of zeros for the results of a filter."""
        means, covariances = (batch, length, 6), (batch, length, 6, 6)
        return cls(
            mean=np.zeros(means),
            covariance=np.zeros(covariances),
            predicted_mean=np.zeros(means),
            predicted_covariance=np.zeros(covariances),
            accepted=np.zeros((batch, length), bool),
            started=np.zeros((batch, length), bool),
            restarted=np.zeros((batch, length), bool),
        )

    @property
    def u(self) -> Floats:
        """Unit vectors `[batch, step, 3]`."""
        return self.mean[..., :3]


def predict(mean: Floats, covariance: Floats, dt_s: Floats, acceleration: float | Floats) -> tuple[Floats, Floats]:
    """State `[..., 6]` and covariance `[..., 6, 6]` after `dt_s` `[...]` seconds.

    `acceleration` is a number or `[...]`, in rad / s^1.5.
    """
    dt = np.asarray(dt_s)[..., None, None]
    moved = mean.copy()
    moved[..., :3] += mean[..., 3:] * dt[..., 0]
    p, c, v = covariance[..., :3, :3], covariance[..., :3, 3:], covariance[..., 3:, 3:]
    # White acceleration over dt: position dt³/3, rate dt, together dt²/2.
    q = np.asarray(acceleration)[..., None, None] ** 2 * EYE
    grown = np.empty_like(covariance)
    grown[..., :3, :3] = p + dt * (c + np.swapaxes(c, -1, -2)) + dt**2 * v + q * dt**3 / 3
    grown[..., :3, 3:] = c + dt * v + q * dt**2 / 2
    grown[..., 3:, :3] = np.swapaxes(grown[..., :3, 3:], -1, -2)
    grown[..., 3:, 3:] = v + q * dt
    return on_sphere(moved), grown


def on_sphere(mean: Floats) -> Floats:
    """State `[..., 6]` with the direction u of length 1 and the rate perpendicular to u."""
    u = mean[..., :3] / np.maximum(np.linalg.norm(mean[..., :3], axis=-1, keepdims=True), 1e-9)
    v = mean[..., 3:] - (mean[..., 3:] * u).sum(-1, keepdims=True) * u
    return np.concatenate([u, v], axis=-1)


def innovate(mean: Floats, covariance: Floats, u: Floats, noise: Floats) -> tuple[Floats, Floats, Floats]:
    """Innovation: the offset of a fix from the prediction, with its covariance.

    Args:
        mean, covariance: predicted state.
        u: direction of the fix.
        noise: covariance of the fix (`measurement_covariance`).

    Shape:
        `[..., 6]`, `[..., 6, 6]`, `[..., 3]`, `[..., 3, 3]` → innovation `[..., 3]` (perpendicular to the predicted
        direction), inverse of its covariance `[..., 3, 3]`, squared Mahalanobis distance `[...]`.
    """
    expected = mean[..., :3]
    innovation = u - expected
    # The chord is shorter than the arc, so it is stretched to the length of the arc.
    innovation = innovation - (innovation * expected).sum(-1, keepdims=True) * expected
    innovation = as_arc(innovation, expected, u)
    inverse = np.asarray(np.linalg.inv(covariance[..., :3, :3] + noise), float)
    distance: Floats = np.einsum("...i,...ij,...j->...", innovation, inverse, innovation)
    return innovation, inverse, distance


def update(mean: Floats, covariance: Floats, innovation: Floats, inverse: Floats) -> tuple[Floats, Floats]:
    """Kalman update with an innovation and the inverse of its covariance, as `innovate` returns them."""
    gain = covariance[..., :, :3] @ inverse
    moved = mean + (gain @ innovation[..., None])[..., 0]
    narrowed = covariance - gain @ covariance[..., :3, :]
    return on_sphere(moved), (narrowed + np.swapaxes(narrowed, -1, -2)) / 2  # keeps it symmetric


def begin(u: Floats, noise: Floats, rate_sd: float) -> tuple[Floats, Floats]:
    """State and covariance of a filter that has seen one fix. `[..., 3]`, `[..., 3, 3]` → `[..., 6]`, `[..., 6, 6]`."""
    mean = np.concatenate([u, np.zeros_like(u)], axis=-1)
    covariance = np.zeros((*u.shape[:-1], 6, 6))
    covariance[..., :3, :3], covariance[..., 3:, 3:] = noise, rate_sd**2 * EYE
    return mean, covariance


def kalman(steps: Steps, settings: FilterSettings) -> Filtered:
    """Run the filter with its gate along all sequences. Each estimate uses only fixes up to its step."""
    batch, length = steps.dt_s.shape
    noise = measurement_covariance(steps.u, settings.sd_scale * steps.sd_rad)
    mean, covariance = begin(
        np.tile([0.0, 1.0, 0.0], (batch, 1)), np.broadcast_to(EYE, (batch, 3, 3)), settings.rate_sd
    )
    running = np.zeros(batch, bool)
    missed = np.zeros(batch, int)
    out = Filtered.empty(batch, length)
    for t in range(length):
        mean, covariance = predict(mean, covariance, steps.dt_s[:, t] * running, settings.acceleration)
        out.predicted_mean[:, t], out.predicted_covariance[:, t] = mean, covariance
        present = steps.present[:, t]
        if not present.any():  # as at most steps
            out.mean[:, t], out.covariance[:, t], out.started[:, t] = mean, covariance, running
            continue
        innovation, inverse, distance = innovate(mean, covariance, steps.u[:, t], noise[:, t])
        believed = present & running & (distance < settings.gate)
        moved, narrowed = update(mean, covariance, innovation, inverse)
        missed = np.where(believed, 0, missed + (present & running))
        anew = present & (~running | (missed >= settings.resets))
        first, wide = begin(steps.u[:, t], noise[:, t], settings.rate_sd)
        mean = choose(anew, first, choose(believed, moved, mean))
        covariance = choose(anew, wide, choose(believed, narrowed, covariance))
        missed = np.where(anew, 0, missed)
        running |= present
        out.mean[:, t], out.covariance[:, t] = mean, covariance
        out.accepted[:, t], out.started[:, t], out.restarted[:, t] = believed | anew, running, anew
    return out


def choose(which: NDArray[np.bool_], a: Floats, b: Floats) -> Floats:
    """Rows of `a` where `which` `[batch]`, else of `b`; both `[batch, ...]`."""
    return np.where(which.reshape(-1, *[1] * (a.ndim - 1)), a, b)


def smooth(steps: Steps, filtered: Filtered) -> tuple[Floats, Floats]:
    """Improve every estimate by the fixes after it: the smoother of Rauch, Tung and Striebel (1965).

    The smoothed mean is m_t + C (m^s_{t+1} - m^-_{t+1}) with C = P_t Fᵀ (P^-_{t+1})⁻¹. Smoothing does not go back
    over a step at which the filter began again.

    Shape:
        → mean `[batch, step, 6]`, covariance `[batch, step, 6, 6]`.
    """
    mean, covariance = filtered.mean.copy(), filtered.covariance.copy()
    regular = 1e-12 * np.eye(6)
    for t in range(mean.shape[1] - 2, -1, -1):
        transition = np.zeros((len(mean), 6, 6)) + np.eye(6)
        transition[:, :3, 3:] = steps.dt_s[:, t + 1, None, None] * EYE
        before = filtered.predicted_covariance[:, t + 1] + regular
        gain = filtered.covariance[:, t] @ np.swapaxes(transition, -1, -2) @ np.linalg.inv(before)
        step = mean[:, t + 1] - filtered.predicted_mean[:, t + 1]
        moved = on_sphere(filtered.mean[:, t] + (gain @ step[..., None])[..., 0])
        narrowed = filtered.covariance[:, t] + gain @ (covariance[:, t + 1] - before) @ np.swapaxes(gain, -1, -2)
        smoothable = filtered.started[:, t] & steps.valid[:, t + 1] & ~filtered.restarted[:, t + 1]
        mean[:, t] = choose(smoothable, moved, filtered.mean[:, t])
        covariance[:, t] = choose(smoothable, narrowed, filtered.covariance[:, t])
    return mean, covariance
