"""Which hydrophone carries a bearing: occlusion over channels. One is left out at a time, and the fix is made again."""

from __future__ import annotations

import csv
import math
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from scipy.stats import chi2

from whalefinder.array.geometry import Floats, HydrophoneArray, tangent_offset, tangents
from whalefinder.bearings.event_bearing import CONTEXT_CELLS, NOISE_CELLS, find_bearing
from whalefinder.bearings.steering import Fix
from whalefinder.calls.events import Event
from whalefinder.calls.masks import CALL, Masks, shares_of
from whalefinder.files import writing
from whalefinder.networks.segmentation import SegmentationNetwork
from whalefinder.sound import covariance
from whalefinder.sound.beam import mvdr_beam
from whalefinder.sound.spectrogram import CELL_FRAMES

FALSE_ALARMS = 0.01
"""How often an array whose hydrophones are all in order may be said to disagree with itself, by noise alone."""
LEAST_SCATTER = 0.1
"""The variance of a move is taken as at least this share of the variance without the hydrophone: the difference of two estimated
covariances may come out far too small."""
CLEAR = 3.0
"""The evidence must be this far beyond the scatter that is left without the hydrophone, before it is accused."""

ALIKE = 0.9
"""Hydrophones whose absence costs this share of the dearest one's σ are named with it."""


@dataclass(frozen=True, kw_only=True)
class Without:
    """The fix without one hydrophone.

    Args:
        channel: the hydrophone left out, as people count them, from 1.
        shift_deg: how far the fix moves; along the line alone where only a line is left.
        shift_sd_deg: how far noise alone would move it that way, one standard deviation.
        sd_deg: its standard deviation then (r.m.s. of both axes; of the angle from the line, where only a line is left).
        sd_growth: over the standard deviation with all of them, the same angle.
        log_likelihood_loss: how much less the others say for their best direction, against noise alone.
        doubt: that move over the largest that noise would let happen (`FALSE_ALARMS`).
        stands_out: it is this one. Without it the others agree with one another, and without any other they do not.
        note: what the others cannot tell; empty for nothing.
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
        """Noise does not explain the move: some hydrophone has a wrong place or clock, or two sounds overlap."""
        return self.doubt > 1.0


def leave_one_out(
    masks: Masks, event: Event, array: HydrophoneArray, network: SegmentationNetwork | None
) -> tuple[Fix, list[Without]] | None:
    """The fix of an event and what becomes of it without each hydrophone; None where its mask holds nothing.

    The mask is the one of the second look with all hydrophones, and stays: one thing is taken away at a time.

    Args:
        network: for the second look; None trusts the masks as they are.
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
    """The call share as a beam towards the first fix hears it, in the event's frames (see `bearings`)."""
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
    """An event as some of the hydrophones heard it."""

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
    """The one hydrophone without which the others agree with one another far better than without any other; or None.

    Of four, any three give a direction unless their delays are longer than the way between them: only a large fault stands out.
    """
    if len(heard.hydrophones) < 3:
        return None
    doubt = {m: _doubt(heard.without(m)) for m in heard.hydrophones}
    odd = min(doubt, key=lambda m: doubt[m])
    others = min(value for m, value in doubt.items() if m != odd)
    return odd if others > CLEAR * max(1.0, doubt[odd]) else None


def _doubt(heard: _Heard) -> float:
    """How far some hydrophones disagree with one another: their largest `Without.doubt`."""
    fix = heard.fix()
    return math.inf if fix is None else max(_without(heard, m, fix).doubt for m in heard.hydrophones)


def _move(fix: Fix, left: Fix, rest: HydrophoneArray) -> tuple[float, float, int]:
    """How far a fix moves when a hydrophone is left out, what noise would do.

    Of two estimates of which one uses all that the other does and more, the difference has the difference of their
    covariances (Hausman 1978, doi:10.2307/1913827). Only what `rest` can tell is compared: the angle from its line, or the
    nearer of two mirror images.

    Returns:
        the shift and its standard deviation that way, radians, and how many angles were compared.
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
    # Both are estimates, and their difference may come out too small, or below zero.
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
    """One standard deviation of what `rest` can tell: r.m.s. of both axes, or along the arc to its line."""
    if rest.shape != "line":
        return float(np.sqrt(np.trace(covariance) / 2))
    axis = rest.principal_axes()[1][0]
    towards = np.array([tangent @ axis for tangent in tangents(u)])
    towards /= max(float(np.linalg.norm(towards)), 1e-9)
    return float(np.sqrt(towards @ covariance @ towards))


def summary(rows: list[Without]) -> str:
    """One or two sentences: which hydrophone carries the fix, and which one does not agree."""
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
    """The table as CSV; an empty cell where nothing can be said.

    Raises:
        OutputError: the file cannot be written.
    """
    with writing(path), path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, [field.name for field in fields(Without)])
        table.writeheader()
        for row in rows:
            table.writerow({k: round(v, 5) if isinstance(v, float) else v for k, v in asdict(row).items()})
