"""The bearing of an event: a first fix from the mask, a second fix with a beam, and its conversion to degrees.

The first fix uses the mask of all hydrophones together. A beam towards it (`beam.mvdr_beam`) holds the same call with
less boat, so the segmentation network finds more of the call there. This second mask gives the second fix. To the
network the beam is just one more hydrophone; it does not know the geometry. `scores` decides whether the event is
a call: from the mask and from the direction of the noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch

from whalefinder.array.geometry import Floats, HydrophoneArray, angles, tangents
from whalefinder.bearings import likelihood, steering
from whalefinder.bearings.curvature import Place, find_place
from whalefinder.bearings.fit import Fit, goodness_of_fit
from whalefinder.bearings.regression import Regression
from whalefinder.bearings.wavefront import find_wavefront
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
NO_DIRECTION = "no direction explains the delays between the hydrophones"
SAME_RAD = 0.05  # a mirror image nearer than this is the same direction
LOBE_MARGIN = 6.0
"""A second direction that is behind by less than this (in log likelihood) is reported in `ambiguity`."""


Refine = Callable[[likelihood.Cells, HydrophoneArray, steering.Fix, Fit], steering.Fix | None]


@dataclass(frozen=True, kw_only=True)
class Look:
    """What the array says about one event.

    Args:
        fix: its direction.
        evidence: figures about the noise from which the score of the event is computed (`scores`).
        at_once: it is the same in all channels, so that it has no direction (`steering.arrives_at_once`).
        fit: how well the hydrophones agree on the direction; None if that was not asked for.
        hydrophones: indices of the hydrophones that the fix uses. Others do not hear the event.
        array: their geometry, with the curvature of the wavefront taken out of the delays.
        gains: their gains for the event, by which they were made as loud as one another; None for 1.
    """

    fix: steering.Fix
    evidence: dict[str, float] = field(default_factory=dict)
    at_once: bool = False
    fit: Fit | None = None
    hydrophones: tuple[int, ...] = ()
    array: HydrophoneArray | None = None
    gains: Floats | None = None

    def spectra_of(self, spectra: torch.Tensor) -> torch.Tensor:
        """Spectra `[channel, frequency, frame]` of the hydrophones that the fix uses, all as loud."""
        used = spectra[list(self.hydrophones)] if len(self.hydrophones) < len(spectra) else spectra
        return used if self.gains is None else _levelled(used, self.gains)


@dataclass(frozen=True, kw_only=True)
class Excerpt:
    """An event with the seconds around it, which give the covariance of the noise.

    Shape:
        `spectra` complex `[channel, frequency, frame]`, `share` (of call) and `owned` (`Masks.owned`)
        `[frequency, frame]`, `noise` complex `[channel, channel, frequency, cell]`. The event is the frames [begin, end).
    """

    spectra: torch.Tensor
    share: torch.Tensor
    owned: torch.Tensor | None
    noise: torch.Tensor
    begin: int
    end: int
    array: HydrophoneArray
    hydrophones: tuple[int, ...]
    gains: Floats | None = None

    @classmethod
    def of(cls, masks: Masks, event: Event, array: HydrophoneArray) -> Excerpt:
        """The excerpt of an event from the masks of the array's hydrophones."""
        first = max(0, event.begin // CELL_FRAMES - CONTEXT_CELLS) * CELL_FRAMES
        last = min(masks.spectra.shape[-1], (-(-event.end // CELL_FRAMES) + CONTEXT_CELLS) * CELL_FRAMES)  # whole cells
        spectra, share = masks.spectra[..., first:last], masks.shares[CALL, :, first:last]
        return cls(
            spectra=spectra,
            share=share,
            owned=None if masks.owned is None else masks.owned[:, first:last],
            noise=covariance.noise_covariance(spectra, (1 - share).square(), NOISE_CELLS),
            begin=max(0, event.begin - MARGIN_FRAMES - first),
            end=min(last, event.end + MARGIN_FRAMES) - first,
            array=array,
            hydrophones=tuple(range(array.num_channels)),
        )

    @property
    def around(self) -> torch.Tensor:
        """Covariance of the noise in the cells of the event."""
        return self.noise[..., self.begin // CELL_FRAMES : -(-self.end // CELL_FRAMES)]

    def cells(self, share: torch.Tensor, gate: float, power: torch.Tensor | None = None) -> likelihood.Cells:
        """Cells of the event where the share `[frequency, frame]` of call reaches the gate. Others say nothing."""
        certain = share >= gate
        if self.owned is not None:
            certain &= self.owned[:, self.begin : self.end]
        share = torch.where(certain, share, torch.zeros_like(share))
        return likelihood.gather_cells(
            self.spectra[..., self.begin : self.end], share, self.noise, self.begin, power=power
        )

    def first_cells(self) -> likelihood.Cells:
        """Cells by the mask of all hydrophones, which knows of no direction."""
        return self.cells(self.share[:, self.begin : self.end], FIRST_GATE)

    def of_those(self, chosen: list[int]) -> Excerpt:
        """The same with some of the hydrophones."""
        return replace(
            self,
            spectra=self.spectra[chosen],
            noise=self.noise[chosen][:, chosen],
            array=self.array.of(chosen),
            hydrophones=tuple(self.hydrophones[m] for m in chosen),
        )

    def levelled(self, gains: Floats) -> Excerpt:
        """The same with all hydrophones as loud, by their gains."""
        factor = torch.from_numpy(1 / np.abs(gains)).to(self.spectra.real.dtype)
        return replace(
            self,
            spectra=_levelled(self.spectra, gains),
            gains=gains,
            noise=self.noise * (factor[:, None] * factor)[..., None, None],
        )


@torch.inference_mode()
def find_bearing(
    masks: Masks,
    event: Event,
    array: HydrophoneArray,
    network: SegmentationNetwork | None,
    regression: Regression | None = None,
    hopeless: float = HOPELESS,
    refiner: Refine | None = None,
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
        refiner: makes the second fix better and its error true, or None.
    """
    excerpt = Excerpt.of(masks, event, array)
    cells = excerpt.first_cells()
    if len(cells.frequency_hz) == 0:
        return None
    if network is None:
        fix = steering.find_direction(cells, array)
        return None if fix is None else Look(fix=fix, hydrophones=excerpt.hydrophones)
    wavefront = find_wavefront(cells)
    silent = wavefront.silent()
    if silent.sum() > array.num_channels - 2:
        return None
    if silent.any():
        excerpt = excerpt.of_those(np.flatnonzero(~silent).tolist())
        cells = excerpt.first_cells()
        wavefront = find_wavefront(cells)
    if wavefront.uneven and wavefront.gains_are_clear:
        excerpt = excerpt.levelled(wavefront.gains)
        cells = excerpt.first_cells()
    return _look(excerpt, cells, masks, event, network, regression, hopeless, refiner)


def _look(
    excerpt: Excerpt,
    cells: likelihood.Cells,
    masks: Masks,
    event: Event,
    network: SegmentationNetwork,
    regression: Regression | None,
    hopeless: float,
    refiner: Refine | None,
) -> Look | None:
    """Both fixes of an event, with the hydrophones that hear it."""
    excerpt, place = _straightened(excerpt, cells)
    array = excerpt.array
    fix = steering.find_direction(cells, array, rough=True)
    if fix is None:
        return None
    look = Look(
        fix=fix,
        evidence=_where_noise_came_from(excerpt.around, array, fix),
        at_once=steering.arrives_at_once(cells, array, fix.u),
        hydrophones=excerpt.hydrophones,
        array=array,
        gains=excerpt.gains,
    )
    whole = regression is not None and array.num_channels == regression.array.num_channels
    if regression is not None and whole and array.lead_s is None:  # it knows nothing of delays that were taken out
        # The direction of the first fix shows whether the event comes from a boat, so the evidence uses that fix.
        inside = slice(excerpt.begin, excerpt.end)
        answer = regression.find_direction(excerpt.spectra[..., inside], excerpt.share[:, inside])
        return None if answer is None else replace(look, fix=answer)
    if event_score({**event.evidence, **look.evidence}) < hopeless:
        return look
    beam = mvdr_beam(excerpt.spectra, excerpt.noise, array, fix.u)
    inside = slice(excerpt.begin, excerpt.end)
    in_beam = shares_of(network, beam[None], masks.valid, inside)[CALL]
    second = excerpt.cells(in_beam, SECOND_GATE, power=in_beam * spectrogram.power(beam[:, inside]))
    cells = second if len(second.frequency_hz) else cells
    best = steering.find_direction(cells, array) or fix
    fit = goodness_of_fit(cells, array, best.u, best.rays, at_a_place=place is not None)
    if place is not None:
        best = replace(best, covariance=place.covariance, range_m=place.range_m, range_sd_m=place.range_sd_m)
    refined = None if refiner is None or place is not None else refiner(cells, array, best, fit)
    best = refined or replace(best, covariance=best.covariance * fit.inflation**2)
    return replace(look, fix=best, evidence=_where_noise_came_from(excerpt.around, array, best), fit=fit)


def _levelled(spectra: torch.Tensor, gains: Floats) -> torch.Tensor:
    return spectra * torch.from_numpy(1 / np.abs(gains)).to(spectra.real.dtype)[:, None, None]


def _straightened(excerpt: Excerpt, cells: likelihood.Cells) -> tuple[Excerpt, Place | None]:
    """The event of a wide array with the curvature of its wavefront taken out, and the place that it shows, if any."""
    if not excerpt.array.is_wide:
        return excerpt, None
    wavefront = find_wavefront(cells)
    place = find_place(wavefront, excerpt.array, steering.nearest_direction(wavefront, excerpt.array))
    if place is None:
        return excerpt, None
    lead = np.zeros(len(place.bend_s)) if excerpt.array.lead_s is None else np.array(excerpt.array.lead_s)
    return replace(excerpt, array=replace(excerpt.array, lead_s=tuple((lead - place.bend_s).tolist()))), place


def _where_noise_came_from(noise: torch.Tensor, array: HydrophoneArray, fix: steering.Fix) -> dict[str, float]:
    return {
        "noise_flatness": float(flatness(noise[:, :, BROAD]).mean()),
        "noise_towards": float(noise_towards(noise, array, fix.u)[BROAD].mean()),
    }


def bearing_of(look: Look, array: HydrophoneArray) -> Bearing:
    """The bearing of an event, in the convention for results, or a bearing without angles where no direction explains it.

    Args:
        look: from `find_bearing`.
        array: the array that `find_bearing` was given.
    """
    used = array.of(look.hydrophones)
    remark = ""
    if used.num_channels < array.num_channels:
        left_out = [str(channel + 1) for channel in array.channels if channel not in used.channels]
        remark = f"without channel {' and '.join(left_out)}, which does not hear the call"
    if look.fit is None:
        return replace(to_bearing(look.fix, used), remark=remark)
    if look.fit.no_direction:
        return Bearing(
            azimuth_deg=None,
            elevation_deg=None,
            azimuth_sd_deg=None,
            elevation_sd_deg=None,
            fit=look.fit.p,
            remark=NO_DIRECTION,
        )
    return replace(to_bearing(look.fix, used), fit=look.fit.p, remark=remark)


def to_bearing(fix: steering.Fix, array: HydrophoneArray) -> Bearing:
    """The bearing of a fix, in the convention for results (docs/conventions.md).

    Its `ambiguity` states the other directions that fit the sound equally or almost equally well.
    """
    if array.shape == "line":
        return _cone(fix, array)
    ambiguity: Mirror | Lobe | None = None
    if array.shape == "plane":
        fix, ambiguity = _nearer_the_horizontal(fix, array)
    elif fix.circles_rad is not None:
        ambiguity = _others(fix)
    elif fix.margin < LOBE_MARGIN:
        ambiguity = Lobe(margin=fix.margin)
    azimuth, elevation = (float(np.degrees(angle)) for angle in angles(fix.u))
    level_sd, up_sd = np.degrees(np.sqrt(np.diag(fix.covariance)))
    azimuth_sd = min(180.0, level_sd / max(math.cos(math.radians(elevation)), 1e-3))
    inner, outer = (None, None) if fix.circles_rad is None else np.minimum(180.0, np.degrees(fix.circles_rad)).tolist()
    return Bearing(
        azimuth_deg=azimuth % 360.0,
        elevation_deg=elevation,
        azimuth_sd_deg=azimuth_sd,
        elevation_sd_deg=min(90.0, float(up_sd)),
        ambiguity=ambiguity,
        range_m=fix.range_m,
        range_sd_m=fix.range_sd_m,
        correlation=float(fix.covariance[0, 1] / np.sqrt(np.prod(np.diag(fix.covariance)))),
        error_50_deg=inner,
        error_90_deg=outer,
    )


def _others(fix: steering.Fix) -> Lobe | None:
    """The other directions of a refined fix, or None if there are none."""
    others = []
    for u, weight in fix.others:
        azimuth, elevation = (float(np.degrees(angle)) for angle in angles(u))
        others.append((azimuth % 360.0, elevation, weight))
    return Lobe(others=tuple(others)) if others else None


def _nearer_the_horizontal(fix: steering.Fix, array: HydrophoneArray) -> tuple[steering.Fix, Mirror | None]:
    """Of a direction and its mirror image in the plane of the hydrophones the one nearer to the horizontal, and the other.

    Both fit exactly as well. But an animal is more often far away than steeply below, seldom above an array that is near the
    surface (so elevations above 0 count twice), and never above the water.
    """
    normal = array.principal_axes()[1][2]
    mirrored = fix.u - 2 * (fix.u @ normal) * normal
    if mirrored[2] > np.sin(array.max_elevation_rad()) or np.linalg.norm(mirrored - fix.u) <= SAME_RAD:
        return fix, None
    if _unlikely(mirrored) < _unlikely(fix.u):
        # The mirror turns the axes of the covariance as well.
        here, there = np.array(tangents(fix.u)), np.array(tangents(mirrored))
        turn = there @ (np.eye(3) - 2 * np.outer(normal, normal)) @ here.T
        fix, mirrored = replace(fix, u=mirrored, covariance=turn @ fix.covariance @ turn.T), fix.u
    azimuth, elevation = (float(np.degrees(angle)) for angle in angles(mirrored))
    return fix, Mirror(azimuth_deg=azimuth % 360.0, elevation_deg=elevation)


def _unlikely(u: Floats) -> float:
    return float(max(-u[2], 2 * u[2]))


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
