"""What the refiner sees of a fix, and what becomes of its answer.

The likelihood of one plane wave has several peaks. Around each of them lie directions in its tangent plane, at fixed
steps across (level) and up; further up too, since a surface image pulls upwards. The network gets the log likelihood
there, relative to the peak, in two bands and in every time cell of the call, and what else steering knows: standard
deviations, the depth of the array, the answer of the image fit, the goodness of fit. `Refinement` turns its answer into
a direction, an ellipse, two circles, and other directions with their weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from whalefinder.array.geometry import Floats, HydrophoneArray, angles, direction, great_circle_rad, tangents
from whalefinder.array.limit import geometry_covariance, inverse_curvature
from whalefinder.bearings import steering
from whalefinder.bearings.fit import Fit
from whalefinder.bearings.likelihood import Cells, likelihood_of_cells
from whalefinder.bearings.steering import MISFIT, Fix
from whalefinder.networks.refiner import Answer, Refiner
from whalefinder.networks.weights import load_refiner

LEVEL_DEG = (-2.0, -0.5, 0.5, 2.0)
UP_DEG = (-9.0, -4.5, -2.2, -1.1, -0.4, 0.4, 1.1, 2.2, 4.5, 9.0)
STEPS = np.radians([(0.0, 0.0), *((x, 0.0) for x in LEVEL_DEG), *((0.0, y) for y in UP_DEG)])
BANDS_HZ = (3000.0,)  # limits between the bands
LEVEL_MIRROR = (0, *range(len(LEVEL_DEG), 0, -1), *range(len(LEVEL_DEG) + 1, len(STEPS)))
"""Where each of the steps is after left and right are exchanged."""
PROFILE_SIZE = (len(BANDS_HZ) + 1) * len(STEPS)
FACTS = (
    "elevation", "headroom", "sd_level", "sd_up", "correlation", "geometry_level", "geometry_up", "depth_known", "depth",
    "image", "image_gain", "image_range", "behind", "from_fix", "misfit", "explained", "plane", "normal", "aperture",
    "channels", "log_likelihood", "length", "frequency", "margin", "image_up",
)  # fmt: skip
MOST_PEAKS, MOST_TIMES = 4, 10
CURVED_CELLS, PROFILED_CELLS = 200, 500
APART_RAD = math.radians(0.3)  # peaks nearer than this are one
LEAST_WEIGHT = 0.05  # of another direction that is told
LEAST_SD, MOST_SD = math.radians(0.01), math.radians(30.0)


@dataclass(frozen=True, kw_only=True)
class Views:
    """The inputs of the refiner for one call, and the peaks that they are relative to.

    Shape:
        `u` `[peak, 3]`, `sd` (level, up) `[peak, 2]` rad, `correlation` `[peak]`, `profiles` `[peak, time, PROFILE_SIZE]`,
        `facts` `[peak, FACTS]`.
    """

    u: Floats
    sd: Floats
    correlation: Floats
    profiles: Tensor
    facts: Tensor


def views_of(cells: Cells, array: HydrophoneArray, fix: Fix, fit: Fit) -> Views:
    """The inputs of the refiner for one call.

    Args:
        cells: the cells of which `fix` is the top.
        array: the geometry of their hydrophones.
        fix: from `steering.find_direction`.
        fit: its goodness of fit.
    """
    u = _peaks(fix) if array.shape == "volume" else fix.u[None]  # a plane keeps its fix, see `offsets_of`
    covariances = np.stack([_covariance(cells, array, each) for each in u])
    if fix.image_gain:
        covariances[0] = fix.covariance
    # A misfit widens the error before the network sees it, since it has not seen every fault of an array.
    covariances *= fit.inflation**2
    sd = np.sqrt(np.clip(np.diagonal(covariances, axis1=1, axis2=2), LEAST_SD**2, MOST_SD**2))
    correlation = np.clip(covariances[:, 0, 1] / sd.prod(1), -0.95, 0.95)
    profiles, totals = _profiles(cells.best(PROFILED_CELLS), array, u)
    facts = _facts(cells, array, fix, fit, u, sd, correlation, totals)
    return Views(u=u, sd=sd, correlation=correlation, profiles=profiles, facts=torch.from_numpy(facts).float())


def _peaks(fix: Fix) -> Floats:
    """The fix itself, then the peaks of one plane wave, all apart. → `[peak, 3]`."""
    kept = [fix.u]
    for u in () if fix.peaks is None else fix.peaks:
        if len(kept) < MOST_PEAKS and float(np.min(great_circle_rad(np.stack(kept), u))) > APART_RAD:
            kept.append(u)
    return np.stack(kept)


def _covariance(cells: Cells, array: HydrophoneArray, u: Floats) -> Floats:
    information = steering.information(cells.best(CURVED_CELLS).double(), array, u)
    return inverse_curvature(information) * cells.overlap * MISFIT + geometry_covariance(array, u)


def _profiles(cells: Cells, array: HydrophoneArray, u: Floats) -> tuple[Tensor, Floats]:
    """Log L around every peak by band and time, relative to the peak, compressed; log L of every peak `[peak]`."""
    level, up = tangents(u)
    around = u[:, None] + STEPS[:, :1] * level[:, None] + STEPS[:, 1:] * up[:, None]
    around /= np.linalg.norm(around, axis=-1, keepdims=True)
    delays = torch.from_numpy(array.delays_s(around.reshape(-1, 3))).to(cells.frequency_hz)
    values = likelihood_of_cells(cells, delays)  # [peak · step, cell]
    time = torch.zeros(len(cells.frequency_hz), dtype=torch.long) if cells.place is None else cells.place[:, 1]
    time = time - time.min()
    times = min(MOST_TIMES, int(time.max()) + 1)
    time = time * times // (int(time.max()) + 1)
    band = torch.bucketize(cells.frequency_hz, torch.tensor(BANDS_HZ).to(cells.frequency_hz))
    bands = len(BANDS_HZ) + 1
    table = values.new_zeros(len(values), times * bands).index_add_(1, time * bands + band, values)
    table = table.reshape(len(u), len(STEPS), times, bands)
    totals = table[:, 0].sum((1, 2)).double().numpy()
    table[:, 1:] -= table[:, :1].clone()
    compressed = torch.asinh(table / (2 * cells.overlap)) / 2
    return compressed.permute(0, 2, 3, 1).flatten(2).float(), totals


def _facts(
    cells: Cells,
    array: HydrophoneArray,
    fix: Fix,
    fit: Fit,
    u: Floats,
    sd: Floats,
    correlation: Floats,
    totals: Floats,
) -> Floats:
    """`[peak, FACTS]`, about between -4 and 4."""
    geometry = np.stack([np.sqrt(np.diag(geometry_covariance(array, each))) for each in u])
    elevation = angles(u)[1]
    axes = array.principal_axes()[1]
    image = np.zeros(len(u))
    image[0] = bool(fix.image_gain)
    hz = cells.frequency_hz.double()
    weight = cells.count.double() * cells.power.double()
    plane_up = elevation[0] - elevation[1] if len(u) > 1 and fix.image_gain else 0.0
    columns = (
        2 * np.sin(elevation),
        _deg(array.max_elevation_rad() - elevation),
        *(np.log10(np.degrees(sd)).T),
        correlation,
        *(np.log10(np.degrees(np.maximum(geometry, LEAST_SD))).T),
        float(array.depth_m is not None),
        0.0 if array.depth_m is None else math.log10(max(array.depth_m, 0.1)),
        image,
        image * math.asinh(fix.image_gain / 10) / 2,
        image * (0.0 if fix.rays is None else -math.log10(100 * fix.rays[3])),
        np.arcsinh((totals - totals.max()) / 10) / 2,
        _deg(great_circle_rad(u, fix.u)),
        min(10.0, -math.log10(max(fit.p, 1e-10))) / 4,
        fit.explained,
        float(array.shape == "plane"),
        abs(float(axes[2][2])),
        2 * math.log10(array.aperture_m),
        array.num_channels / 4,
        np.arcsinh(totals / 30) / 3,
        len(cells.frequency_hz) / 750,
        2 * math.log10(float((hz * weight).sum() / weight.sum().clamp(min=1e-30)) / 3000),
        min(fix.margin, 100.0) / 50,
        _deg(plane_up),
    )
    return np.stack([np.broadcast_to(np.asarray(column, dtype=float), len(u)) for column in columns], axis=1)


def _deg(angle_rad: Floats | float) -> Floats:
    """An angle, compressed: linear below about 1°, logarithmic above."""
    return np.asarray(np.arcsinh(np.degrees(angle_rad)))


def offsets_of(answer: Answer, facts: Tensor) -> Tensor:
    """Offsets (level, up) from the peaks in their standard deviations, sinh of the nodes. → `[..., peak, 2]`.

    A plane gets none: both of its mirror images pull, and the mean of two answers is none.
    """
    plane = facts[..., FACTS.index("plane")].unsqueeze(-1)
    return torch.sinh(torch.stack([answer.azimuth, answer.elevation], -1)) * (1 - plane)


@dataclass(frozen=True)
class Refinement:
    """The refiner, ready to refine fixes."""

    network: Refiner

    @classmethod
    def of(cls, weights: Path | str | None = None) -> Refinement:
        """The refiner of the weights in a file, or the shipped one.

        Raises:
            ModelError: the weights or their card cannot be read, or they do not fit each other.
        """
        return cls(load_refiner(weights))

    @torch.inference_mode()
    def __call__(self, cells: Cells, array: HydrophoneArray, fix: Fix, fit: Fit) -> Fix | None:
        """The fix refined, or None for a line, which has no elevation, and for a wide array, which has no other peaks."""
        if array.shape == "line" or array.is_wide:
            return None
        view = views_of(cells, array, fix, fit)
        count, times = view.profiles.shape[:2]
        answer = self.network(
            view.profiles[None], view.facts[None], torch.tensor([times]), torch.ones(1, count, dtype=torch.bool)
        )
        weights = torch.softmax(answer.score[0], 0).double().numpy()
        best = int(weights.argmax())
        refined = moved(view.u, offsets_of(answer, view.facts[None])[0].double().numpy() * view.sd, array)
        sd = view.sd[best] * answer.log_sd[0, best].double().exp().numpy()
        across = view.correlation[best] * sd.prod()
        unit = math.sqrt(float(np.mean(view.sd[best] ** 2)))
        inner, outer = (unit * answer.log_radius[0, best].double().exp()).tolist()
        outside = great_circle_rad(refined, refined[best]) > outer  # what lies inside is no other direction
        others = [k for k in np.argsort(weights)[::-1] if outside[k] and weights[k] >= LEAST_WEIGHT]
        return replace(
            fix,
            u=refined[best],
            covariance=np.array([[sd[0] ** 2, across], [across, sd[1] ** 2]]),
            range_m=fix.range_m if best == 0 else None,
            range_sd_m=fix.range_sd_m if best == 0 else None,
            circles_rad=(inner, outer),
            others=tuple((refined[k], float(weights[k])) for k in others),
        )


def moved(u: Floats, offset: Floats, array: HydrophoneArray) -> Floats:
    """Directions `[peak, 3]` moved by (level, up) `[peak, 2]` in radians, along great circles, not above what is possible."""
    level, up = tangents(u)
    length = np.maximum(np.linalg.norm(offset, axis=-1, keepdims=True), 1e-12)
    towards = (offset[:, :1] * level + offset[:, 1:] * up) / length
    azimuth, elevation = angles(np.cos(length) * u + np.sin(length) * towards)
    return direction(azimuth, np.minimum(elevation, array.max_elevation_rad()))
