"""How many animals call in one event, and which bins of it are whose.

Two calls rarely share a bin: each is loud in a few bins of a few frames. So each cell of an event belongs to the direction
that explains it best, and the event is split where a second direction explains a good part of its cells much better
than the first (a mixture of directions with hard assignment).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from whalefinder.array.geometry import Floats, HydrophoneArray, great_circle_rad
from whalefinder.bearings import steering
from whalefinder.bearings.event_bearing import CONTEXT_CELLS, Excerpt
from whalefinder.bearings.likelihood import Cells, likelihood_of_cells
from whalefinder.bearings.surface import likelihood_with_image
from whalefinder.bearings.wavefront import find_wavefront
from whalefinder.calls.events import Event, EventSettings, narrowed
from whalefinder.calls.masks import CALL, Masks
from whalefinder.sound import spectrogram
from whalefinder.sound.spectrogram import CELL_FRAMES

LEAST_HYDROPHONES = 3
MOST_CALLERS = 4
SEARCH_CELLS, LEAST_CELLS = 500, 60
APART_RAD = np.radians(12.0)  # callers nearer than this are not told apart
MOST_OF_CELL, EXPLAINED = 20.0, 0.7  # of log L: what a cell counts for at most, and the share that is explained well
LEAST_GAIN, LEAST_SHARE = 150.0, 0.06
"""Log L that the cells of each caller must lose without it, in all, and as a share of the most that they can."""
ROUNDS = 4


@torch.inference_mode()
def find_callers(cells: Cells, array: HydrophoneArray) -> NDArray[np.intp]:
    """Which caller each cell belongs to, `[cell]`: 0 for all of them if there is only one.

    Args:
        cells: from `gather_cells`, by a mask that knows of no direction.
        array: the geometry.
    """
    grid = steering.grid_of(array, float(cells.frequency_hz.max()))
    pairs = array.num_channels * (array.num_channels - 1) // 2
    most = int(steering.SCAN_BUDGET / (len(grid) * pairs))
    if most < LEAST_CELLS:
        return np.zeros(len(cells.frequency_hz), np.intp)  # a scan would take longer than all the rest
    few = cells.chosen(slice(None, None, max(1, len(cells.frequency_hz) // min(most, SEARCH_CELLS))))  # of all levels
    table = _table(few, array, grid)
    callers = grid[[int(table.sum(1).argmax())]]
    for _ in range(MOST_CALLERS - 1):
        near = great_circle_rad(grid[:, None], callers).min(1) < APART_RAD
        explained = _table(few, array, callers)
        gain = np.where(near, 0.0, _gain(table, explained.max(0)))
        if gain.max() >= _least(few) and array.depth_m:
            gain = np.where(near, 0.0, _gain(table, _with_images(few, array, explained).max(0)))
        if gain.max() < _least(few):
            break
        more = _settled(few, array, grid, table, np.concatenate([callers, grid[[int(gain.argmax())]]]))
        if len(more) <= len(callers):
            break
        callers = more
    table = _table(cells, array, callers)
    if len(callers) > 1 and find_wavefront(cells).log_likelihood > float(table.max(0).sum()):
        return np.zeros(len(cells.frequency_hz), np.intp)  # one sound, on an array that is not what its file says
    return np.asarray(table.argmax(0))


def _with_images(few: Cells, array: HydrophoneArray, explained: Floats) -> Floats:
    """Log L `[caller, cell]`, raised in cells that a caller explains better together with its image in the surface.

    Where the two rays cancel each other, what is left has delays that belong to quite another direction. A second caller
    has to explain more than that.
    """
    owner, raised = explained.argmax(0), explained.copy()
    for j in range(len(explained)):
        own = few.chosen(torch.from_numpy(np.flatnonzero(owner == j)))
        fix = steering.find_direction(own, array)
        if fix is not None and fix.rays is not None:
            raised[j] = np.maximum(raised[j], likelihood_with_image(few.double(), array, fix.rays[None])[0])
    return raised


def _gain(table: Floats, others: Floats) -> Floats:
    """Log L that cells lose without a direction, where the others explain them badly. `[direction, cell]` → `[direction]`.

    A loud call whose echo or whose array is not quite right loses much in a few cells, but its direction still explains
    most of each. So no cell counts more than `MOST_OF_CELL`.
    """
    lost = np.clip(table - others, 0.0, MOST_OF_CELL)
    return np.where(others < EXPLAINED * table, lost, 0.0).sum(1)


def _least(few: Cells) -> float:
    return max(LEAST_GAIN, LEAST_SHARE * MOST_OF_CELL * len(few.frequency_hz))


@torch.inference_mode()
def events_of_callers(
    masks: Masks, event: Event, array: HydrophoneArray, settings: EventSettings
) -> list[tuple[Masks, Event]]:
    """An event, split into one event for each animal that calls in it. Bins of the others are no call in its masks.

    Args:
        masks: masks and spectra of the array's hydrophones.
        event: the event.
        array: the geometry of these hydrophones.
        settings: how masks become events.

    Returns:
        Masks and event of each caller, in order of time; those given if there is only one.
    """
    if array.num_channels < LEAST_HYDROPHONES:
        return [(masks, event)]
    excerpt = Excerpt.of(masks, event, array)
    cells = excerpt.first_cells()
    if len(cells.frequency_hz) == 0 or cells.place is None:
        return [(masks, event)]
    owner = find_callers(cells, array)
    if owner.max() == 0:
        return [(masks, event)]
    owners = _spread(owner, cells.place.numpy(), excerpt)
    parts = []
    for j in range(int(owner.max()) + 1):
        owned = torch.ones(masks.shares.shape[1:], dtype=torch.bool)
        begin = _first(masks, event) + excerpt.begin
        owned[:, begin : begin + owners.shape[1]] = torch.from_numpy(owners == j)
        shares = masks.shares.clone()
        shares[CALL] *= owned
        own = replace(masks, shares=shares, owned=owned)
        part = narrowed(shares[CALL].numpy(), event, settings)
        if part is not None:
            parts.append((own, part))
    return sorted(parts, key=lambda each: each[1].begin) or [(masks, event)]


def _first(masks: Masks, event: Event) -> int:
    return max(0, event.begin // CELL_FRAMES - CONTEXT_CELLS) * CELL_FRAMES


def _spread(owner: NDArray[np.intp], place: NDArray[np.intp], excerpt: Excerpt) -> NDArray[np.intp]:
    """The caller of every bin of the event: that of its cell, or of the nearest one that has a caller. `[frequency, frame]`."""
    lead = excerpt.begin % CELL_FRAMES
    groups = -(-(lead + excerpt.end - excerpt.begin) // CELL_FRAMES)
    of_cell = np.full((spectrogram.NUM_BINS, groups), -1)
    of_cell[place[:, 0], place[:, 1]] = owner
    nearest = ndimage.distance_transform_edt(of_cell < 0, return_distances=False, return_indices=True)
    of_cell = of_cell[tuple(nearest)]
    return np.repeat(of_cell, CELL_FRAMES, axis=1)[:, lead : lead + excerpt.end - excerpt.begin]


def _settled(few: Cells, array: HydrophoneArray, grid: Floats, table: Floats, callers: Floats) -> Floats:
    """Directions and cells in turn, until both are settled; callers that explain too little are dropped."""
    for _ in range(ROUNDS):
        owner = _table(few, array, callers).argmax(0)
        callers = np.stack([grid[int(table[:, owner == j].sum(1).argmax())] for j in range(len(callers))])
    own = _table(few, array, callers)
    kept: list[int] = []
    for j in range(len(callers)):
        gain = float(_gain(own[[j]], np.delete(own, j, axis=0).max(0))[0])
        if gain >= _least(few) and all(great_circle_rad(callers[j], callers[i]) >= APART_RAD for i in kept):
            kept.append(j)
    return np.asarray(callers[kept])


def _table(cells: Cells, array: HydrophoneArray, directions: Floats) -> Floats:
    """Log L of every cell for every direction, `[direction, cell]`."""
    delays = torch.from_numpy(array.delays_s(directions)).to(cells.frequency_hz)
    return np.asarray(likelihood_of_cells(cells, delays).numpy())
