"""Which hydrophone carries a bearing: occlusion over channels. One is left out at a time, and the fix is made again."""

from __future__ import annotations

import csv
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch

from whalefinder.array.geometry import Floats, HydrophoneArray, great_circle_rad, tangents
from whalefinder.bearings.event_bearing import CONTEXT_CELLS, NOISE_CELLS, find_bearing
from whalefinder.bearings.steering import Fix
from whalefinder.calls.events import Event
from whalefinder.calls.masks import CALL, Masks, shares_of
from whalefinder.files import writing
from whalefinder.networks.segmentation import SegmentationNetwork
from whalefinder.sound import covariance
from whalefinder.sound.beam import mvdr_beam
from whalefinder.sound.spectrogram import CELL_FRAMES

SUSPICIOUS = 3.0
"""A fix that moves by more than this many of its standard deviations does not agree with the hydrophone left out."""


ALIKE = 0.9
"""Hydrophones whose absence costs this share of the dearest one's σ are named with it."""


@dataclass(frozen=True)
class Without:
    """The fix without one hydrophone.

    Args:
        channel: the hydrophone left out, as people count them, from 1.
        shift_deg: how far the fix moves; along the line alone where only a line is left.
        sd_deg: its standard deviation then (r.m.s. of both axes; of the angle from the line, where only a line is left).
        sd_growth: over the standard deviation with all of them, the same angle.
        log_likelihood_loss: how much less the others say for their best direction, against noise alone.
        note: what the others cannot tell; empty for nothing.
    """

    channel: int
    shift_deg: float | None = None
    sd_deg: float | None = None
    sd_growth: float | None = None
    log_likelihood_loss: float | None = None
    note: str = ""

    @property
    def disagrees(self) -> bool:
        """The fix with it is too far from the fix without: a wrong place or clock, or a fix that is no good at all."""
        return bool(self.shift_deg is not None and self.sd_deg and self.shift_deg > SUSPICIOUS * self.sd_deg)


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
    return look.fix, [_without(m, masks, event, array, look.fix) for m in range(array.num_channels)]


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


def _without(m: int, masks: Masks, event: Event, array: HydrophoneArray, fix: Fix) -> Without:
    channel = array.channels[m] + 1
    others = np.delete(np.arange(array.num_channels), m)
    if len(others) < 2:
        return Without(channel, note="1 hydrophone left: no direction")
    rest = array.of(others)
    look = find_bearing(replace(masks, spectra=masks.spectra[others], heard=None), event, rest, None)
    if look is None:
        return Without(channel, note="the others hear nothing")
    sd = _sd_rad(look.fix.covariance, look.fix.u, rest)
    return Without(
        channel,
        float(np.degrees(_shift_rad(fix.u, look.fix.u, rest))),
        float(np.degrees(sd)),
        sd / max(_sd_rad(fix.covariance, fix.u, rest), 1e-9),
        fix.log_likelihood - look.fix.log_likelihood,
        _note(rest),
    )


def _note(rest: HydrophoneArray) -> str:
    if rest.num_channels == 2:
        return "2 hydrophones left: the angle from their line alone"
    return {
        "line": "a line is left: the angle from it alone",
        "plane": "a plane is left: its two sides look alike",
    }.get(rest.shape, "")


def _shift_rad(u: Floats, other: Floats, rest: HydrophoneArray) -> float:
    """Angle between two fixes as far as `rest` can tell it: from its line, or to the nearer of two mirror images."""
    axes = rest.principal_axes()[1]
    if rest.shape == "line":
        return float(abs(np.arccos(np.clip(u @ axes[0], -1, 1)) - np.arccos(np.clip(other @ axes[0], -1, 1))))
    mirrored = other - 2 * (other @ axes[2]) * axes[2] if rest.shape == "plane" else other
    return float(min(great_circle_rad(u, other), great_circle_rad(u, mirrored)))


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
    odd = [row for row in rows if row.disagrees]
    if odd:
        # All fixes that it takes part in are bent, so the one that is missed least is the one that is wrong.
        worst = min(odd, key=lambda row: row.log_likelihood_loss or 0.0)
        words += (
            f"; without hydrophone {worst.channel} the fix moves {worst.shift_deg:.1f}°, more than {SUSPICIOUS:g} of its "
            "standard deviations, and least likelihood is lost: check its place and clock"
        )
    return words


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
