"""The limit: how exact a bearing can be at all (Cramér-Rao), for a given array, call and noise.

docs/how-it-works.md derives it ("The limit"): the Slepian-Bangs bound with the call's waveform unknown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from whalefinder.array.geometry import Floats, HydrophoneArray, direction, tangents


@dataclass(frozen=True)
class TypicalCall:
    """A call of `seconds` with a flat spectrum from `low_hz` to `high_hz`, `snr_db` at one hydrophone in that band."""

    low_hz: float = 1000.0
    high_hz: float = 6000.0
    seconds: float = 0.7
    snr_db: float = 0.0

    @property
    def sharpness(self) -> float:
        """κ = (2π f_rms)² · 2 B T · SNR, s⁻²."""
        mean_square = (self.high_hz**3 - self.low_hz**3) / 3 / (self.high_hz - self.low_hz)
        bandwidth = self.high_hz - self.low_hz
        return (2 * math.pi) ** 2 * mean_square * 2 * bandwidth * self.seconds * 10 ** (self.snr_db / 10)


def expected_covariance(array: HydrophoneArray, u: Floats, call: TypicalCall) -> Floats:
    """Best possible covariance `[2, 2]` rad² in (level, up), white noise, plus the errors of the array file.

    J = κ / c² Uᵀ (Σ r̃ r̃ᵀ) U with r̃ the positions about their mean. Axes that the array cannot see get π².
    """
    centred = array.positions_m - array.positions_m.mean(axis=0)
    basis = np.stack(tangents(u), axis=1)
    information = call.sharpness / array.sound_speed_m_s**2 * basis.T @ (centred.T @ centred) @ basis
    return inverse_curvature(information) + geometry_covariance(array, u)


def inverse_curvature(information: Floats) -> Floats:
    """Covariance from information, `[n, n]`; an axis that is flat or bent upwards gets π²: nothing is known there."""
    values, vectors = np.linalg.eigh(information)
    return np.asarray((vectors / np.maximum(values, 1.0 / np.pi**2)) @ vectors.T)


def geometry_covariance(array: HydrophoneArray, u: Floats) -> Floats:
    """What position, timing and sound-speed errors do to a fix, `[2, 2]` rad² in (level, up).

    Least squares on the delays: dθ = D⁺ dτ with D = ∂τ/∂θ (mean over hydrophones removed); dτ has
    σ² = (σ_r / c)² + σ_t² per hydrophone, and (σ_c / c) τ common to all.
    For a regular tetrahedron this is the floor 2 σ_r / d of docs/how-it-works.md, "Errors of the array".
    """
    level, up = tangents(u)
    centred = array.positions_m - array.positions_m.mean(axis=0)
    c = array.sound_speed_m_s
    slope = -(centred @ np.stack([level, up], axis=1)) / c  # [channel, 2]
    solve = np.linalg.pinv(slope, rcond=1e-3)
    independent = (array.position_error_m / c) ** 2 + array.timing_error_s**2
    common = (array.sound_speed_error_m_s / c) * (-(centred @ u) / c)
    return solve @ (independent * np.eye(len(centred)) + np.outer(common, common)) @ solve.T


def expected_error_deg(array: HydrophoneArray, azimuth_deg: float, elevation_deg: float, call: TypicalCall) -> float:
    """Median great-circle error of the best estimator, degrees (1.177 σ for a round error)."""
    covariance = expected_covariance(array, direction(math.radians(azimuth_deg), math.radians(elevation_deg)), call)
    return math.degrees(1.177 * math.sqrt(np.trace(covariance) / 2))
