"""How well the hydrophones agree on one direction: the goodness of fit of a bearing.

The error bars of a bearing come from the curvature of log L at its top. They hold if the sound does come from one
direction and the array is what its file says. Whether that is so, the delays tell: a direction has two unknowns, while
M hydrophones have M - 1 delays. Let τ be the free delays (`wavefront`) with covariance C, from noise and from the errors
in the array file, and τ(u) those of a plane wave. Then

    T = min over u of (τ - τ(u))ᵀ C⁻¹ (τ - τ(u))

is χ² with ν = M - 3 degrees of freedom (M - 2 for a line). C is itself an estimate, as if from `KNOWN` samples, so T / ν has
the distribution of Fisher's F, and `Fit.p` is the probability of a larger value. Far from the top log L is no parabola, so
T is at most twice the log L that the free delays gain. A top elsewhere counts as well, once its gain pays for the number
of places where one was looked for. docs/how-it-works.md derives this under "Goodness of fit".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from whalefinder.array.geometry import Floats, HydrophoneArray, tangents
from whalefinder.bearings.likelihood import Cells, derivatives
from whalefinder.bearings.surface import likelihood_with_image
from whalefinder.bearings.wavefront import SPAN_S, Wavefront, find_wavefront

KNOWN = 8
"""Degrees of freedom of the covariance of the noise; chosen on dev recordings, where p is then uniform."""
DOUBT = 0.01
"""Below this p the stated error grows with the misfit."""
NONE = 1e-4
"""Below this p, a direction that explains less than `EXPLAINS` of the log L of the free delays is no bearing."""
EXPLAINS = 0.8
ONE_SIGMA = float(stats.norm.cdf(1.0))
ROUNDS = 10
MOST_CELLS = 800  # of those with most information; more add time and hardly any
PLACES = math.log(2 * 2 * SPAN_S * 5000)
"""log of the number of delays, and of the two signs, that a call of 5 kHz bandwidth can tell apart at one hydrophone."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Agreement of the hydrophones on the direction of one event.

    Args:
        p: probability that an array in order agrees no better with a sound from one direction. Small: it does not fit.
        statistic, freedom: T and its degrees of freedom.
        explained: log L of the direction divided by that of the free delays.
        wavefront: the free delays, the gains.
    """

    p: float
    statistic: float
    freedom: int
    explained: float
    wavefront: Wavefront

    @property
    def no_direction(self) -> bool:
        """Whether no direction explains the event."""
        return self.p < NONE and self.explained < EXPLAINS

    @property
    def inflation(self) -> float:
        """Factor on the stated standard deviations: 1 unless the fit is in doubt.

        The errors are then √(T / ν) times as large as stated (Birge 1932, doi:10.1103/PhysRev.40.207). From few
        degrees of freedom ν this factor is known badly, so the normal distribution gives way to Student's t.
        """
        if self.p >= DOUBT:
            return 1.0
        return math.sqrt(self.statistic / self.freedom) * float(stats.t.ppf(ONE_SIGMA, self.freedom))


def degrees_of_freedom(array: HydrophoneArray) -> int:
    """Delays minus unknowns; 1 where there are none left, since a direction still bounds every delay."""
    return max(1, array.num_channels - (2 if array.shape == "line" else 3))


def goodness_of_fit(
    cells: Cells, array: HydrophoneArray, u: Floats, rays: Floats | None = None, *, at_a_place: bool = False
) -> Fit:
    """How well the hydrophones agree on the direction `u` of an event.

    Args:
        cells: those of which `u` is the top.
        array: the geometry.
        u: unit vector `[3]` of the fix.
        rays: the direct ray from `u` and its surface image, `[5]` (`surface.surface_steering`), if there is one.
        at_a_place: the curvature of the wavefront was taken out, which is one more unknown (`curvature`).
    """
    freedom, there = max(1, degrees_of_freedom(array) - at_a_place), array.delays_s(u)
    cells = cells.best(MOST_CELLS).double()
    near, anywhere = find_wavefront(cells, there), find_wavefront(cells)
    image_gain = 0.0 if rays is None else _gain_of_image(cells, array, rays)
    gain = near.log_likelihood - derivatives(cells, there).value - image_gain
    beside = min(2 * max(0.0, gain) / cells.overlap, _distance(near, array, u))
    plane = derivatives(cells, there, np.abs(anywhere.gains)).value + image_gain
    gain = anywhere.log_likelihood - plane - PLACES * (array.num_channels - 1)
    elsewhere = 2 * max(0.0, gain) / cells.overlap
    if (anywhere.gains > 0).all():
        elsewhere = min(elsewhere, _distance(anywhere, array, u))
    # Sounds of boats that are left in the cells can mimic a wavefront, but not one that is as loud everywhere.
    statistic = max(beside, 0.0 if anywhere.uneven else elsewhere)
    return Fit(
        p=float(stats.f.sf(statistic / freedom, freedom, KNOWN)),
        statistic=statistic,
        freedom=freedom,
        explained=float(np.clip(plane / max(anywhere.log_likelihood, 1e-9), 0.0, 1.0)),
        wavefront=anywhere,
    )


def _gain_of_image(cells: Cells, array: HydrophoneArray, rays: Floats) -> float:
    """Log L that the surface image adds to that of the direct ray alone."""
    alone = rays.copy()
    alone[4] = 0.0  # the reflection coefficient
    both, direct = likelihood_with_image(cells, array, np.stack([rays, alone])).sum(-1)
    return float(both - direct)


def _distance(wavefront: Wavefront, array: HydrophoneArray, u: Floats) -> float:
    """T of a wavefront: least squares over directions by Gauss and Newton, from `u`."""
    centre = np.eye(array.num_channels) - 1 / array.num_channels  # the mean delay is not known
    weight, least = weight_of_delays(wavefront, array), math.inf
    for _ in range(ROUNDS):
        rest = centre @ (wavefront.delays_s - array.delays_s(u))
        least = min(least, float(rest @ weight @ rest))
        axes = np.stack(tangents(u), axis=1)
        slope = centre @ array.slopes_s(axes.T)
        u = u + axes @ np.linalg.pinv(slope.T @ weight @ slope, rcond=1e-9) @ (slope.T @ weight @ rest)
        u = u / np.linalg.norm(u)
    return least


def weight_of_delays(wavefront: Wavefront, array: HydrophoneArray) -> Floats:
    """C⁻¹ of the delays of a wavefront, from noise and from the errors in the array file. → `[channel, channel]` 1/s².

    The mean delay is not known, so C is inverted across it. The part of the sound speed is common to all delays: σ_c/c τ. It
    is added to the inverse (Sherman and Morrison 1950, doi:10.1214/aoms/1177729893), since on a wide array it is many
    orders of magnitude larger than the others.
    """
    channels, c = array.num_channels, array.sound_speed_m_s
    across = np.linalg.qr(np.column_stack([np.ones(channels), np.eye(channels)[:, 1:]]))[0][:, 1:]
    information = across.T @ wavefront.information @ across
    values, vectors = np.linalg.eigh(information)
    noise = (vectors / np.maximum(values, 1e-6 * max(float(values.max()), 1e-30))) @ vectors.T * wavefront.overlap
    errors = (array.position_error_m / c) ** 2 + array.timing_error_s**2
    weight = np.linalg.inv(noise + errors * np.eye(channels - 1))
    whole = wavefront.delays_s if array.lead_s is None else wavefront.delays_s + array.lead_s
    common = array.sound_speed_error_m_s / c * (across.T @ whole)
    pulled = weight @ common
    weight = weight - np.outer(pulled, pulled) / (1 + common @ pulled)
    return np.asarray(across @ weight @ across.T)
