"""The demonstration: one minute of simulated sea, where a whale swims past four hydrophones while boats cross."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from whalefinder.array.geometry import HydrophoneArray, tetrahedron
from whalefinder.errors import OutputError
from whalefinder.files import untouched
from whalefinder.options import LocateOptions
from whalefinder.pages.plots import draw_array
from whalefinder.results.folder import ResultsFolder
from whalefinder.results.records import Detection
from whalefinder.run import run_locate
from whalefinder.sea.calls import random_call
from whalefinder.sea.propagation import Path as Course
from whalefinder.sea.scene import Call, Scene, TrueCall
from whalefinder.sea.writing import crossing_boat, write_simulation

SEED = 20_261_123
SECONDS = 60.0
CALLS = 10
WHALE_DB, BOATS_DB = 8.0, 14.0  # over the ambient noise; each boat, on average over the minute
FILE = "william_20261123_120000"


def scene() -> Scene:
    """A minute at sea: ten calls from 150 m, two boats louder than the whale."""
    rng = np.random.default_rng(SEED)
    array = HydrophoneArray(
        name="demo tetrahedron",
        positions_m=tetrahedron(0.5),
        sound_speed_m_s=1485.0,
        depth_m=1.5,
        position_error_m=0.0002,
    )
    swim = Course((-140.0, 60.0, -12.0), (4.0, 1.0, 0.0))
    boats = tuple(replace(crossing_boat(rng, SECONDS, 1.5), level_db=BOATS_DB) for _ in range(2))
    slot = SECONDS / CALLS
    calls = [
        Call(sound=sound, path=swim, begin_s=(k + rng.uniform(0.2, 0.5)) * slot, snr_db=WHALE_DB, kind=kind)
        for k, (kind, sound) in enumerate(random_call(rng, "pulsed" if n % 3 else "whistle") for n in range(CALLS))
    ]
    return Scene(array=array, seconds=SECONDS, calls=tuple(calls), boats=boats)


def run(out: Path) -> tuple[tuple[TrueCall, ...], list[Detection]]:
    """Simulate, locate, write the table and the pictures to `out`. → (truth, detections).

    What an earlier demonstration left in `out` is replaced.

    Raises:
        OutputError: `out` holds other results, or files with the names of those that are to be written.
    """
    picture, again = out / "array.png", _was_here(out)
    untouched([picture, out / "array.toml", out / "truth.csv"], overwrite=again)
    sea_scene = scene()
    sea = write_simulation(sea_scene, SEED, out, FILE, overwrite=again)
    summary = run_locate([out / f"{FILE}.wav"], out / "array.toml", out, LocateOptions(), overwrite=again)
    draw_array(sea_scene.array, picture)
    return sea.truth, summary.found


def _was_here(out: Path) -> bool:
    """Whether the folder holds the demonstration and nothing else that it would write over."""
    if not (out / f"{FILE}.wav").exists():
        return False
    others = ResultsFolder.of(out, append=True).paths.keys() - {f"{FILE}.wav"}
    if others:
        raise OutputError(f"{out}: holds results of {min(others)} too, which would be lost; choose another `out`")
    return True
