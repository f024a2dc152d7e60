"""The bearing of an event: a first fix from the mask, a second fix with a beam, and its conversion to degrees.

The first fix uses the mask of all hydrophones together. A beam towards it (`beam.mvdr_beam`) holds the same call with
less boat, so the segmentation network finds more of the call there. This second mask gives the second fix. To the
network the beam is just one more hydrophone; it does not know the geometry. `scores` decides whether the event is
a call: from the mask and from the direction of the noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch

from whalefinder.array.geometry import HydrophoneArray, angles, tangents
from whalefinder.bearings import likelihood, steering
from whalefinder.bearings.regression import Regression
from whalefinder.calls.events import Event
from whalefinder.calls.masks import CALL, Masks, shares_of
from whalefinder.calls.scores import event_score
from whalefinder.networks.segmentation import SegmentationNetwork
from whalefinder.results.ambiguity import Cone, Lobe, Mirror
from whalefinder.results.records import Bearing
from whalefinder.sound import covariance, spectrogram
from whalefinder.sound.beam import flatness, mvdr_beam, noise_towards
from whalefinder.sound.spectrogram import CELL_FRAMES

MARGIN_FRAMES = 2
STEEP_DEG = 10.0  # a line within this angle of the vertical gives an elevation instead of azimuths
CONTEXT_CELLS = 24  # 2 s before and after the event, for the planes and the noise covariance
NOISE_CELLS = 6.0  # e-folding of the noise covariance of a fix, 0.5 s
HOPELESS = -1.5  # an event with a lower score gets no second fix
FIRST_GATE, SECOND_GATE = 0.2, 0.3
BROAD = slice(14, 163)  # bins of 1-8 kHz, where a boat is loud and an array sharp
LOBE_MARGIN = 6.0
"""A second direction that is behind by less than this (in log likelihood) is reported in `ambiguity`."""


@dataclass(frozen=True)
class Look:
    """A fix, the figures about the noise from which the score of the event is computed (`scores`), and whether the event
    is the same in all channels, so that it has no direction (`steering.arrives_at_once`).
    """

    fix: steering.Fix
    evidence: dict[str, float] = field(default_factory=dict)
    at_once: bool = False


@torch.inference_mode()
def find_bearing(
    masks: Masks,
    event: Event,
    array: HydrophoneArray,
    network: SegmentationNetwork | None,
    regression: Regression | None = None,
    hopeless: float = HOPELESS,
) -> Look | None:
    """Direction of one event, or None if no bin of its mask holds enough call.

    Args:
        masks: masks and spectra of the array's hydrophones.
        event: the event.
        array: the geometry of these hydrophones.
        network: the segmentation network, for the second fix. None: the masks are used as they are (for true masks).
        regression: gives the direction instead of the second fix, if no hydrophone of its array is missing. The score
            of the event still uses the first fix.
        hopeless: an event with a lower score gets no second fix, and its first fix is rough.
    """
    first = max(0, event.begin // CELL_FRAMES - CONTEXT_CELLS) * CELL_FRAMES
    last = min(masks.spectra.shape[-1], (-(-event.end // CELL_FRAMES) + CONTEXT_CELLS) * CELL_FRAMES)  # whole cells
    spectra, share = masks.spectra[..., first:last], masks.shares[CALL, :, first:last]
    begin = max(0, event.begin - MARGIN_FRAMES - first)
    end = min(last, event.end + MARGIN_FRAMES) - first
    noise = covariance.noise_covariance(spectra, (1 - share).square(), NOISE_CELLS)
    inside = (..., slice(begin, end))
    around = noise[..., begin // CELL_FRAMES : -(-end // CELL_FRAMES)]
    cells = likelihood.gather_cells(spectra[inside], _gated(share[inside], FIRST_GATE), noise, begin)
    fix = steering.find_direction(cells, array, rough=network is not None)
    if fix is None or network is None:
        return None if fix is None else Look(fix)
    at_once = steering.arrives_at_once(cells, array, fix.u)
    if regression is not None and array.num_channels == regression.array.num_channels:
        # The direction of the first fix shows whether the event comes from a boat, so the evidence uses that fix.
        answer = regression.find_direction(spectra[inside], share[inside])
        return None if answer is None else Look(answer, _where_noise_came_from(around, array, fix), at_once)
    evidence = _where_noise_came_from(around, array, fix)
    if event_score({**event.evidence, **evidence}) < hopeless:
        return Look(fix, evidence, at_once)
    beam = mvdr_beam(spectra, noise, array, fix.u)
    in_beam = shares_of(network, beam[None], masks.valid, slice(begin, end))[CALL]
    power = in_beam * spectrogram.power(beam[inside])
    cells = likelihood.gather_cells(spectra[inside], _gated(in_beam, SECOND_GATE), noise, begin, power=power)
    best = steering.find_direction(cells, array) or fix
    return Look(best, _where_noise_came_from(around, array, best), at_once)


def _where_noise_came_from(noise: torch.Tensor, array: HydrophoneArray, fix: steering.Fix) -> dict[str, float]:
    return {
        "noise_flatness": float(flatness(noise[:, :, BROAD]).mean()),
        "noise_towards": float(noise_towards(noise, array, fix.u)[BROAD].mean()),
    }


def _gated(share: torch.Tensor, gate: float) -> torch.Tensor:
    """Shares below the gate set to 0: such bins say nothing about the direction of the call."""
    return torch.where(share >= gate, share, torch.zeros_like(share))


def to_bearing(fix: steering.Fix, array: HydrophoneArray) -> Bearing:
    """The bearing of a fix, in the convention for results (docs/conventions.md).

    Its `ambiguity` states the other directions that fit the sound equally or almost equally well.
    """
    if array.shape == "line":
        return _cone(fix, array)
    azimuth, elevation = (float(np.degrees(angle)) for angle in angles(fix.u))
    level_sd, up_sd = np.degrees(np.sqrt(np.diag(fix.covariance)))
    azimuth_sd = min(180.0, level_sd / max(math.cos(math.radians(elevation)), 1e-3))
    ambiguity: Mirror | Lobe | None = None
    if array.shape == "plane":
        normal = array.principal_axes()[1][2]
        mirrored = fix.u - 2 * (fix.u @ normal) * normal
        if mirrored[2] <= np.sin(array.max_elevation_rad()) and np.linalg.norm(mirrored - fix.u) > 0.05:
            other_azimuth, other_elevation = (float(np.degrees(angle)) for angle in angles(mirrored))
            ambiguity = Mirror(azimuth_deg=other_azimuth, elevation_deg=other_elevation)
    elif fix.margin < LOBE_MARGIN:
        ambiguity = Lobe(margin=fix.margin)
    return Bearing(
        azimuth_deg=azimuth % 360.0,
        elevation_deg=elevation,
        azimuth_sd_deg=azimuth_sd,
        elevation_sd_deg=min(90.0, float(up_sd)),
        ambiguity=ambiguity,
        range_m=fix.range_m,
    )


def _cone(fix: steering.Fix, array: HydrophoneArray) -> Bearing:
    """The bearing of a pair or a line: the angle from its axis, and the two azimuths that it allows at elevation 0."""
    axis = array.principal_axes()[1][0]
    angle = float(np.arccos(np.clip(fix.u @ axis, -1, 1)))
    # A line measures only the angle to its axis, so only the error towards the axis counts.
    towards = axis - (axis @ fix.u) * fix.u
    level, up = tangents(fix.u)
    weights = np.array([towards @ level, towards @ up]) / max(float(np.linalg.norm(towards)), 1e-9)
    sd = math.degrees(math.sqrt(float(weights @ fix.covariance @ weights)))
    axis_azimuth, axis_elevation = (float(np.degrees(a)) for a in angles(axis))
    cone = partial(
        Cone, angle_deg=math.degrees(angle), axis_azimuth_deg=axis_azimuth, axis_elevation_deg=axis_elevation
    )
    if abs(axis[2]) > math.cos(math.radians(STEEP_DEG)):
        # A vertical line: the angle from its axis gives the elevation, and there is no azimuth.
        elevation = math.degrees(math.copysign(1.0, axis[2]) * (math.pi / 2 - angle))
        return Bearing(
            azimuth_deg=None,
            elevation_deg=elevation,
            azimuth_sd_deg=None,
            elevation_sd_deg=min(90.0, sd),
            ambiguity=cone(azimuths_deg=None),
        )
    # At elevation 0: cos(angle) = cos(el_axis) cos(az - az_axis).
    ratio = math.cos(angle) / math.cos(math.radians(axis_elevation))
    if abs(ratio) > 1:
        return Bearing(
            azimuth_deg=None,
            elevation_deg=None,
            azimuth_sd_deg=None,
            elevation_sd_deg=None,
            ambiguity=cone(azimuths_deg=()),
        )
    offset = math.acos(ratio)
    slope = math.sin(angle) / max(math.cos(math.radians(axis_elevation)) * math.sin(offset), 1e-6)
    first, second = sorted((axis_azimuth + sign * math.degrees(offset)) % 360 for sign in (1, -1))
    return Bearing(
        azimuth_deg=first,
        elevation_deg=None,
        azimuth_sd_deg=min(180.0, sd * slope),
        elevation_sd_deg=None,
        ambiguity=cone(azimuths_deg=(first, second)),
    )
