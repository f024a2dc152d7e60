"""William swims past a four-phone array while boats cross: the whole product in one minute of sound."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from whalefinder.audio import open_recording
from whalefinder.geometry import HydrophoneArray, direction, great_circle_rad, tetrahedron
from whalefinder.locate import Detection, Locator
from whalefinder.plots import Picture, draw_array
from whalefinder.sea import Call, Scene, TrueCall
from whalefinder.sea.calls import random_call
from whalefinder.sea.propagation import Path as Course
from whalefinder.simulated import crossing_boat, write_simulation
from whalefinder.tables import CsvWriter, safe_stem

SEED = 20_261_123
SECONDS = 60.0
CALLS = 10
WHALE_DB, BOATS_DB = 8.0, 14.0  # over the ambient noise; each boat, on average over the minute
FILE = "william_20261123_120000"


def scene() -> Scene:
    """A minute at sea: ten calls from 150 m, two boats louder than the whale."""
    rng = np.random.default_rng(SEED)
    array = HydrophoneArray("demo tetrahedron", tetrahedron(0.5), 1485.0, depth_m=1.5, position_error_m=0.0002)
    swim = Course((-140.0, 60.0, -12.0), (4.0, 1.0, 0.0))
    boats = tuple(replace(crossing_boat(rng, SECONDS, 1.5), level_db=BOATS_DB) for _ in range(2))
    slot = SECONDS / CALLS
    calls = [
        Call(sound, swim, (k + rng.uniform(0.2, 0.5)) * slot, WHALE_DB, kind)
        for k, (kind, sound) in enumerate(random_call(rng, "pulsed" if n % 3 else "whistle") for n in range(CALLS))
    ]
    return Scene(array, SECONDS, tuple(calls), boats)


def run(out: Path) -> tuple[tuple[TrueCall, ...], list[Detection]]:
    """Simulate, locate, write the table and the pictures to `out`. → (truth, detections)."""
    sea_scene = scene()
    sea = write_simulation(sea_scene, SEED, out, FILE)
    recording = open_recording(out / f"{FILE}.wav", sea_scene.array)
    picture, found = Picture(recording.duration_s), []
    for stretch in Locator(sea_scene.array).stream(recording):
        picture.add(stretch)
        found += stretch.detections
    table = CsvWriter(out / "detections.csv")
    table.write(found)
    table.close()
    picture.save(out / f"{safe_stem(FILE)}.png", FILE, found, with_bearing=True)
    draw_array(sea_scene.array, out / "array.png")
    return sea.truth, found


def match(truth: TrueCall, detections: list[Detection]) -> Detection | None:
    """The detection that shares most time with a true call, or None."""

    def shared(d: Detection) -> float:
        return min(d.end_s, truth.end_s) - max(d.begin_s, truth.begin_s)

    best = max(detections, key=shared, default=None)
    return best if best is not None and shared(best) > 0 else None


def error_deg(truth: TrueCall, detection: Detection) -> float:
    """Great-circle error of a detection's bearing, degrees."""
    assert detection.azimuth_deg is not None and detection.elevation_deg is not None
    true_u = direction(math.radians(truth.azimuth_deg), math.radians(truth.elevation_deg))
    found_u = direction(math.radians(detection.azimuth_deg), math.radians(detection.elevation_deg))
    return float(np.degrees(great_circle_rad(true_u, found_u)))
