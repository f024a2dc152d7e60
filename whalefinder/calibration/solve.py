"""The most probable array: robust least squares over delays of many sounds, with the errors of the array file as priors.

Gaussian priors and noise make the most probable array that of least squares (maximum a posteriori). Its covariance is the
inverse of JᵀJ, the Hessian of Gauss and Newton. The gauge freedoms need no rule of their own: what no sound moves stays
where the prior has it, with the prior's error (`observed`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from whalefinder.array.geometry import Floats, HydrophoneArray, equal_area_grid, tangents
from whalefinder.calibration.model import Model, State
from whalefinder.calibration.priors import ANYWHERE_RAD, Aims, Errors
from whalefinder.calibration.sounds import Sounds

ROUNDS = 6
GRID_RAD = 0.06
SOFT = 2.0
"""Sounds whose misfit is this many times what it should be count less (soft L1, as in SciPy)."""
UNLIKELY = 1e-4
"""A sound with a smaller p-value is two boats, or an echo, and is left out."""
LEAST_NOISE_S, MOST_NOISE_S = 1e-7, 1e-4
NEWTON = 8
ROUGH_S = 1e-6
"""The noise to begin with."""


@dataclass(frozen=True, kw_only=True)
class Solution:
    """What the sounds say about the array.

    Args:
        model: the equations, of the sounds that were used and of those that were not.
        state: the most probable values.
        covariance: of the unknowns that all sounds share (`Model.shared`).
        before: of the same, with nothing heard: squares of `Model.prior_sd`.
        noise_s: standard deviation of a delay of a clear sound beyond what its noise explains: other boats, echoes, curved
            wavefronts.
        weight: of each sound, 0 for those left out, `[sound]`.
        p: of each sound: probability of a larger misfit, `[sound]`.
    """

    model: Model
    state: State
    covariance: Floats
    noise_s: float
    weight: Floats
    p: Floats

    @property
    def used(self) -> int:
        """Number of sounds that were not left out."""
        return int((self.weight > 0).sum())


def solve(
    sounds: Sounds,
    array: HydrophoneArray,
    errors: Errors,
    aims: Aims,
    u: Floats,
    heading_rad: float | None = None,
    noise_s: float | None = None,
) -> Solution:
    """The most probable array.

    Args:
        sounds: delays of sounds.
        array: as its file describes it.
        errors: of the array file.
        aims: what is known of the directions.
        u: directions to begin at, `[sound, 3]`.
        heading_rad: the heading to begin at, or None: it is not one of the unknowns.
        noise_s: of each delay, beside its own; None: as the misfits show it.
    """
    channels = array.num_channels
    model = Model(
        array=array, errors=errors, aims=aims, delays_s=sounds.delays_s, root=np.zeros(sounds.information.shape),
        with_heading=heading_rad is not None,
    )  # fmt: skip
    at = State(
        shift_m=np.zeros((channels, 3)), late_s=model.first_late_s, log_speed=0.0, heading_rad=heading_rad or 0.0, u=u
    )
    freedom = _freedom(sounds, array)
    weight = np.ones(sounds.count)
    found_s = (
        noise_s or errors.position_m / array.sound_speed_m_s
    )  # vague at first: the array may be wrong by this much
    for round_ in range(ROUNDS):
        weighting = inverse_covariance(sounds, found_s)
        model = replace(model, root=_root(weighting * weight[:, None, None]))
        at = _least_squares(model, at)
        left = model.misfit_s(at)
        if noise_s is None:
            found_s = _noise(sounds, left, model.places_m(at), at.u, freedom, weight > 0)
        misfit = _misfit(inverse_covariance(sounds, found_s), left, model.places_m(at), at.u)
        weight = 1 / np.sqrt(1 + misfit / freedom / SOFT**2)
        p = stats.chi2.sf(misfit, freedom)
        if round_ >= ROUNDS // 2:
            weight = np.where(p < UNLIKELY, 0.0, weight)
    jacobian = model.jacobian(model.vector(at), at)
    whole = np.asarray(np.linalg.inv(jacobian.T @ jacobian), np.float64)
    return Solution(
        model=model, state=at, covariance=whole[: model.shared, : model.shared], noise_s=found_s, weight=weight, p=p
    )


def _least_squares(model: Model, at: State) -> State:
    """The state of least squares, beginning at `at`."""
    found = optimize.least_squares(
        model.residuals, model.vector(at), jac=model.jacobian, args=(at,), x_scale="jac", max_nfev=20, xtol=1e-8
    )
    return model.state(found.x, at)


def first_directions(sounds: Sounds, array: HydrophoneArray, aims_elevation: tuple[float, float]) -> Floats:
    """Directions of sounds for the array as its file describes it, `[sound, 3]`.

    The best of a grid over the sphere. Where the geometry has several (the two sides of a plane, the cone of a line), the
    elevation of boats decides.

    Args:
        sounds: delays of sounds.
        array: the geometry.
        aims_elevation: mean and standard deviation of the elevation, rad.
    """
    grid = equal_area_grid(GRID_RAD)
    mean, sd = aims_elevation
    # The step of the grid is an error too, of about its size times the aperture.
    weight = inverse_covariance(sounds, GRID_RAD * array.aperture_m / array.sound_speed_m_s / 2)
    cost = np.empty((sounds.count, len(grid)))
    delays = array.delays_s(grid)
    for k in range(sounds.count):
        left = delays - sounds.delays_s[k]
        cost[k] = np.einsum("dm,mn,dn->d", left, weight[k], left)
    cost += ((np.arcsin(grid[:, 2]) - mean) / np.hypot(sd, GRID_RAD)) ** 2 if sd < ANYWHERE_RAD else 0.0
    return np.asarray(grid[cost.argmin(1)])


def best_directions(sounds: Sounds, array: HydrophoneArray, noise_s: float, u: Floats) -> tuple[Floats, Floats]:
    """Directions of sounds by the delays alone, and the delays of the array less those measured.

    Args:
        sounds: delays of sounds.
        array: the geometry.
        noise_s: of each delay, beside its own.
        u: directions to begin at, `[sound, 3]`.

    Shape:
        → `[sound, 3]`, `[sound, channel]` s, with a mean of 0 over the hydrophones that heard.
    """
    weight = inverse_covariance(sounds, noise_s)
    for _ in range(NEWTON):
        left = array.delays_s(u) - sounds.delays_s
        axes = np.stack(tangents(u), axis=-1)
        slope = -array.positions_m @ axes / array.sound_speed_m_s
        along = np.einsum("kma,kmn->kan", slope, weight)
        step = -np.linalg.pinv(along @ slope, rcond=1e-6, hermitian=True) @ (along @ left[..., None])
        u = u + (axes @ step)[..., 0]
        u = u / np.linalg.norm(u, axis=1, keepdims=True)
    return u, centred(array.delays_s(u) - sounds.delays_s, sounds.heard)


def centred(values: Floats, heard: NDArray[np.bool_]) -> Floats:
    """Values `[sound, channel]` less their mean over the hydrophones that heard, and 0 at the others."""
    mean = (values * heard).sum(1) / np.maximum(heard.sum(1), 1)
    return np.where(heard, values - mean[:, None], 0.0)


def inverse_covariance(sounds: Sounds, noise_s: float) -> Floats:
    """C⁻¹ of the delays with independent noise added, `noise_s` times `Sounds.doubt`: `[sound, channel, channel]` 1/s².

    By eigenvectors: the information λ of one becomes 1 / (1/λ + σ²) = λ / (1 + λ σ²), and that of the mean stays 0.
    """
    values, vectors = np.linalg.eigh(sounds.information)
    values = np.where(values > 1e-6 * values[:, -1:], values, 0.0)
    values = values / (1 + values * (noise_s * sounds.doubt[:, None]) ** 2)
    return np.asarray(np.einsum("kmi,ki,kni->kmn", vectors, values, vectors))


def _root(weight: Floats) -> Floats:
    """W with WᵀW = C⁻¹."""
    values, vectors = np.linalg.eigh(weight)
    return np.asarray(np.sqrt(np.maximum(values, 0.0))[..., None] * np.swapaxes(vectors, 1, 2))


def _freedom(sounds: Sounds, array: HydrophoneArray) -> Floats:
    """Delays less the angles that they give, `[sound]`; at least 1."""
    angles_of = 1 if array.shape == "line" else 2
    return np.maximum(sounds.heard.sum(1) - 1.0 - angles_of, 1.0)


def _misfit(weight: Floats, left_s: Floats, places_m: Floats, u: Floats) -> Floats:
    """χ² of each sound, with what its own direction can still take up taken out. → `[sound]`.

    Priors of directions may hold a direction off the best one of its delays; that is no misfit of the delays.
    """
    slope = places_m @ np.stack(tangents(u), axis=-1)  # of any scale
    along = np.einsum("kma,kmn->kan", slope, weight)
    step = np.linalg.pinv(along @ slope, rcond=1e-9, hermitian=True) @ (along @ left_s[..., None])
    left_s = left_s - (slope @ step)[..., 0]
    return np.asarray(np.einsum("km,kmn,kn->k", left_s, weight, left_s))


def _noise(
    sounds: Sounds, left_s: Floats, places_m: Floats, u: Floats, freedom: Floats, used: NDArray[np.bool_]
) -> float:
    """The noise of delays that makes the median misfit that of χ², by bisection of its logarithm."""
    wanted = stats.chi2.median(freedom)

    def excess(log_s: float) -> float:
        misfit = _misfit(inverse_covariance(sounds, float(np.exp(log_s))), left_s, places_m, u)
        return float(np.median((misfit / wanted)[used])) - 1.0

    low, high = np.log(LEAST_NOISE_S), np.log(MOST_NOISE_S)
    if excess(low) < 0:
        return LEAST_NOISE_S
    if excess(high) > 0:
        return MOST_NOISE_S
    return float(np.exp(optimize.brentq(excess, low, high, xtol=0.01)))
