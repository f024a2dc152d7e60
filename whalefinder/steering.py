"""From masked spectra to a direction: whitened likelihood, sub-grid peak, covariance of the fix.

The model of one bin is x = s a(u) + n: a call of unknown complex amplitude s, power σ², in noise (boats,
wind) of covariance Q, both Gaussian. With β = σ² aᴴQ⁻¹a the log likelihood ratio against "noise alone" is

    log L(u) = β / (1 + β) · |aᴴQ⁻¹x|² / (aᴴQ⁻¹a) - log(1 + β)            (bearing.md §3, design.md)

summed over bins weighted by their call share r. Q comes from the bins that are not call and is followed
over time (`spectrogram.covariance`). Bins that share Q and frequency enter through one matrix, the scatter
S = Σ r Q⁻¹x xᴴQ⁻¹, since |aᴴQ⁻¹x|² sums to aᴴSa. Everything is a tensor operation over all directions at
once and differentiable in the shares.

a_m = exp(-j2πf τ_m(u)) is evaluated at the exact delay; where the array's depth is known a second ray from
the surface joins it (`surface_steering`). Delays come from `geometry`, which nothing here repeats.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from whalefinder import spectrogram
from whalefinder.geometry import Floats, HydrophoneArray, angles, equal_area_grid, tangents

MIN_SHARE = 0.05
COARSE_CELLS, FINE_CELLS = 300, 1500
PEAKS, FINALISTS = 10, 3
COARSE_RAD, FINE_RAD = 2e-3, 1e-5  # where the coarse and the fine refinement stop: 0.1° and 0.001°
CHUNK = 2_000_000  # elements of one block of directions x pairs x cells
LOBE_STEPS = 3.5  # grid points across the half width of the sharpest lobe
OVERLAP = spectrogram.WINDOW / spectrogram.HOP  # every sample is seen by this many frames
IMAGE_GAIN = 6.0  # log likelihood that a surface image must add before it is believed
COEFFICIENTS = (-0.4, -0.7, -0.95)
INVERSE_RANGES = 14


@dataclass(frozen=True)
class Cells:
    """What a call left in its bins, per cell (one frequency, `CELL_FRAMES` frames): all a bearing needs.

    Shape:
        `frequency_hz`, `power`, `count`: `[cell]`; `inverse` Q⁻¹ and `scatter` S: complex
        `[cell, channel, channel]`; sorted, the most telling cell first.
    """

    frequency_hz: Tensor
    inverse: Tensor
    scatter: Tensor
    power: Tensor
    count: Tensor

    def best(self, count: int) -> Cells:
        """The `count` most telling cells."""
        parts = (self.frequency_hz, self.inverse, self.scatter, self.power, self.count)
        return Cells(*(part[:count] for part in parts))

    def double(self) -> Cells:
        """The same in double precision, for derivatives by differences."""
        return Cells(
            self.frequency_hz.double(),
            self.inverse.to(torch.complex128),
            self.scatter.to(torch.complex128),
            self.power.double(),
            self.count.double(),
        )


@dataclass(frozen=True)
class Fix:
    """A direction with its uncertainty.

    Args:
        u: `[3]` from the array to the call.
        covariance: `[2, 2]` rad², great-circle axes (level, up) at `u`.
        log_likelihood: of the best peak against noise alone.
        margin: how much likelier than the best peak elsewhere.
        range_m: where the surface image tells it, else None.
    """

    u: Floats
    covariance: Floats
    log_likelihood: float
    margin: float
    range_m: float | None = None


def gather_cells(
    spectra: Tensor, call_share: Tensor, noise: Tensor, first_frame: int = 0, *, power: Tensor | None = None
) -> Cells:
    """Reduce the bins of one event to cells.

    Args:
        spectra: complex `[channel, frequency, frame]` of the event alone.
        call_share: `[frequency, frame]`, zero outside the event's mask.
        noise: covariance `[channel, channel, frequency, cell]` of the whole segment.
        first_frame: frame of the segment at which `spectra` begins.
        power: the call's power `[frequency, frame]` where it is known better than share times mean power.
    """
    frames = spectra.shape[-1]
    lead = first_frame % spectrogram.CELL_FRAMES
    first_cell = first_frame // spectrogram.CELL_FRAMES
    tail = -(lead + frames) % spectrogram.CELL_FRAMES
    if power is None:
        power = call_share * spectrogram.power(spectra).mean(0)
    x, r, p = (
        torch.nn.functional.pad(part, (lead, tail)).unflatten(-1, (-1, spectrogram.CELL_FRAMES))
        for part in (spectra, call_share, power)
    )
    q = noise[..., first_cell : first_cell + r.shape[1]]
    count = r.sum(-1)
    keep = count > MIN_SHARE
    x = x.permute(1, 2, 3, 0)[keep]  # [cell, frame, channel]
    q = q.permute(2, 3, 0, 1)[keep]
    r = r[keep]
    inverse = torch.linalg.inv(q)
    inverse = (inverse + inverse.mH) / 2
    whitened = x @ inverse.mT  # rows are (Q⁻¹x)ᵀ
    scatter = torch.einsum("kt,ktm,ktn->kmn", r.to(x.dtype), whitened, whitened.conj())
    count = count[keep]
    power = (r * p[keep]).sum(-1) / count
    # Information about the direction grows as β² / (1 + β) per bin and as the square of the frequency.
    beta = power * torch.diagonal(inverse, dim1=-2, dim2=-1).real.sum(-1)
    hz = spectrogram.frequencies_hz().to(power.device)[:, None].expand(keep.shape)[keep]
    order = (count * beta.square() / (1 + beta) * hz).argsort(descending=True)[:FINE_CELLS]
    return Cells(hz[order], inverse[order], scatter[order], power[order], count[order])


def beam(spectra: Tensor, noise: Tensor, array: HydrophoneArray, u: Floats) -> Tensor:
    """Distortionless beam towards `u` with the least noise (MVDR): aᴴQ⁻¹x / aᴴQ⁻¹a.

    Shape:
        complex `[channel, frequency, frame]`, noise `[channel, channel, frequency, cell]` → `[frequency, frame]`.
    """
    frames = spectra.shape[-1]
    delays = torch.from_numpy(array.delays_s(u)).to(spectra.real.dtype)
    angle = -2 * math.pi * spectrogram.frequencies_hz()[:, None] * delays
    a = torch.polar(torch.ones_like(angle), angle)  # [frequency, channel]
    weights = torch.linalg.solve(noise.permute(2, 3, 0, 1), a[:, None, :, None].expand(-1, noise.shape[-1], -1, 1))[
        ..., 0
    ]
    weights = weights / torch.einsum("fm,fcm->fc", a.conj(), weights).real[..., None]
    cells = torch.nn.functional.pad(spectra, (0, -frames % spectrogram.CELL_FRAMES))
    cells = cells.unflatten(-1, (-1, spectrogram.CELL_FRAMES))
    return torch.einsum("fcm,mfct->fct", weights.conj(), cells).flatten(-2)[..., :frames]


def plane_wave_likelihood(cells: Cells, delays_s: Tensor) -> Tensor:
    """Log L for plane waves. Delays `[direction, channel]` s → `[direction]`.

    a_m* a_n = exp(j2πf(τ_m - τ_n)), so both quadratic forms are sums over pairs of hydrophones,
    aᴴSa = Σ_m S_mm + 2 Σ_{m<n} Re[S_mn exp(j2πf(τ_m - τ_n))], and one table of sines serves both.
    """
    channels = delays_s.shape[-1]
    m, n = torch.triu_indices(channels, channels, 1)
    pairs = max(1, len(m))
    rows = max(1, CHUNK // (pairs * max(1, len(cells.frequency_hz))))
    forms = torch.stack([cells.scatter, cells.inverse])  # [form, cell, channel, channel]
    own = torch.diagonal(forms, dim1=-2, dim2=-1).real.sum(-1)
    across = 2.0 * forms[..., m, n].mT  # [form, pair, cell]
    parts = []
    for block in delays_s.split(rows):
        angle = 2 * math.pi * (block[:, m] - block[:, n])[:, :, None] * cells.frequency_hz
        cosine, sine = torch.cos(angle), torch.sin(angle)
        form = own[:, None] + torch.einsum("fpk,gpk->fgk", across.real, cosine)
        form = form - torch.einsum("fpk,gpk->fgk", across.imag, sine)
        parts.append(_sum_over_cells(cells, form[0], form[1]))
    return torch.cat(parts)


def steered_likelihood(cells: Cells, steering: Tensor) -> Tensor:
    """Log L for any steering vectors, complex `[hypothesis, cell, channel]` → `[hypothesis]`."""
    numerator = torch.einsum("gkm,kmn,gkn->gk", steering.conj(), cells.scatter, steering).real
    denominator = torch.einsum("gkm,kmn,gkn->gk", steering.conj(), cells.inverse, steering).real
    return _sum_over_cells(cells, numerator, denominator)


def _sum_over_cells(cells: Cells, numerator: Tensor, denominator: Tensor) -> Tensor:
    denominator = denominator.clamp(min=1e-12 * float(cells.inverse.detach().abs().max()))
    beta = cells.power * denominator
    return (beta / (1 + beta) * numerator / denominator - cells.count * torch.log1p(beta)).sum(-1)


def grid_step_rad(array: HydrophoneArray, highest_hz: float) -> float:
    """Grid step that cannot miss a lobe: the sharpest one is about λ / aperture wide."""
    wavelength = array.sound_speed_m_s / highest_hz
    return float(np.clip(wavelength / array.aperture_m / LOBE_STEPS / 1.5, np.radians(0.6), np.radians(6.0)))


def find_direction(cells: Cells, array: HydrophoneArray, *, surface: bool = True) -> Fix | None:
    """The most likely direction below the surface, or None where the cells hold nothing.

    Coarse equal-area grid over the most telling cells, the best ten peaks refined below the grid over
    all of them, then, with the array's depth known, the surface image (`surface.refine`).
    """
    if len(cells.frequency_hz) == 0:
        return None
    coarse = cells.best(COARSE_CELLS)
    grid = _grid(array, float(coarse.frequency_hz.max()))
    scores = plane_wave_likelihood(coarse, torch.from_numpy(array.delays_s(grid)).float())
    peaks = _separate_peaks(grid, scores.numpy(), _grid_spacing(grid))
    refined, values = _refine(coarse, array, peaks, _grid_spacing(grid), until=COARSE_RAD)
    leaders = refined[np.argsort(values)[::-1][:FINALISTS]]
    refined, values = _refine(cells.double(), array, leaders, 2 * COARSE_RAD, until=FINE_RAD)
    order = np.argsort(values)[::-1]
    best = refined[order[0]]
    elsewhere = [values[i] for i in order[1:] if np.linalg.norm(refined[i] - best) > np.radians(3.0)]
    margin = float(values[order[0]] - max(elsewhere)) if elsewhere else math.inf
    fix = Fix(best, fix_covariance(cells, array, best), float(values[order[0]]), margin)
    if surface and array.depth_m is not None:
        from_image = with_surface_image(cells, array, refined[order], fix)
        fix = from_image or fix
    return fix


_GRIDS: dict[tuple[float, float], Floats] = {}


def _grid(array: HydrophoneArray, highest_hz: float) -> Floats:
    step = round(math.log(grid_step_rad(array, highest_hz)), 1)
    key = (step, array.max_elevation_rad())
    if key not in _GRIDS:
        _GRIDS[key] = equal_area_grid(math.exp(step), key[1])
    return _GRIDS[key]


def _grid_spacing(grid: Floats) -> float:
    area = 2 * math.pi * (1 + float(grid[:, 2].max()))
    return math.sqrt(area / len(grid))


def _separate_peaks(grid: Floats, scores: Floats, spacing: float) -> Floats:
    """The best `PEAKS` points, no two within two grid steps of each other. → `[peak, 3]`."""
    peaks: list[Floats] = []
    for index in np.argsort(scores)[::-1][: 50 * PEAKS]:
        if all(np.linalg.norm(grid[index] - other) > 2 * spacing for other in peaks):
            peaks.append(grid[index])
        if len(peaks) == PEAKS:
            break
    return np.stack(peaks)


def _refine(cells: Cells, array: HydrophoneArray, peaks: Floats, width: float, until: float) -> tuple[Floats, Floats]:
    """Shrinking 3 x 3 stencils around every peak at once. → peaks `[peak, 3]` and their log L."""
    offsets = np.stack(np.meshgrid(*[np.linspace(-1, 1, 3)] * 2), axis=-1).reshape(-1, 2)
    top = np.sin(array.max_elevation_rad())
    index = np.arange(len(peaks))
    width = width / 2
    while True:
        level, up = tangents(peaks)
        around = peaks[:, None] + width * (offsets[:, :1] * level[:, None] + offsets[:, 1:] * up[:, None])
        around[..., 2] = np.minimum(around[..., 2], top)
        around /= np.linalg.norm(around, axis=-1, keepdims=True)
        delays = torch.from_numpy(array.delays_s(around.reshape(-1, 3))).to(cells.frequency_hz)
        scores = plane_wave_likelihood(cells, delays).numpy().reshape(len(peaks), -1)
        best = scores.argmax(1)
        peaks, values = around[index, best], scores[index, best]
        if width < until:
            return peaks, values
        width /= 2.0


def fix_covariance(cells: Cells, array: HydrophoneArray, u: Floats) -> Floats:
    """Covariance `[2, 2]` rad² of a fix in its (level, up) axes: noise plus the errors of the array file.

    The noise part is the inverse curvature of log L times `OVERLAP`, since overlapping frames count every
    sample that often. It cannot be narrower than the array's own errors, which are added.
    """
    level, up = tangents(u)
    h = 2e-4
    steps = np.array([(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, -1)], float) * h
    around = u + steps[:, :1] * level + steps[:, 1:] * up
    around /= np.linalg.norm(around, axis=-1, keepdims=True)
    f = plane_wave_likelihood(cells.double(), torch.from_numpy(array.delays_s(around))).numpy()
    xx, yy = (f[1] + f[2] - 2 * f[0]) / h**2, (f[3] + f[4] - 2 * f[0]) / h**2
    xy = (f[5] + f[6] - f[1] - f[2] - f[3] - f[4] + 2 * f[0]) / (2 * h**2)
    return _inverse_curvature(-np.array([[xx, xy], [xy, yy]])) * OVERLAP + geometry_covariance(array, u)


def _inverse_curvature(information: Floats) -> Floats:
    values, vectors = np.linalg.eigh(information)
    values = np.maximum(values, 1.0 / np.pi**2)  # flat or bent upwards: nothing is known in that axis
    return (vectors / values) @ vectors.T


def geometry_covariance(array: HydrophoneArray, u: Floats) -> Floats:
    """What position, timing and sound-speed errors do to a fix, `[2, 2]` rad² in (level, up).

    Least squares on the delays: dθ = D⁺ dτ with D = ∂τ/∂θ (mean over hydrophones removed); dτ has
    σ² = (σ_r / c)² + σ_t² per hydrophone, and (σ_c / c) τ common to all.
    For a regular tetrahedron this is the floor 2 σ_r / d of bearing.md §3.1.
    """
    level, up = tangents(u)
    centred = array.positions_m - array.positions_m.mean(axis=0)
    c = array.sound_speed_m_s
    slope = -(centred @ np.stack([level, up], axis=1)) / c  # [channel, 2]
    solve = np.linalg.pinv(slope, rcond=1e-3)
    independent = (array.position_error_m / c) ** 2 + array.timing_error_s**2
    common = (array.sound_speed_error_m_s / c) * (-(centred @ u) / c)
    return solve @ (independent * np.eye(len(centred)) + np.outer(common, common)) @ solve.T


def surface_steering(array: HydrophoneArray, frequency_hz: Tensor, hypotheses: Floats) -> Tensor:
    """Direct ray plus its image in the surface.

    Args:
        frequency_hz: `[cell]`.
        hypotheses: `[hypothesis, 5]`: unit vector (3), 1 / range (1/m), reflection coefficient.

    Shape:
        → complex `[hypothesis, cell, channel]`.

    With the array at depth D, a source at range R in direction u stands R u_z above the array, and its
    image 2 D - R u_z above it: the vector to the image is (R u_x, R u_y, 2 D - R u_z). Path difference,
    image direction and amplitude R / R' follow without an approximation; wavefronts are taken as plane.
    """
    depth = float(array.depth_m or 0.0)
    u, inverse_range, coefficient = hypotheses[:, :3], hypotheses[:, 3], hypotheses[:, 4]
    image = u * np.array([1.0, 1.0, -1.0])
    image[:, 2] += 2 * depth * inverse_range  # in units of R
    length = np.linalg.norm(image, axis=1)
    # (R' - R) / c, from R'² - R² = 4 D (D - R u_z) so that nothing cancels at long range.
    extra = 4 * depth * (depth * inverse_range - u[:, 2]) / (length + 1.0) / array.sound_speed_m_s
    direct_s = array.delays_s(u)
    image_s = array.delays_s(image / length[:, None]) + extra[:, None]
    turn = -2 * math.pi * frequency_hz[:, None]

    def ray(delays: Floats, amplitude: Floats) -> Tensor:
        angle = turn * torch.from_numpy(delays).to(frequency_hz)[:, None, :]
        return torch.polar(torch.from_numpy(np.abs(amplitude)).to(frequency_hz)[:, None, None].expand_as(angle), angle)

    return ray(direct_s, np.ones(len(u))) - ray(image_s, coefficient / length)


def with_surface_image(cells: Cells, array: HydrophoneArray, starts: Floats, plane: Fix) -> Fix | None:
    """Search direction, range and reflection coefficient around the plane-wave peaks `[start, 3]`.

    A plane-wave fix of a mirrored call has the right azimuth and an elevation between the two rays. Range and
    coefficient are nuisances: gridded, then refined together with the direction. Returns None unless
    the image explains the call better by `IMAGE_GAIN`.
    """
    few = cells.best(COARSE_CELLS)
    hypotheses = _image_hypotheses(array, starts)
    scores = np.concatenate(
        [_image_scores(few, array, part) for part in np.array_split(hypotheses, 1 + len(hypotheses) // 500)]
    )
    order = np.argsort(scores)[::-1]
    best, value = _refine_image(few, array, hypotheses[order[:6]])
    plane_value = float(plane_wave_likelihood(few.double(), torch.from_numpy(array.delays_s(plane.u[None])))[0])
    if value - plane_value < IMAGE_GAIN:
        return None
    covariance = _image_covariance(few, array, best) * OVERLAP + geometry_covariance(array, best[:3])
    return Fix(best[:3], covariance, plane.log_likelihood + value - plane_value, plane.margin, float(1 / best[3]))


def _image_scores(cells: Cells, array: HydrophoneArray, hypotheses: Floats) -> Floats:
    return steered_likelihood(cells, surface_steering(array, cells.frequency_hz, hypotheses)).numpy()


def _image_hypotheses(array: HydrophoneArray, starts: Floats) -> Floats:
    azimuth, elevation = angles(starts)
    highest = array.max_elevation_rad()
    rows = []
    for az, el in zip(azimuth, elevation, strict=True):
        for e in np.radians(np.arange(-8.0, 8.01, 0.2)) + el:
            if not -np.pi / 2 < e <= highest:
                continue
            u = [np.cos(e) * np.sin(az), np.cos(e) * np.cos(az), np.sin(e)]
            for inverse_range in np.linspace(0.0003, 1.0 / array.min_range_m, INVERSE_RANGES):
                # Under water: depth of the source D - R u_z > 0.
                if (array.depth_m or 0.0) * inverse_range - u[2] <= 0:
                    continue
                rows += [[*u, inverse_range, coefficient] for coefficient in COEFFICIENTS]
    return np.array(rows) if rows else np.array([[*starts[0], 1e-3, -0.7]])


def _refine_image(cells: Cells, array: HydrophoneArray, starts: Floats) -> tuple[Floats, float]:
    """Random shrinking search around the best hypotheses; the four nuisances trade off along curved ridges."""
    cells = cells.double()
    rng = np.random.default_rng(0)
    best = starts.copy()
    values = _image_scores(cells, array, best)
    scale = np.array([0.02, 0.004, 0.15, 0.15])  # level, up (rad), relative 1/R, coefficient
    for _ in range(14):
        draws = rng.standard_normal((len(best), 40, 4)) * scale
        level, up = tangents(best[:, :3])
        moved = np.repeat(best[:, None], 40, axis=1)
        moved[..., :3] += draws[..., :1] * level[:, None] + draws[..., 1:2] * up[:, None]
        moved[..., 2] = np.minimum(moved[..., 2], np.sin(array.max_elevation_rad()))
        moved[..., :3] /= np.linalg.norm(moved[..., :3], axis=-1, keepdims=True)
        moved[..., 3] = np.clip(moved[..., 3] * np.exp(draws[..., 2]), 1e-4, 1 / array.min_range_m)
        moved[..., 4] = np.clip(moved[..., 4] + draws[..., 3], -1.0, 0.0)
        scores = _image_scores(cells, array, moved.reshape(-1, 5)).reshape(len(best), -1)
        winner = scores.argmax(1)
        index = np.arange(len(best))
        better = scores[index, winner] > values
        best[better] = moved[index, winner][better]
        values = np.maximum(values, scores[index, winner])
        scale = scale * 0.72
    return best[values.argmax()], float(values.max())


def _image_covariance(cells: Cells, array: HydrophoneArray, best: Floats) -> Floats:
    """Curvature over (level, up, log 1/R, coefficient), nuisances marginalised by inverting the whole."""
    cells = cells.double()
    level, up = tangents(best[:3])
    step = np.array([2e-4, 2e-4, 0.01, 0.01])

    def at(offsets: Floats) -> Floats:
        moved = np.repeat(best[None], len(offsets), axis=0)
        moved[:, :3] += offsets[:, :1] * level + offsets[:, 1:2] * up
        moved[:, :3] /= np.linalg.norm(moved[:, :3], axis=1, keepdims=True)
        moved[:, 3] *= np.exp(offsets[:, 2])
        moved[:, 4] += offsets[:, 3]
        return _image_scores(cells, array, moved)

    eye = np.eye(4)
    corners = np.stack([(i * eye[a] + j * eye[b]) * step for a in range(4) for b in range(4) for i, j in SIGNS])
    f = at(corners).reshape(4, 4, 4)
    hessian = (f[..., 0] - f[..., 1] - f[..., 2] + f[..., 3]) / (4 * np.outer(step, step))
    return _inverse_curvature(-hessian)[:2, :2]


SIGNS = ((1, 1), (1, -1), (-1, 1), (-1, -1))
