"""Events that are parts of one call: the beam hears what the mask of all hydrophones has missed between them.

A boat can cover the middle of a call, and then the mask finds its begin and its end. If both come from one direction, a
beam towards it holds the same call with less boat. The network hears that beam, and where the call goes on in it without
a pause, the two are one call.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from whalefinder.array.geometry import Floats, HydrophoneArray
from whalefinder.bearings import steering
from whalefinder.bearings.event_bearing import MARGIN_FRAMES, Excerpt
from whalefinder.calls.events import Event, EventSettings, activity, narrowed
from whalefinder.calls.masks import CALL, Masks, shares_of
from whalefinder.networks.segmentation import SegmentationNetwork
from whalefinder.sound.beam import mvdr_beam
from whalefinder.sound.spectrogram import FRAME_S

GAP_S = 0.7  # parts of a call that are further apart are not looked for
PAUSE_S = 0.15  # a longer pause in the beam parts two calls
LONGEST_S = 6.0  # of a call that is joined from parts
SAME_RAD = math.radians(8.0)  # delays that differ by more than this turn across the array are not of one caller

Part = tuple[Masks, Event]
"""An event and masks in which the bins of other callers are no call (`callers.events_of_callers`)."""


def may_go_on(first: Event, second: Event) -> bool:
    """Whether the second event follows the first closely enough to be a part of the same call."""
    return (second.begin - first.end) * FRAME_S < GAP_S and (second.end - first.begin) * FRAME_S < LONGEST_S


@torch.inference_mode()
def joined(
    parts: list[Part], more: list[Part], array: HydrophoneArray, network: SegmentationNetwork, settings: EventSettings
) -> list[Part] | None:
    """Two lists of events as one, where those that are parts of one call are joined; None if there are no such.

    Args:
        parts: events of the callers of some time.
        more: events of the callers of the time after it.
        array: the geometry.
        network: the segmentation network, which hears the beam.
        settings: how masks become events.
    """
    found, rest = list(parts), []
    for late in more:
        for index, early in enumerate(found):
            whole = _whole(early, late, array, network, settings) if may_go_on(early[1], late[1]) else None
            if whole is not None:
                found[index] = whole
                break
        else:
            rest.append(late)
    return found + rest if len(rest) < len(more) else None


def _whole(
    early: Part, late: Part, array: HydrophoneArray, network: SegmentationNetwork, settings: EventSettings
) -> Part | None:
    """The event whose parts these two are, or None."""
    directions = [_direction(masks, event, array) for masks, event in (early, late)]
    if directions[0] is None or directions[1] is None:
        return None
    turn = array.delays_s(directions[0]) - array.delays_s(directions[1])
    if np.abs(turn - turn.mean()).max() * array.sound_speed_m_s > SAME_RAD * array.aperture_m / 2:
        return None
    masks, span = _together(early[0], late[0]), replace(early[1], end=late[1].end)
    if not any(_is_one(masks, early[1], late[1], array, u, network, settings) for u in directions if u is not None):
        return None
    event = narrowed(masks.shares[CALL].numpy(), span, settings)
    return None if event is None else (masks, event)


def _direction(masks: Masks, event: Event, array: HydrophoneArray) -> Floats | None:
    fix = steering.find_direction(Excerpt.of(masks, event, array).first_cells(), array, rough=True)
    return None if fix is None else fix.u


def _together(early: Masks, late: Masks) -> Masks:
    """The masks of two parts in one: bins that are another caller's in either of them are no call."""
    if early.owned is None and late.owned is None:
        return early
    shares = early.shares.clone()
    shares[CALL] = torch.minimum(early.shares[CALL], late.shares[CALL])
    owned = [masks.owned for masks in (early, late) if masks.owned is not None]
    return replace(early, shares=shares, owned=owned[0] if len(owned) == 1 else owned[0] & owned[1])


def _is_one(
    masks: Masks,
    early: Event,
    late: Event,
    array: HydrophoneArray,
    u: Floats,
    network: SegmentationNetwork,
    settings: EventSettings,
) -> bool:
    """Whether the call goes on in a beam towards `u` from the middle of the first part to that of the second."""
    excerpt = Excerpt.of(masks, replace(early, end=late.end), array)
    beam = mvdr_beam(excerpt.spectra, excerpt.noise, array, u)
    share = shares_of(network, beam[None], masks.valid, slice(excerpt.begin, excerpt.end))[CALL]
    if excerpt.owned is not None:
        share = share * excerpt.owned[:, excerpt.begin : excerpt.end]
    outside = max(0, early.begin - MARGIN_FRAMES)  # frames before the excerpt's event
    first, last = ((event.begin + event.end) // 2 - outside for event in (early, late))
    return longest_pause_s(activity(share.numpy(), settings)[first:last] >= settings.keep) < PAUSE_S


def longest_pause_s(active: NDArray[np.bool_]) -> float:
    """Seconds of the longest run of frames without call, `[frame]` bool."""
    runs = np.diff(np.flatnonzero(np.concatenate([[True], active, [True]])))
    return float(runs.max() - 1) * FRAME_S
