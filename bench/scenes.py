"""The cells of the benchmark: real calls and real ships on exact moving paths.

Seeds here start at 10^9. Training uses small seeds, so the two are never the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from whalefinder.array.geometry import HydrophoneArray, tetrahedron
from whalefinder.sea.propagation import Path
from whalefinder.sea.scene import Boat, Call, Faults, Scene, SimulatedRecording, simulate
from whalefinder.sea.signals import Floats, log_uniform
from whalefinder.training.clips import Clip, find_clips
from whalefinder.training.sources import catalogue_calls

SEED = 1_000_000_000
SECONDS = 9.0
SOUND_SPEED_M_S = 1490.0
BOAT_DEPTH_M = 1.0


@dataclass(frozen=True)
class Cell:
    """One row of the table: SNR and SIR in dB, boats, array and its depth, surface image, faults."""

    name: str
    snr_db: float
    boats: int = 0
    moving: bool = True
    sir_db: float | None = None
    array: str = "tetrahedron"
    depth_m: float = 1.5
    surface_coefficient: float = 0.0
    faults: Faults = field(default_factory=Faults)


CELLS = (
    Cell("no boat, SNR +10", 10.0),
    Cell("no boat, SNR 0", 0.0),
    Cell("no boat, SNR -10", -10.0),
    Cell("1 still boat, SIR -10, SNR 5", 5.0, 1, False, -10.0),
    Cell("3 moving boats, SIR -10, SNR 5", 5.0, 3, True, -10.0),
    Cell("3 moving boats, SIR -10, SNR 5, 6 phones", 5.0, 3, True, -10.0, "six"),
    Cell("3 moving boats, SIR -20, SNR 5", 5.0, 3, True, -20.0),
    Cell("surface image, SNR 10", 10.0, depth_m=4.0, surface_coefficient=-0.8),
    Cell("surface image, 1 moving boat, SIR -10, SNR 5", 5.0, 1, True, -10.0, depth_m=4.0, surface_coefficient=-0.8),
)
CELLS_INDEX = {cell.name: index for index, cell in enumerate(CELLS)}


def make_array(name: str, depth_m: float) -> HydrophoneArray:
    """The reference tetrahedron (0.5 m edge), or an array that was not used in training."""
    if name == "tetrahedron":
        positions = tetrahedron(0.5)
    elif name == "six":
        positions = np.random.default_rng(SEED).uniform(-0.6, 0.6, (6, 3))
    elif name == "line":
        positions = np.stack([np.zeros(4), np.linspace(-0.75, 0.75, 4), np.zeros(4)], axis=1)
    elif name == "square":
        positions = np.array([[1, 1, 0], [1, -1, 0], [-1, -1, 0], [-1, 1, 0]]) * 0.5
    else:
        raise ValueError(name)
    return HydrophoneArray(name=name, positions_m=positions, sound_speed_m_s=SOUND_SPEED_M_S, depth_m=depth_m)


@lru_cache(maxsize=64)
def _read(clip: Clip) -> Floats:
    return clip.read().astype(np.float64)


def draw_scene(cell: Cell, split: str, trial: int) -> tuple[Scene, str, int]:
    """Scene number `trial` of a cell, the name of the clip of its call, and its seed."""
    seed = SEED + 1000 * CELLS_INDEX.get(cell.name, 99) + trial
    rng = np.random.default_rng([seed, 1 if split == "dev" else 2])
    calls, ships = catalogue_calls(split), find_clips("boats", split)
    array = make_array(cell.array, cell.depth_m)
    clip = calls[trial % len(calls)]
    sound = _read(clip)
    begin = rng.uniform(1.0, SECONDS - 1.0 - len(sound) / 48_000)
    call = Call(sound=sound, path=_whale(rng, cell.depth_m), begin_s=begin, snr_db=cell.snr_db)
    boats = []
    for index in rng.choice(len(ships), cell.boats, replace=False):
        path = _boat(rng, cell.depth_m, cell.moving, begin)
        boats.append(Boat(_read(ships[int(index)]), path, rng.uniform(-3, 3)))
    scene = Scene(
        array=array,
        seconds=SECONDS,
        calls=(call,),
        boats=tuple(boats),
        sir_db=cell.sir_db if boats else None,
        surface_coefficient=cell.surface_coefficient,
        faults=cell.faults,
    )
    return scene, clip.path.stem, seed


def recording_of(cell: Cell, split: str, trial: int) -> tuple[Scene, str, SimulatedRecording]:
    """Scene, name of the clip, and recording of number `trial` of a cell."""
    scene, name, seed = draw_scene(cell, split, trial)
    return scene, name, simulate(scene, seed)


def _whale(rng: np.random.Generator, depth_m: float) -> Path:
    distance, azimuth = log_uniform(rng, 80, 500), rng.uniform(0, 2 * np.pi)
    swim = rng.uniform(0, 2 * np.pi)
    return Path(
        (distance * np.sin(azimuth), distance * np.cos(azimuth), depth_m - rng.uniform(2, 40)),
        (1.5 * np.sin(swim), 1.5 * np.cos(swim), 0.0),
    )


def _boat(rng: np.random.Generator, depth_m: float, moving: bool, call_s: float) -> Path:
    nearest, azimuth = rng.uniform(30, 150), rng.uniform(0, 2 * np.pi)
    speed = rng.uniform(4, 12) * rng.choice([-1, 1]) if moving else 0.0
    velocity = np.array([np.cos(azimuth), -np.sin(azimuth), 0.0]) * speed
    closest = np.array([nearest * np.sin(azimuth), nearest * np.cos(azimuth), depth_m - BOAT_DEPTH_M])
    start = closest - velocity * (call_s + rng.uniform(-4, 4))
    return Path(tuple(start), tuple(velocity))
