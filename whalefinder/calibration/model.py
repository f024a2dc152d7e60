"""The equations of calibration: residuals of delays and of what is known beforehand, and their derivatives.

Unknown are for every hydrophone m its place r_m = R(h) (p_m + d_m), where p_m is that of the array file, and the time δ_m
by which its channel is late; the sound speed c = c₀ exp(λ); with a track the heading h, clockwise; and a direction u_k
for every sound. The delays of sound k are τ_km = -r_m · u_k / c + δ_m, and all residuals are in standard deviations:

    W_k (τ_k - measured),    d / σ_r,    (δ - δ₀) / σ_t,    λ c₀ / σ_c,    L⁻¹ (angles of u - those of the boats)

W_kᵀ W_k is the inverse of the covariance of the delays, in which the mean delay has no weight. L Lᵀ is the covariance of
what is known of the directions (`priors.Aims`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whalefinder.array.geometry import Floats, HydrophoneArray, angles, attitude, tangents
from whalefinder.calibration.priors import Aims, Errors

HEADING_SD_RAD = np.pi
"""The heading is as good as unknown before boats with a track are heard."""
DIRECTION_SD_RAD = 1.0
"""Holds a direction that nothing else holds, such as the azimuth round a vertical line, near where it began."""


@dataclass(frozen=True, kw_only=True)
class State:
    """Values of all unknowns: `shift_m` `[channel, 3]`, `late_s` `[channel]`, λ, h, directions `u` `[sound, 3]`."""

    shift_m: Floats
    late_s: Floats
    log_speed: float
    heading_rad: float
    u: Floats


@dataclass(frozen=True, kw_only=True)
class Model:
    """The equations for some sounds.

    Args:
        array: the array as its file describes it.
        errors: of the array file.
        aims: what is known of the directions.
        delays_s: measured, `[sound, channel]`.
        root: W, `[sound, channel, channel]` 1/s.
        with_heading: the heading is one of the unknowns.
    """

    array: HydrophoneArray
    errors: Errors
    aims: Aims
    delays_s: Floats
    root: Floats
    with_heading: bool

    @property
    def shared(self) -> int:
        """Number of unknowns that all sounds share. They come first: d, δ, λ, and h if it is one of them."""
        return 4 * self.array.num_channels + 1 + self.with_heading

    @property
    def first_late_s(self) -> Floats:
        """δ₀, from `delay_s` of the array file."""
        lead = self.array.lead_s
        return np.zeros(self.array.num_channels) if lead is None else -np.array(lead)

    @property
    def prior_sd(self) -> Floats:
        """Standard deviations of the shared unknowns before anything is heard, `[shared]`."""
        channels, e = self.array.num_channels, self.errors
        known = [
            np.full(3 * channels, e.position_m),
            np.full(channels, e.timing_s),
            [e.sound_speed_m_s / self.array.sound_speed_m_s],
        ]
        return np.concatenate([*known, [HEADING_SD_RAD] * self.with_heading])

    def state(self, x: Floats, at: State) -> State:
        """The state of a vector of unknowns: the shared ones, then two steps across each direction of `at`."""
        channels = self.array.num_channels
        level, up = tangents(at.u)
        steps = x[self.shared :].reshape(-1, 2)
        v = at.u + steps[:, :1] * level + steps[:, 1:] * up
        return State(
            shift_m=x[: 3 * channels].reshape(channels, 3),
            late_s=self.first_late_s + x[3 * channels : 4 * channels],
            log_speed=float(x[4 * channels]),
            heading_rad=float(x[4 * channels + 1]) if self.with_heading else at.heading_rad,
            u=v / np.linalg.norm(v, axis=1, keepdims=True),
        )

    def vector(self, at: State) -> Floats:
        """The vector of unknowns of a state, with steps of 0."""
        heading = [at.heading_rad] * self.with_heading
        return np.concatenate(
            [at.shift_m.ravel(), at.late_s - self.first_late_s, [at.log_speed], heading, np.zeros(2 * len(at.u))]
        )

    def places_m(self, at: State) -> Floats:
        """Places of the hydrophones, `[channel, 3]` m."""
        turn = attitude(np.degrees(at.heading_rad), 0.0, 0.0)
        return np.asarray((self.array.positions_m + at.shift_m) @ turn.T)

    def misfit_s(self, at: State) -> Floats:
        """Delays of a state less those that were measured, `[sound, channel]` s."""
        speed = self.array.sound_speed_m_s * np.exp(at.log_speed)
        return np.asarray(-at.u @ self.places_m(at).T / speed + at.late_s - self.delays_s)

    def residuals(self, x: Floats, at: State) -> Floats:
        """All residuals, in standard deviations."""
        new = self.state(x, at)
        delays = np.einsum("kmn,kn->km", self.root, self.misfit_s(new))
        shared = x[: self.shared] / self.prior_sd
        azimuth, elevation = angles(new.u)
        turned = np.angle(np.exp(1j * (azimuth - self.aims.azimuth_rad))) * np.cos(elevation)
        known = [
            self.aims.azimuth_root @ turned[self.aims.with_azimuth],
            self.aims.elevation_root @ (elevation - self.aims.elevation_rad)[self.aims.with_elevation],
        ]
        return np.concatenate([delays.ravel(), shared, x[self.shared :] / DIRECTION_SD_RAD, *known])

    def jacobian(self, x: Floats, at: State) -> Floats:
        """Derivatives of `residuals` with respect to `x`."""
        new = self.state(x, at)
        sounds, channels, shared = len(new.u), self.array.num_channels, self.shared
        slopes = np.zeros((sounds, channels, len(x)))
        slopes[:, :, :shared] = self.shared_slopes(new)
        steps = self._direction_steps(x, at)  # ∂u/∂x of its own two unknowns, [sound, 3, 2]
        speed = self.array.sound_speed_m_s * np.exp(new.log_speed)
        own = -np.einsum("mi,kia->kma", self.places_m(new), steps) / speed
        for k in range(sounds):
            slopes[k, :, shared + 2 * k : shared + 2 * k + 2] = own[k]
        delays = np.matmul(self.root, slopes).reshape(-1, len(x))
        prior = np.diag(np.concatenate([1 / self.prior_sd, np.full(2 * sounds, 1 / DIRECTION_SD_RAD)]))
        level, up = tangents(new.u)
        known = []
        for axis, root, which in (
            (level, self.aims.azimuth_root, self.aims.with_azimuth),
            (up, self.aims.elevation_root, self.aims.with_elevation),
        ):
            along = np.zeros((sounds, sounds, 2))
            along[range(sounds), range(sounds)] = np.einsum("ki,kia->ka", axis, steps)
            rows = np.zeros((int(which.sum()), len(x)))
            rows[:, shared:] = root @ along[which].reshape(-1, 2 * sounds)
            known.append(rows)
        return np.concatenate([delays, prior, *known])

    def shared_slopes(self, at: State) -> Floats:
        """∂τ/∂(d, δ, λ, h), `[sound, channel, shared]`."""
        sounds, channels = len(at.u), self.array.num_channels
        speed = self.array.sound_speed_m_s * np.exp(at.log_speed)
        turn = attitude(np.degrees(at.heading_rad), 0.0, 0.0)
        slopes = np.zeros((sounds, channels, self.shared))
        for m in range(channels):
            slopes[:, m, 3 * m : 3 * m + 3] = -at.u @ turn / speed
            slopes[:, m, 3 * channels + m] = 1.0
        places = self.places_m(at)
        slopes[:, :, 4 * channels] = at.u @ places.T / speed
        if self.with_heading:
            # Clockwise by dh: (x, y) → (x + y dh, y - x dh).
            moved = np.stack([places[:, 1], -places[:, 0], np.zeros(channels)], axis=1)
            slopes[:, :, 4 * channels + 1] = -at.u @ moved.T / speed
        return slopes

    def _direction_steps(self, x: Floats, at: State) -> Floats:
        """∂u/∂(its two steps), `[sound, 3, 2]`: u = v / |v|, so du = (1 - u uᵀ) dv / |v|."""
        axes = np.stack(tangents(at.u), axis=-1)
        v = at.u + (axes @ x[self.shared :].reshape(-1, 2, 1))[..., 0]
        size = np.linalg.norm(v, axis=1, keepdims=True)
        u = v / size
        return np.asarray((axes - u[:, :, None] * np.einsum("ki,kia->ka", u, axes)[:, None, :]) / size[..., None])
