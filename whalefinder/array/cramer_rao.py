"""The Cramér-Rao bound of a bearing in any noise, with the errors of the array as nuisance parameters.

docs/how-it-works.md derives it under "The limit". The data know the direction only through the delays of the
hydrophones. So the bound has two steps: what the sound tells about each delay, and what the delays tell about the
direction if positions, clocks and sound speed are known only as the array file says.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from whalefinder.array.geometry import Floats, HydrophoneArray, plane_wave_delays, tangents
from whalefinder.array.limit import delay_covariance, inverse_curvature

Complexes = NDArray[np.complexfloating]


def delay_information(
    power: Floats, noise: Complexes, frequencies_hz: Floats, delays_s: Floats, *, gaussian: bool = False
) -> Floats:
    """Fisher information about the delay of each hydrophone, for a call of unknown waveform.

    The Slepian-Bangs formula with the slope ∂a/∂τ_m = -jω a_m e_m of the steering vector, A = diag(a):
    J = 2 Σ |S|² ω² Re[Aᴴ (Q⁻¹ - Q⁻¹a aᴴQ⁻¹ / aᴴQ⁻¹a) A]. Rows sum to 0, since a delay that is common to all
    hydrophones is a part of the unknown waveform.

    Args:
        power: |S|² of the call `[frequency]`, summed over independent snapshots.
        noise: covariance Q of one snapshot `[frequency, channel, channel]`, in the unit of the power.
        frequencies_hz: `[frequency]`.
        delays_s: `[..., channel]`.
        gaussian: bound of a Gaussian waveform, whose power is that of one snapshot. Information is lower by
            β / (1 + β) with β = |S|² aᴴQ⁻¹a (Stoica and Nehorai 1990): at a low SNR no estimator that is blind to
            the waveform reaches the other bound.

    Shape:
        → `[..., channel, channel]` s⁻².
    """
    omega = 2 * np.pi * frequencies_hz
    a = np.exp(-1j * omega[:, None] * delays_s[..., None, :])  # [..., frequency, channel]
    w = a.conj()[..., :, None] * np.linalg.inv(noise) * a[..., None, :]  # Aᴴ Q⁻¹ A
    s = w.sum(-1)  # AᴴQ⁻¹a
    peak = s.sum(-1).real  # aᴴQ⁻¹a
    weight = 2 * power * omega**2
    if gaussian:
        beta = power * peak
        weight = weight * beta / (1 + beta)
    weight = np.broadcast_to(weight, peak.shape)
    # Re[s sᴴ] from real parts, so that no array of all pairs is built twice.
    root = np.sqrt(weight / peak)[..., None]
    real, imaginary = s.real * root, s.imag * root
    lost = real.swapaxes(-1, -2) @ real + imaginary.swapaxes(-1, -2) @ imaginary
    return np.asarray(np.einsum("...f,...fmn->...mn", weight, w.real) - lost)


def bearing_covariance(array: HydrophoneArray, u: Floats, information: Floats) -> Floats:
    """Smallest covariance of a bearing that delays with this information allow.

    Let the delays be off by Gaussian errors with the covariance C of `limit.delay_covariance`, and eliminate them
    (Schur's complement of the joint information of direction and errors, whose prior is C⁻¹; Woodbury's identity):
    J_θ = Dᵀ (J - J (J + C⁻¹)⁻¹ J) D = Dᵀ J (I + C J)⁻¹ D with the slopes D = ∂τ/∂θ. The last form needs neither
    J⁻¹ nor C⁻¹, which do not exist. It is a hybrid bound (Rockah and Schultheiss 1987): it holds on average over
    arrays whose errors are drawn from the prior.

    Args:
        array: the geometry and its errors.
        u: unit vectors `[..., 3]`.
        information: of `delay_information`, `[..., channel, channel]`.

    Shape:
        → `[..., 2, 2]` rad², axes (level, up). Along an axis that cannot be measured the variance is π².
    """
    axes = np.stack(tangents(u), axis=-2)  # [..., axis, 3]
    slopes = plane_wave_delays(array.positions_m, axes, array.sound_speed_m_s)  # [..., axis, channel]
    blurred = np.eye(array.num_channels) + delay_covariance(array, u) @ information
    left = information @ np.linalg.solve(blurred, slopes.swapaxes(-1, -2))
    found = slopes @ left
    return inverse_curvature((found + found.swapaxes(-1, -2)) / 2)
