"""Animals that call at once: each gets a row of its own, and one animal gets one."""

from __future__ import annotations

import math

import numpy as np
import pytest
import soundfile
import torch

from tests.plane_waves import RATE, by_the_surface, cells_of, made
from whalefinder.array.geometry import direction, great_circle_rad, tetrahedron
from whalefinder.bearings import steering
from whalefinder.bearings.callers import find_callers
from whalefinder.calls.events import EventSettings, find_events, narrowed
from whalefinder.pipeline import locate
from whalefinder.sound.spectrogram import FRAME_S

NOISE = 0.02


def pulsed(seconds: np.ndarray, pitch_hz: float, turn: float) -> np.ndarray:
    """A pulsed call in closed form: ten harmonics of a pitch that bends, 0.9 s long."""
    x = np.clip(seconds / 0.9, 0, 1)
    phase = 2 * np.pi * pitch_hz * (seconds + turn * np.sin(2 * np.pi * 0.8 * seconds) / 6)
    voices = sum(np.cos(k * phase + k * k) / k**0.5 for k in range(1, 11))
    return np.sin(np.pi * x) ** 0.5 * voices * ((seconds > 0) & (seconds < 0.9))


CALLERS = (
    (direction(math.radians(60.0), math.radians(-10.0)), 720.0, 0.9),
    (direction(math.radians(150.0), math.radians(-20.0)), 1010.0, -0.7),
    (direction(math.radians(265.0), math.radians(-5.0)), 560.0, 0.5),
)


def sea(array, begins_s: tuple[float, ...], seconds: float = 5.0) -> tuple[np.ndarray, np.ndarray]:
    """Callers that begin at these times, one after the other of `CALLERS`. → sound and calls alone `[channel, time]`."""
    t = np.arange(int(seconds * RATE)) / RATE
    calls = sum(
        np.stack([pulsed(t - begin - d, pitch, turn) for d in array.delays_s(u)])
        for begin, (u, pitch, turn) in zip(begins_s, CALLERS, strict=False)
    )
    return calls + np.random.default_rng(0).normal(0, NOISE, calls.shape), calls


@pytest.mark.parametrize("callers", [1, 2, 3])
def test_cells_are_given_to_their_callers(callers):
    """All call at once, so that time alone cannot tell them apart."""
    array = made(tetrahedron(0.5))
    cells = cells_of(*sea(array, (1.5,) * callers))
    owner = find_callers(cells, array)
    assert owner.max() + 1 == callers
    found = []
    for j in range(callers):
        fix = steering.find_direction(cells.chosen(torch.from_numpy(np.flatnonzero(owner == j))), array)
        assert fix is not None
        found.append(fix.u)
    for u, *_ in CALLERS[:callers]:
        assert min(math.degrees(great_circle_rad(u, other)) for other in found) < 1.0


@pytest.mark.parametrize("voice", [0, 1])
def test_the_image_in_the_surface_is_no_second_caller(voice):
    """60 m away, 16 m deep: two plane waves explain these cells far better than one does."""
    array = made(tetrahedron(0.5), depth_m=4.0)
    u, pitch, turn = CALLERS[voice]
    calls = by_the_surface(lambda s: pulsed(s, pitch, turn), array, np.array([*60 * u[:2], -12.0]))
    cells = cells_of(calls + np.random.default_rng(0).normal(0, NOISE, calls.shape), calls)
    assert find_callers(cells, array).max() == 0
    assert find_callers(cells, made(tetrahedron(0.5))).max() == 1  # where the depth is not known


def test_noise_is_no_second_caller():
    array = made(tetrahedron(0.5))
    sound, calls = sea(array, (1.5,))
    loud = sound + np.random.default_rng(1).normal(0, 30 * NOISE, sound.shape)
    assert find_callers(cells_of(loud, calls), array).max() == 0


@pytest.mark.parametrize("begins_s", [(1.5, 1.5), (1.5, 1.9), (1.5, 2.45), (1.5, 2.7), (1.5, 1.8, 2.2)])
def test_one_row_a_caller(begins_s, tmp_path):
    """Fully and half overlapped, 0.05 and 0.3 s apart, and three."""
    array = made(tetrahedron(0.5))
    path = tmp_path / "callers.wav"
    soundfile.write(path, 0.05 * sea(array, begins_s)[0].T, RATE, subtype="FLOAT")
    rows = locate(path, array, all_events=True)
    found = [
        (direction(math.radians(row.azimuth_deg), math.radians(row.elevation_deg)), row)
        for row in rows
        if row.azimuth_deg is not None and row.elevation_deg is not None
    ]
    assert len(found) == len(begins_s)
    for begin, (u, *_) in zip(begins_s, CALLERS, strict=False):
        apart, row = min(((math.degrees(great_circle_rad(u, v)), row) for v, row in found), key=lambda each: each[0])
        assert apart < 0.5 and row.begin_s == pytest.approx(begin, abs=0.2)


def test_narrowed_is_the_event_where_call_is_left():
    share = np.zeros((257, 300), np.float32)
    share[40:60, 50:200] = 0.9
    (event,) = find_events(share, EventSettings())
    rest = share.copy()
    rest[:, 100:] = 0.0
    part = narrowed(rest, event, EventSettings())
    assert part is not None and part.begin == event.begin and part.end == pytest.approx(100, abs=3)
    assert (part.end - part.begin) * FRAME_S < (event.end - event.begin) * FRAME_S
    assert narrowed(np.zeros_like(share), event, EventSettings()) is None


@pytest.mark.parametrize("fault", [[1, 1, -1, 1], "late", "at once"])
def test_a_fault_is_no_second_caller(fault):
    """One sound that no direction explains is still one sound."""
    array = made(tetrahedron(0.5))
    sound, calls = sea(array, (1.5,))
    if fault == "late":
        sound, calls = (np.concatenate([x[:3], np.roll(x[3:], 9, axis=1)]) for x in (sound, calls))
    elif fault == "at once":
        own = sound - calls
        calls = np.tile(calls[:1], (4, 1))
        sound = calls + own
    else:
        sound, calls = (x * np.array(fault)[:, None] for x in (sound, calls))
    assert find_callers(cells_of(sound, calls), array).max() == 0
