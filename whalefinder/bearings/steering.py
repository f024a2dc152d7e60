"""From the cells of a call to its direction: scan of a grid, refinement of the peaks, uncertainty, surface image."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch

from whalefinder.array.geometry import FLATNESS, Floats, HydrophoneArray, equal_area_grid, tangents
from whalefinder.array.limit import geometry_covariance, inverse_curvature
from whalefinder.bearings.likelihood import Cells, derivatives, plane_wave_likelihood
from whalefinder.bearings.surface import REFINE_CELLS, fit_image
from whalefinder.bearings.wavefront import CONVERGED, Wavefront, find_wavefront

COARSE_CELLS, MIN_SCAN_CELLS = 300, 60
SCAN_BUDGET = 4e7  # directions x pairs x cells of the first scan: large arrays scan with fewer cells
PEAKS, FINALISTS = 10, 3  # peaks of the scan that are refined, and those refined again with all cells
COARSE_RAD, FINE_RAD = 2e-3, 1e-6  # where the refinement of the grid and Newton's steps stop: 0.1° and 0.0001°
CLIMB_ROUNDS = 20
LOBE_STEPS = 3.5  # grid points across the half width of the sharpest lobe
MISFIT = 1.8  # factor on the variance, since masks and covariances are estimates; chosen on dev recordings
MISFIT_IMAGE = 40.0  # the same with a surface image, where errors of range and elevation go together; chosen on dev
RANGE_MISFIT = 2.6  # factor on the standard deviation of a range, which tends to be too short; chosen on 19 dev calls
VAGUE = 0.5  # a range whose stated standard deviation is a larger share of it is not told
IMAGE_GAIN = 6.0  # log likelihood that a surface image must add before it is used
AT_ONCE, AT_ONCE_GAIN = 1.1, 20.0
"""Equal sound in all channels explains an event if its log L is larger than that of the best direction by this factor
and by this difference. Pickup has 1.2 to 3.0 times that of the best direction, calls have at most 0.8 times."""
STENCIL = np.stack(np.meshgrid(*[np.linspace(-1, 1, 3)] * 2), axis=-1).reshape(-1, 2)  # (level, up)
CENTRE = 4


@dataclass(frozen=True, kw_only=True)
class Fix:
    """A direction with its uncertainty.

    Args:
        u: unit vector `[3]` from the array to the call.
        covariance: `[2, 2]` rad², axes (level, up) at `u` along great circles.
        log_likelihood: log likelihood of this direction relative to noise alone.
        margin: log likelihood by which it is ahead of the best peak elsewhere; infinite if there is none.
        range_m, range_sd_m: range and its standard deviation in metres, if the surface image gives them, else None.
        rays: the direct ray and its surface image, `[5]` (`surface.surface_steering`), or None if there is no image.
        image_gain: log likelihood that the surface image adds.
        circles_rad: radii within which the true direction lies in 50 and in 90 % of all cases, or None.
        others: other directions `[3]` that are possible, each with its weight; those of all directions sum to 1.
        peaks: unit vectors `[peak, 3]` of this and of other peaks of the likelihood of one plane wave, best first.
    """

    u: Floats
    covariance: Floats
    log_likelihood: float
    margin: float
    range_m: float | None = None
    range_sd_m: float | None = None
    rays: Floats | None = None
    image_gain: float = 0.0
    circles_rad: tuple[float, float] | None = None
    others: tuple[tuple[Floats, float], ...] = ()
    peaks: Floats | None = None


def grid_step_rad(array: HydrophoneArray, highest_hz: float) -> float:
    """Step of the grid in radians, for lobes of a width of about λ / aperture. It is kept between 0.6° and 6°.

    For an aperture above about 2 m even 0.6° can miss a lobe.
    """
    wavelength = array.sound_speed_m_s / highest_hz
    return float(np.clip(wavelength / array.aperture_m / LOBE_STEPS / 1.5, np.radians(0.6), np.radians(6.0)))


def find_direction(cells: Cells, array: HydrophoneArray, *, surface: bool = True, rough: bool = False) -> Fix | None:
    """The most likely direction that a source under water can have, or None if there are no cells.

    1. Scan a grid of equal areas with the cells of most information.
    2. Refine the ten best peaks to 0.1°, and climb from the best three of them to the top with all cells.
    3. If the depth of the array is known, look for the surface image (`surface.fit_image`).

    Args:
        cells: from `gather_cells`.
        array: the geometry.
        surface: look for the surface image if the depth of the array is known.
        rough: stop at 0.1° and give no uncertainty. That is enough to steer a beam.
    """
    if len(cells.frequency_hz) == 0:
        return None
    if array.is_wide:
        return _of_wavefront(cells, array)
    coarse = cells.best(COARSE_CELLS)
    grid = grid_of(array, float(coarse.frequency_hz.max()))
    pairs = array.num_channels * (array.num_channels - 1) // 2
    scan = coarse.best(max(MIN_SCAN_CELLS, int(SCAN_BUDGET / (len(grid) * pairs))))
    scores = plane_wave_likelihood(scan, torch.from_numpy(array.delays_s(grid)).float())
    peaks = _separate_peaks(grid, scores.numpy(), _grid_spacing(grid))
    refined, values = _refine(coarse, array, peaks, _grid_spacing(grid), until=COARSE_RAD)
    if rough:
        return Fix(
            u=refined[values.argmax()],
            covariance=np.eye(2) * np.pi**2,
            log_likelihood=float(values.max()),
            margin=math.inf,
        )
    exact = cells.double()
    peaks = refined[np.argsort(values)[::-1]]
    leaders = [_climb(exact, array, u) for u in peaks[:FINALISTS]]
    leaders.sort(key=lambda top: -top.value)
    best = leaders[0]
    elsewhere = [top.value for top in leaders[1:] if np.linalg.norm(top.u - best.u) > np.radians(3.0)]
    fix = Fix(
        u=best.u,
        covariance=inverse_curvature(best.information) * cells.overlap * MISFIT + geometry_covariance(array, best.u),
        log_likelihood=best.value,
        margin=best.value - max(elsewhere) if elsewhere else math.inf,
        peaks=np.stack([*(top.u for top in leaders), *peaks[FINALISTS:]]),
    )
    # The image is looked for around the peaks, not around the tops above them, which are often one and the same.
    return _with_image(fix, cells, array, peaks) if surface and array.depth_m else fix


def _of_wavefront(cells: Cells, array: HydrophoneArray) -> Fix | None:
    """The direction of a wide array, whose lobes no grid can scan: from its free delays, and then to the top."""
    top = _climb(cells.double(), array, nearest_direction(find_wavefront(cells), array))
    covariance = inverse_curvature(top.information) * cells.overlap * MISFIT + geometry_covariance(array, top.u)
    return Fix(u=top.u, covariance=covariance, log_likelihood=top.value, margin=math.inf)


def nearest_direction(wavefront: Wavefront, array: HydrophoneArray) -> Floats:
    """The direction `[3]` whose delays are nearest to those of a wavefront: least squares, by Gauss and Newton.

    What a plane or a line cannot measure is filled up along its normal, below the horizon where there is a choice.
    """
    centred = array.positions_m - array.positions_m.mean(0)
    lead = np.zeros(array.num_channels) if array.lead_s is None else np.array(array.lead_s)
    delays = wavefront.delays_s + lead - np.mean(wavefront.delays_s + lead)
    u = -array.sound_speed_m_s * np.linalg.pinv(centred, rcond=FLATNESS) @ delays
    if array.shape != "volume":
        normal = array.principal_axes()[1][2]
        normal = -normal if normal[2] > 0 else normal
        u = u + math.sqrt(max(1e-6, 1 - float(u @ u))) * normal
    u = u / max(float(np.linalg.norm(u)), 1e-9)
    for _ in range(CLIMB_ROUNDS):
        axes = np.stack(tangents(u))
        slopes = array.slopes_s(axes)
        rest = delays - (array.slopes_s(u[None])[:, 0] - array.slopes_s(u[None])[:, 0].mean())
        u = u + np.linalg.lstsq(slopes - slopes.mean(0), rest, rcond=FLATNESS)[0] @ axes
        u = u / np.linalg.norm(u)
    u[2] = min(u[2], math.sin(array.max_elevation_rad()))
    return np.asarray(u / np.linalg.norm(u))


def arrives_at_once(cells: Cells, array: HydrophoneArray, u: Floats) -> bool:
    """Whether the event is the same in all channels, without any delay: pickup, which is no sound of the sea.

    Where the geometry has a direction without delays (across a line, across a plane) that direction explains it too, and
    nothing can be said.

    Args:
        cells: from `gather_cells`.
        array: the geometry.
        u: unit vector `[3]` of the best direction.
    """
    delays = torch.from_numpy(np.stack([array.delays_s(np.zeros(3)), array.delays_s(u)])).float()
    at_once, best = plane_wave_likelihood(cells.best(COARSE_CELLS), delays).tolist()
    return bool(at_once > max(AT_ONCE * best, best + AT_ONCE_GAIN))


def _with_image(fix: Fix, cells: Cells, array: HydrophoneArray, starts: Floats) -> Fix:
    """The fix with the surface image if that adds `IMAGE_GAIN` to the log likelihood, else the fix as it is."""
    few = cells.best(REFINE_CELLS).double()
    plane = float(plane_wave_likelihood(few, torch.from_numpy(array.delays_s(fix.u[None])))[0])
    image = fit_image(cells, array, starts, plane)
    if image is None or image.gain < IMAGE_GAIN:
        return fix
    covariance = image.covariance * cells.overlap * MISFIT_IMAGE
    range_share = RANGE_MISFIT * math.sqrt(covariance[2, 2])  # standard deviation of the logarithm of the range
    return replace(
        fix,
        u=image.u,
        covariance=covariance[:2, :2] + geometry_covariance(array, image.u),
        log_likelihood=fix.log_likelihood + image.gain,
        range_m=image.range_m if range_share < VAGUE else None,
        range_sd_m=image.range_m * range_share if range_share < VAGUE else None,
        rays=image.rays,
        image_gain=image.gain,
    )


def grid_of(array: HydrophoneArray, highest_hz: float) -> Floats:
    """Directions of equal areas, in steps that fit an array and the highest frequency of a call. → `[direction, 3]`."""
    # Steps are rounded to 10 %, so that the calls of one array use only a few grids, which are kept.
    return _kept_grid(round(math.log(grid_step_rad(array, highest_hz)), 1), array.max_elevation_rad())


@lru_cache(maxsize=8)
def _kept_grid(log_step: float, max_elevation_rad: float) -> Floats:
    return equal_area_grid(math.exp(log_step), max_elevation_rad)


def _grid_spacing(grid: Floats) -> float:
    area = 2 * math.pi * (1 + float(grid[:, 2].max()))
    return math.sqrt(area / len(grid))


def _separate_peaks(grid: Floats, scores: Floats, spacing: float) -> Floats:
    """The best `PEAKS` points, all more than two grid steps apart. → `[peak, 3]`."""
    peaks: list[Floats] = []
    for index in np.argsort(scores)[::-1][: 50 * PEAKS]:
        if all(np.linalg.norm(grid[index] - other) > 2 * spacing for other in peaks):
            peaks.append(grid[index])
        if len(peaks) == PEAKS:
            break
    return np.stack(peaks)


def _refine(cells: Cells, array: HydrophoneArray, peaks: Floats, width: float, until: float) -> tuple[Floats, Floats]:
    """Refine all peaks at once by 3 x 3 points around each, closer in every round. → peaks `[peak, 3]`, their log L.

    The next points are a quarter as far apart. Their centre is the top of the paraboloid through the present ones if it
    has a top near by, else the best of the present points.
    """
    top = np.sin(array.max_elevation_rad())
    width = width / 2
    while True:
        around = _around(peaks, STENCIL[None] * width, top)
        scores = plane_wave_likelihood(cells, _delays(array, around, cells)).numpy().reshape(len(peaks), -1)
        index = np.arange(len(peaks))
        best = scores.argmax(1)
        peaks, values = around[index, best], scores[index, best]
        if width < until:
            return peaks, values
        vertex = _vertex(scores)
        jump = np.where(np.isfinite(vertex).all(1, keepdims=True), vertex, STENCIL[best])
        peaks = _around(around[:, CENTRE], width * jump[:, None], top)[:, 0]
        width /= 4.0


def _around(peaks: Floats, steps: Floats, top: float) -> Floats:
    """Directions `[peak, step, 3]` at (level, up) steps from every peak; sin elevation is at most `top`."""
    level, up = tangents(peaks)
    around = peaks[:, None] + steps[..., :1] * level[:, None] + steps[..., 1:] * up[:, None]
    around[..., 2] = np.minimum(around[..., 2], top)
    return np.asarray(around / np.linalg.norm(around, axis=-1, keepdims=True))


def _delays(array: HydrophoneArray, directions: Floats, cells: Cells) -> torch.Tensor:
    return torch.from_numpy(array.delays_s(directions.reshape(-1, 3))).to(cells.frequency_hz)


# Least squares of f = c + gx x + gy y + hxx x²/2 + hxy xy + hyy y²/2 over the stencil.
PARABOLOID = np.linalg.pinv(
    np.column_stack([np.ones(9), STENCIL, STENCIL[:, 0] ** 2 / 2, STENCIL.prod(1), STENCIL[:, 1] ** 2 / 2])
)


def _vertex(scores: Floats) -> Floats:
    """Top of the paraboloid through each stencil, in widths of the stencil. `[peak, 9]` → `[peak, 2]`.

    It is NaN if there is no top, or if it is further than 1.5 widths away.
    """
    _, gx, gy, xx, xy, yy = PARABOLOID @ (scores - scores[:, [CENTRE]]).T
    determinant = xx * yy - xy**2
    with np.errstate(divide="ignore", invalid="ignore"):
        top = np.stack([xy * gy - yy * gx, xy * gx - xx * gy], axis=1) / determinant[:, None]
    good = (xx < 0) & (determinant > 0) & (np.abs(top) < 1.5).all(axis=1)
    return np.where(good[:, None], top, np.nan)


@dataclass(frozen=True, kw_only=True)
class _Top:
    """A direction `u`, log L there, and the information `[2, 2]` (minus its second derivatives) in (level, up)."""

    u: Floats
    value: float
    information: Floats


def _climb(cells: Cells, array: HydrophoneArray, u: Floats) -> _Top:
    """Newton's steps to the top of log L; a step that leads down is shortened. Sin elevation stays below its limit.

    With τ_m = -r_m·u / c and great circles through u, ∂²u/∂θᵢ∂θⱼ = -δᵢⱼ u. So the derivatives by angle follow from those
    by delay (`likelihood.derivatives`): gradient Jᵀg, second derivatives JᵀHJ - (g·τ) I, with J = ∂τ/∂θ.
    """
    top = math.sin(array.max_elevation_rad())
    value, gradient, information = _by_angle(cells, array, u)
    for _ in range(CLIMB_ROUNDS):
        values, vectors = np.linalg.eigh(information)
        step = vectors @ ((vectors.T @ gradient) / np.maximum(np.abs(values), 1e-9))
        if float(gradient @ step) < CONVERGED:  # twice what the step can still gain
            break
        step *= min(1.0, 2 * COARSE_RAD / max(float(np.linalg.norm(step)), 1e-15))
        while True:
            moved = _around(u[None], step[None, None], top)[0, 0]
            after = _by_angle(cells, array, moved)
            if after[0] >= value or np.linalg.norm(step) < FINE_RAD:
                break
            step = step / 4
        if after[0] < value:
            break
        u, (value, gradient, information) = moved, after
    return _Top(u=u, value=value, information=information)


def information(cells: Cells, array: HydrophoneArray, u: Floats) -> Floats:
    """Minus the second derivatives of log L at a direction, `[2, 2]` in (level, up)."""
    return _by_angle(cells, array, u)[2]


def _by_angle(cells: Cells, array: HydrophoneArray, u: Floats) -> tuple[float, Floats, Floats]:
    slopes = array.slopes_s(np.stack(tangents(u)))
    at = derivatives(cells, array.delays_s(u))
    second = slopes.T @ at.second @ slopes - (at.gradient @ array.slopes_s(u[None])[:, 0]) * np.eye(2)
    return at.value, slopes.T @ at.gradient, -second
