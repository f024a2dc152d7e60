"""Lessons of the refiner: calls from known directions on random arrays, with what steering makes of them.

Nothing is drawn by hand here that steering will not meet: a simulated sea, sound of calls and boats, the shipped masks
with their mistakes, the fixes of `bearings`. So the refiner learns the errors that remain, and how large they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from whalefinder.array.geometry import Floats, HydrophoneArray, direction, tetrahedron
from whalefinder.bearings.event_bearing import find_bearing
from whalefinder.bearings.fit import Fit
from whalefinder.bearings.likelihood import Cells
from whalefinder.bearings.steering import Fix
from whalefinder.calls.events import Event, EventSettings, find_events
from whalefinder.calls.masks import CALL, Masks, masks_of
from whalefinder.networks.segmentation import SegmentationNetwork
from whalefinder.sea.boats import random_boat
from whalefinder.sea.calls import random_call
from whalefinder.sea.propagation import Path
from whalefinder.sea.scene import Boat, Call, Faults, Scene, TrueCall, simulate
from whalefinder.sea.signals import log_uniform
from whalefinder.sound import spectrogram
from whalefinder.sound.spectrogram import FRAME_S, RATE_HZ
from whalefinder.training.clips import Clip, find_clips
from whalefinder.training.mixtures import random_positions
from whalefinder.training.sources import catalogue_calls

SECONDS, CALLS = 9.0, 3  # of one scene
SNR_DB, SIR_DB = (-12.0, 18.0), (-24.0, 3.0)
LEAST_OVERLAP = 0.5  # of the call and the event that is taken for it
LEAST_WIDTH = 0.1  # spread along the second axis of an array as a share of its extent
HOPELESS = -1e9  # every event gets its second fix


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What the refiner is given about one call, and the true direction `[3]` of the call."""

    cells: Cells
    array: HydrophoneArray
    fix: Fix
    fit: Fit
    truth: Floats


@dataclass(frozen=True)
class Sounds:
    """Sounds of calls and boats `[time]` at `RATE_HZ` from which scenes are drawn."""

    calls: list[Floats]
    boats: list[Floats]


def build_sounds(seed: int, split: str, simulated: int = 150) -> Sounds:
    """Calls of the catalogue in a split and as many simulated ones; simulated boats, for dev also its ships."""
    rng = np.random.default_rng([seed, 31])
    calls = [_read(clip) for clip in catalogue_calls(split)]
    calls += [random_call(rng)[1] for _ in range(max(simulated - len(calls), simulated // 2))]
    boats = [random_boat(rng, SECONDS) for _ in range(simulated // 3)]
    if split != "train":
        boats = [_read(clip) for clip in find_clips("boats", split)] or boats
    return Sounds(calls, boats)


def _read(clip: Clip) -> Floats:
    return clip.read().astype(np.float64)


def lessons(sounds: Sounds, network: SegmentationNetwork, seed: int, scenes: range) -> Iterator[Lesson]:
    """The lessons of some scenes. Those of one scene depend on the seed and on its number alone."""
    for number in scenes:
        rng = np.random.default_rng([seed, 32, number])
        scene = draw_scene(rng, sounds)
        sea = simulate(scene, int(rng.integers(2**31)))
        valid = torch.ones(spectrogram.NUM_BINS, dtype=torch.bool)
        masks = masks_of(network, torch.from_numpy(sea.samples).float(), valid)
        events = find_events(masks.shares[CALL].numpy(), EventSettings())
        for true in sea.truth:
            event = max(events, key=partial(_overlap, true), default=None)
            if event is not None and _overlap(true, event) >= LEAST_OVERLAP:
                yield from _lesson(scene.array, masks, event, true, network)


class _Listener:
    """Stands where the refiner will stand, and keeps what it would be given."""

    def __init__(self) -> None:
        self.given: tuple[Cells, HydrophoneArray, Fix, Fit] | None = None

    def __call__(self, cells: Cells, array: HydrophoneArray, fix: Fix, fit: Fit) -> None:
        self.given = (cells, array, fix, fit)


def _lesson(
    array: HydrophoneArray, masks: Masks, event: Event, true: TrueCall, network: SegmentationNetwork
) -> Iterator[Lesson]:
    listener = _Listener()
    find_bearing(masks, event, array, network, hopeless=HOPELESS, refiner=listener)
    if listener.given is not None:
        u = direction(np.radians(true.azimuth_deg), np.radians(true.elevation_deg))
        cells, array, fix, fit = listener.given
        yield Lesson(cells=cells, array=array, fix=fix, fit=fit, truth=u)


def _overlap(true: TrueCall, event: Event) -> float:
    """Length of the overlap of an event and a call as a share of the shorter one."""
    begin, end = event.begin * FRAME_S, event.end * FRAME_S
    both = min(end, true.end_s) - max(begin, true.begin_s)
    return both / min(end - begin, true.end_s - true.begin_s)


# Scenes ---------------------------------------------------------------------------------------------------------------


def draw_scene(rng: np.random.Generator, sounds: Sounds) -> Scene:
    """Calls of two animals one after the other, none to three boats, a random array, often a surface image."""
    depth = log_uniform(rng, 1.0, 25.0)
    array, faults = _draw_array(rng, depth)
    boats = int(rng.choice(4, p=[0.25, 0.3, 0.15, 0.3]))
    span = SECONDS / CALLS
    calls = []
    for k in range(CALLS):
        sound = sounds.calls[int(rng.integers(len(sounds.calls)))][: int(1.8 * RATE_HZ)]
        begin = k * span + rng.uniform(0.8, max(0.9, span - 0.2 - len(sound) / RATE_HZ))
        snr = rng.uniform(*SNR_DB) if boats == 0 else rng.uniform(0.0, 12.0)
        calls.append(Call(sound=sound, path=_whale(rng, depth), begin_s=begin, snr_db=snr))
    return Scene(
        array=array,
        seconds=SECONDS,
        calls=tuple(calls),
        boats=tuple(_boat(rng, sounds, depth) for _ in range(boats)),
        sir_db=rng.uniform(*SIR_DB) if boats else None,
        surface_coefficient=-rng.uniform(0.4, 1.0) if rng.random() < 0.6 else 0.0,
        roughness_m=float(rng.choice([0.0, log_uniform(rng, 0.02, 0.4)])),
        diffuse=bool(rng.random() < 0.3),
        faults=faults,
    )


def _draw_array(rng: np.random.Generator, depth_m: float) -> tuple[HydrophoneArray, Faults]:
    """A random compact array of three to eight hydrophones, with the errors that its file states."""
    channels = int(rng.choice([3, 4, 5, 6, 8], p=[0.08, 0.5, 0.14, 0.18, 0.1]))
    kind = rng.random()
    if channels == 4 and kind < 0.35:
        positions = tetrahedron(log_uniform(rng, 0.25, 1.2))
    elif channels == 4 and kind < 0.5:
        side = log_uniform(rng, 0.3, 1.5)
        positions = side / 2 * np.array([[1, 1, 0], [1, -1, 0], [-1, -1, 0], [-1, 1, 0]])
    else:
        positions = positions_off_a_line(rng, channels)
    faults = Faults()
    if rng.random() < 0.4:
        faults = Faults(
            position_m=log_uniform(rng, 3e-4, 6e-3),
            timing_s=log_uniform(rng, 2e-7, 6e-6),
            sound_speed_m_s=log_uniform(rng, 1.0, 20.0),
        )
    array = HydrophoneArray(
        name="random",
        positions_m=positions,
        sound_speed_m_s=rng.uniform(1450, 1530),
        depth_m=None if rng.random() < 0.15 else depth_m,
        position_error_m=faults.position_m,
        timing_error_s=faults.timing_s,
        sound_speed_error_m_s=faults.sound_speed_m_s,
    )
    return array, faults


def positions_off_a_line(rng: np.random.Generator, channels: int) -> Floats:
    """`mixtures.random_positions` that are not nearly a line, which has no elevation. → `[channel, 3]` m."""
    while True:
        positions = random_positions(rng, channels)
        if np.linalg.svd(positions - positions.mean(0))[1][1] >= LEAST_WIDTH * np.ptp(positions):
            return positions


def _whale(rng: np.random.Generator, depth_m: float) -> Path:
    distance, azimuth, swim = log_uniform(rng, 40, 1500), rng.uniform(0, 2 * np.pi), rng.uniform(0, 2 * np.pi)
    below = depth_m - log_uniform(rng, 1.5, 100.0 if rng.random() < 0.2 else 45.0)
    return Path(
        (distance * np.sin(azimuth), distance * np.cos(azimuth), below), (2 * np.sin(swim), 2 * np.cos(swim), 0.0)
    )


def _boat(rng: np.random.Generator, sounds: Sounds, depth_m: float) -> Boat:
    nearest, azimuth = log_uniform(rng, 25, 300), rng.uniform(0, 2 * np.pi)
    speed = rng.uniform(2, 12) * rng.choice([-1, 0, 1], p=[0.4, 0.2, 0.4])
    velocity = np.array([np.cos(azimuth), -np.sin(azimuth), 0.0]) * speed
    start = np.array([nearest * np.sin(azimuth), nearest * np.cos(azimuth), depth_m - rng.uniform(0.5, 3.0)])
    sound = sounds.boats[int(rng.integers(len(sounds.boats)))]
    return Boat(sound, Path(tuple(start - velocity * rng.uniform(0, SECONDS)), tuple(velocity)), rng.uniform(-3, 3))
