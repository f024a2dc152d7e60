"""Which hydrophone matters most for a bearing. Each hydrophone is left out in turn, and the fix is computed again."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.stats import chi2

from whalefinder.array.geometry import Floats, HydrophoneArray, tangent_offset, tangents
from whalefinder.bearings.event_bearing import CONTEXT_CELLS, NOISE_CELLS, find_bearing
from whalefinder.bearings.steering import Fix
from whalefinder.calls.events import Event
from whalefinder.calls.masks import CALL, Masks, shares_of
from whalefinder.networks.segmentation import SegmentationNetwork
from whalefinder.results.tables import write_table
from whalefinder.sound import covariance
from whalefinder.sound.beam import mvdr_beam
from whalefinder.sound.spectrogram import CELL_FRAMES

FALSE_ALARMS = 0.01
"""Probability that noise alone makes an array disagree with itself although all its hydrophones are in order."""
LEAST_SCATTER = 0.1
"""The variance of a shift is at least this share of the variance without the hydrophone. The reason: it is a difference
of two estimated covariances, which can be far too small."""
CLEAR = 3.0
"""A hydrophone stands out only if the disagreement without any other one is at least this many times as large as the
disagreement without it."""

ALIKE = 0.9
"""Hydrophones whose absence makes σ grow by at least this share of the largest growth are named together."""


@dataclass(frozen=True, kw_only=True)
class Without:
    """The fix without one hydrophone. Values are None if the others give no fix.

    Args:
        channel: channel of the hydrophone that is left out, from 1.
        shift_deg: how far the fix moves. If the others form a line, only the angle from the line counts.
        shift_sd_deg: standard deviation of such a shift if there is only noise.
        sd_deg: standard deviation of the fix without it: r.m.s. of both axes, or of the angle from the line.
        sd_growth: this standard deviation divided by that of the fix with all hydrophones.
        log_likelihood_loss: by how much the log likelihood of the fix is lower without it.
        doubt: the shift divided by the largest shift that noise explains (`FALSE_ALARMS`).
        stands_out: True if the others agree without it, and do not agree without any other hydrophone.
        note: what the others cannot measure, as text; may be empty.
    """

    channel: int
    shift_deg: float | None = None
    shift_sd_deg: float | None = None
    sd_deg: float | None = None
    sd_growth: float | None = None
    log_likelihood_loss: float | None = None
    doubt: float = 0.0
    stands_out: bool = False
    note: str = ""

    @property
    def disagrees(self) -> bool:
        """Whether noise cannot explain the shift: a hydrophone has a wrong place or clock, or two sounds overlap."""
        return self.doubt > 1.0


def leave_one_out(
    masks: Masks, event: Event, array: HydrophoneArray, network: SegmentationNetwork | None
) -> tuple[Fix, list[Without]] | None:
    """The fix of an event with all hydrophones, and the fix without each one.

    The mask is computed once, from the beam of all hydrophones, and is used for all fixes. So only one thing changes
    at a time.

    Args:
        masks: masks and spectra of the array's hydrophones.
        event: the event.
        array: the geometry of these hydrophones.
        network: the segmentation network, for the mask of the beam. None: the masks are used as they are.

    Returns:
        The fix and one row for each hydrophone, or None if no bin of the mask holds enough call.
    """
    if network is not None:
        masks = _second_look(masks, event, array, network)
    look = find_bearing(masks, event, array, None)
    if look is None:
        return None
    heard = _Heard(masks, event, array, tuple(range(array.num_channels)))
    rows = [_without(heard, m, look.fix) for m in heard.hydrophones]
    odd = _odd_one(heard) if any(row.disagrees for row in rows) else None
    return look.fix, [replace(row, stands_out=m == odd) for m, row in enumerate(rows)]


@torch.inference_mode()
def _second_look(masks: Masks, event: Event, array: HydrophoneArray, network: SegmentationNetwork) -> Masks:
    """The masks with the call share of a beam towards the first fix, within the event (see `event_bearing`)."""
    look = find_bearing(masks, event, array, None)
    if look is None:
        return masks
    first = max(0, event.begin // CELL_FRAMES - CONTEXT_CELLS) * CELL_FRAMES
    span = slice(first, event.end + CONTEXT_CELLS * CELL_FRAMES)
    spectra, share = masks.spectra[..., span], masks.shares[CALL, :, span]
    noise = covariance.noise_covariance(spectra, (1 - share).square(), NOISE_CELLS)
    beam = mvdr_beam(spectra, noise, array, look.fix.u)
    shares = masks.shares.clone()
    inside = slice(event.begin - first, event.end - first)
    shares[..., event.begin : event.end] = shares_of(network, beam[None], masks.valid, inside)
    return replace(masks, shares=shares)


@dataclass(frozen=True)
class _Heard:
    """An event in the sound of some of the hydrophones."""

    masks: Masks
    event: Event
    whole: HydrophoneArray
    hydrophones: tuple[int, ...]

    @property
    def array(self) -> HydrophoneArray:
        return self.whole.of(self.hydrophones)

    def without(self, m: int) -> _Heard:
        return replace(self, hydrophones=tuple(n for n in self.hydrophones if n != m))

    def fix(self) -> Fix | None:
        spectra = self.masks.spectra[list(self.hydrophones)]
        look = find_bearing(replace(self.masks, spectra=spectra, heard=None), self.event, self.array, None)
        return None if look is None else look.fix


def _without(heard: _Heard, m: int, fix: Fix) -> Without:
    channel = heard.whole.channels[m] + 1
    others = heard.without(m)
    if len(others.hydrophones) < 2:
        return Without(channel=channel, note="1 hydrophone left: no direction")
    left = others.fix()
    if left is None:
        return Without(channel=channel, note="the others hear nothing")
    rest = others.array
    sd = _sd_rad(left.covariance, left.u, rest)
    shift, scatter, angles = _move(fix, left, rest)
    most = math.sqrt(chi2.isf(FALSE_ALARMS / len(heard.hydrophones), angles))
    return Without(
        channel=channel,
        shift_deg=float(np.degrees(shift)),
        shift_sd_deg=float(np.degrees(scatter)),
        sd_deg=float(np.degrees(sd)),
        sd_growth=sd / max(_sd_rad(fix.covariance, fix.u, rest), 1e-9),
        log_likelihood_loss=fix.log_likelihood - left.log_likelihood,
        doubt=shift / scatter / most,
        note=_note(rest),
    )


def _odd_one(heard: _Heard) -> int | None:
    """The hydrophone that stands out, or None: without it the others agree far better than without any other.

    With four hydrophones three are left, and nearly any delays of three fit some direction. So only a large fault
    stands out there.
    """
    if len(heard.hydrophones) < 3:
        return None
    doubt = {m: _doubt(heard.without(m)) for m in heard.hydrophones}
    odd = min(doubt, key=lambda m: doubt[m])
    others = min(value for m, value in doubt.items() if m != odd)
    return odd if others > CLEAR * max(1.0, doubt[odd]) else None


def _doubt(heard: _Heard) -> float:
    """How much some hydrophones disagree with one another: their largest `Without.doubt`."""
    fix = heard.fix()
    return math.inf if fix is None else max(_without(heard, m, fix).doubt for m in heard.hydrophones)


def _move(fix: Fix, left: Fix, rest: HydrophoneArray) -> tuple[float, float, int]:
    """How far a fix moves if a hydrophone is left out, and how far noise alone would move it.

    One estimate uses all data of the other and more. Then the covariance of their difference is the difference of their
    covariances (Hausman 1978, doi:10.2307/1913827). Only what `rest` can measure is compared: for a line the angle from
    it, for a plane the nearer of the two mirror images.

    Args:
        fix: the fix with all hydrophones.
        left: the fix without one.
        rest: the array without it.

    Returns:
        The shift and its standard deviation in that direction, in radians, and the number of angles compared (1 or 2).
    """
    axes = rest.principal_axes()[1]
    if rest.shape == "line":
        angles = np.arccos(np.clip([fix.u @ axes[0], left.u @ axes[0]], -1, 1))
        shift = np.array([angles[1] - angles[0]])
        few, all_ = (np.array([[_sd_rad(each.covariance, each.u, rest) ** 2]]) for each in (left, fix))
    else:
        mirror = np.eye(3) - 2 * np.outer(axes[2], axes[2]) if rest.shape == "plane" else np.eye(3)
        mirror = max(np.eye(3), mirror, key=lambda m: float(fix.u @ m @ left.u))
        here, there = np.array(tangents(fix.u)), np.array(tangents(left.u))
        turn = here @ mirror @ there.T  # of the axes at one direction to those at the other
        shift = tangent_offset(here, fix.u, mirror @ left.u)
        few, all_ = turn @ left.covariance @ turn.T, fix.covariance
    values, vectors = np.linalg.eigh(few - all_)
    # Both covariances are estimates, so their difference can be too small or even negative.
    values = np.maximum(values, LEAST_SCATTER * np.diag(vectors.T @ few @ vectors))
    length, deviations = float(np.linalg.norm(shift)), math.sqrt(np.sum((vectors.T @ shift) ** 2 / values))
    along = length / deviations if deviations > 0 else math.sqrt(values.mean())
    return length, max(along, 1e-9), len(shift)


def _note(rest: HydrophoneArray) -> str:
    if rest.num_channels == 2:
        return "2 hydrophones left: the angle from their line alone"
    return {
        "line": "a line is left: the angle from it alone",
        "plane": "a plane is left: its two sides look alike",
    }.get(rest.shape, "")


def _sd_rad(covariance: Floats, u: Floats, rest: HydrophoneArray) -> float:
    """Standard deviation of what `rest` can measure: r.m.s. of both axes, or for a line of the angle from it."""
    if rest.shape != "line":
        return float(np.sqrt(np.trace(covariance) / 2))
    axis = rest.principal_axes()[1][0]
    towards = np.array([tangent @ axis for tangent in tangents(u)])
    towards /= max(float(np.linalg.norm(towards)), 1e-9)
    return float(np.sqrt(towards @ covariance @ towards))


def summary(rows: list[Without]) -> str:
    """One or two sentences: which hydrophone matters most for the fix, and which one does not agree with the others."""
    growth = {row.channel: row.sd_growth for row in rows if row.sd_growth is not None}
    if not growth:
        return "two hydrophones: without either there is no direction, so both carry all of it"
    most = max(growth.values())
    carriers = [str(channel) for channel, factor in growth.items() if factor > ALIKE * most]
    if len(carriers) == len(growth):
        words = f"all hydrophones carry the fix alike: without any of them the standard deviation is up to {most:.1f} times as large"
    else:
        several = len(carriers) > 1
        words = (
            f"hydrophone{'s' * several} {' and '.join(carriers)} carr{'y' if several else 'ies'} most of the fix: "
            f"without {'one of them' if several else 'it'} the standard deviation is {most:.1f} times as large"
        )
    if len(rows) == 3:
        words += " (2 are left each time: only the angle from their line is compared)"
    if not any(row.disagrees for row in rows):
        return f"{words}; no hydrophone stands out: leaving one out moves the bearing no more than noise would"
    odd = next((row for row in rows if row.stands_out), None)
    if odd is None:
        return (
            f"{words}; the hydrophones do not agree on one direction, but no single hydrophone stands out: "
            "check the places and clocks of all, or whether two sounds overlap"
        )
    return (
        f"{words}; hydrophone {odd.channel} stands out: without it the bearing moves {odd.shift_deg:.1f}°, where noise would "
        f"move it {odd.shift_sd_deg:.1f}°, and the others agree: check its place and clock"
    )


def write_rows(rows: list[Without], path: Path) -> None:
    """Write the table as CSV, with empty cells for unknown values.

    Raises:
        OutputError: the file cannot be written.
    """
    rounded = ({k: round(v, 5) if isinstance(v, float) else v for k, v in asdict(row).items()} for row in rows)
    write_table(path, tuple(Without.__dataclass_fields__), rounded)
