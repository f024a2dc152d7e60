"""The smallest error that a bearing can have (the Cramér-Rao bound), for a given array, call and noise.

docs/how-it-works.md derives it under "The limit": the Slepian-Bangs formula for a call of unknown waveform.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from whalefinder.array.geometry import Floats, HydrophoneArray, direction, plane_wave_delays, tangents


@dataclass(frozen=True)
class TypicalCall:
    """A call that lasts `seconds`, with a flat spectrum from `low_hz` to `high_hz`.

    `snr_db` is the ratio of call to noise in that band at one hydrophone, in dB.
    """

    low_hz: float = 1000.0
    high_hz: float = 6000.0
    seconds: float = 0.7
    snr_db: float = 0.0

    @property
    def sharpness(self) -> float:
        """κ = (2π f_rms)² · 2 B T · SNR in s⁻²: how exactly the call fixes a time of arrival (docs/how-it-works.md)."""
        mean_square = (self.high_hz**3 - self.low_hz**3) / 3 / (self.high_hz - self.low_hz)
        bandwidth = self.high_hz - self.low_hz
        return (2 * math.pi) ** 2 * mean_square * 2 * bandwidth * self.seconds * 10 ** (self.snr_db / 10)


def expected_covariance(array: HydrophoneArray, u: Floats, call: TypicalCall) -> Floats:
    """Smallest possible covariance of a bearing in white noise, plus the errors of the array file.

    The information is J = κ / c² Uᵀ (Σ r̃ r̃ᵀ) U. Here r̃ are the positions relative to their mean, and U holds
    the axes (level, up) of `tangents`. Along an axis that the array cannot measure the variance is π².

    Args:
        array: the geometry and its errors.
        u: unit vector `[3]` to the whale.
        call: length, band and SNR.

    Shape:
        → `[2, 2]` rad², axes (level, up).
    """
    centred = array.positions_m - array.positions_m.mean(axis=0)
    basis = np.stack(tangents(u), axis=1)
    information = call.sharpness / array.sound_speed_m_s**2 * basis.T @ (centred.T @ centred) @ basis
    return inverse_curvature(information) + geometry_covariance(array, u)


def inverse_curvature(information: Floats) -> Floats:
    """Covariance in rad² from information `[..., n, n]`.

    Along an axis with hardly any or with negative information the variance is π²: nothing is known there.
    """
    values, vectors = np.linalg.eigh(information)
    variance = 1.0 / np.maximum(values, 1.0 / np.pi**2)
    return np.asarray((vectors * variance[..., None, :]) @ vectors.swapaxes(-1, -2))


def delay_covariance(array: HydrophoneArray, u: Floats) -> Floats:
    """Covariance of the delays that errors of position, timing and sound speed cause.

    Each hydrophone has an error with σ² = (σ_r / c)² + σ_t², since a position counts along u alone. All have a
    part (σ_c / c) τ in common, because the sound speed scales all delays.

    Shape:
        unit vectors `[..., 3]` → `[..., channel, channel]` s².
    """
    c = array.sound_speed_m_s
    independent = (array.position_error_m / c) ** 2 + array.timing_error_s**2
    centred = array.positions_m - array.positions_m.mean(axis=0)
    common = array.sound_speed_error_m_s / c * plane_wave_delays(centred, u, c)
    return np.asarray(independent * np.eye(array.num_channels) + common[..., :, None] * common[..., None, :])


def geometry_covariance(array: HydrophoneArray, u: Floats) -> Floats:
    """Covariance of a bearing that errors of position, timing and sound speed cause, `[2, 2]` rad² in (level, up).

    By least squares on the delays: dθ = D⁺ dτ with D = ∂τ/∂θ (mean over hydrophones removed) and the delay errors
    dτ of `delay_covariance`.
    For a regular tetrahedron this is the floor 2 σ_r / d of docs/how-it-works.md, "Errors of the array".
    """
    level, up = tangents(u)
    centred = array.positions_m - array.positions_m.mean(axis=0)
    c = array.sound_speed_m_s
    slope = -(centred @ np.stack([level, up], axis=1)) / c  # [channel, 2]
    solve = np.linalg.pinv(slope, rcond=1e-3)
    return np.asarray(solve @ delay_covariance(array, u) @ solve.T)


def expected_error_deg(array: HydrophoneArray, azimuth_deg: float, elevation_deg: float, call: TypicalCall) -> float:
    """Median great-circle error of the best estimator for such a call from that direction, degrees."""
    u = direction(math.radians(azimuth_deg), math.radians(elevation_deg))
    return median_error_deg(expected_covariance(array, u, call))


def median_error_deg(covariance: Floats) -> float:
    """Median great-circle error that follows from a covariance `[2, 2]` rad², in degrees.

    If the error is the same in all directions, the median is 1.177 σ (Rayleigh's distribution).
    """
    return math.degrees(1.177 * math.sqrt(np.trace(covariance) / 2))
