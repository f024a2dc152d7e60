"""`python -m bench.callers`: two, three and four animals that call at once, with real calls on exact moving paths.

Every animal has a call of its own of the split, at SNR 10 dB, from a direction of its own below the horizon. A trial is right if
every caller has a row within 0.5° (and within 10°) of its direction. Rows that are no caller's are counted as extra.
"""

from __future__ import annotations

import argparse
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import torch

from bench.results import put
from bench.scenes import make_array
from whalefinder.array.geometry import direction, great_circle_rad
from whalefinder.evaluation.metrics import wilson
from whalefinder.pipeline import Locator
from whalefinder.sea.propagation import Path as Course
from whalefinder.sea.scene import Call, Scene, simulate
from whalefinder.sound.recording import open_recording
from whalefinder.sound.spectrogram import RATE_HZ
from whalefinder.training.sources import catalogue_calls

SEED = 1_000_300_000
SECONDS = 9.0
SNR_DB = 10.0
NEAR_DEG, FAR_DEG = 0.5, 10.0
DOUBT = 0.01


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Animals, the angle between neighbours in degrees (None: drawn), and what they overlap.

    Args:
        name: name in the table.
        callers: how many.
        apart_deg: azimuth between neighbours, or None for any.
        overlap: share of the shorter call that overlaps; negative: seconds of silence between the calls.
    """

    name: str
    callers: int = 2
    apart_deg: float | None = None
    overlap: float = 1.0


CELLS = (
    Cell(name="one", callers=1),
    Cell(name="two, 0.5 s apart", overlap=-0.5),
    Cell(name="two, 0.05 s apart", overlap=-0.05),
    Cell(name="two, half overlapped", overlap=0.5),
    *(Cell(name=f"two, fully overlapped, {deg}° apart", apart_deg=deg) for deg in (20, 40, 90, 180)),
    Cell(name="three, half overlapped", callers=3, overlap=0.5),
    Cell(name="four, half overlapped", callers=4, overlap=0.5),
)


@dataclass(frozen=True)
class Trial:
    """Error of every caller in degrees (180 if it has no row), rows that are no caller's, and fits of rows that are wrong."""

    errors: tuple[float, ...]
    extra: int
    wrong_fits: tuple[float, ...]


def trial(cell: Cell, split: str, number: int) -> Trial:
    """Simulate one recording and compare its rows with the callers."""
    torch.set_num_threads(1)
    seed = SEED + 1000 * CELLS.index(cell) + number
    rng = np.random.default_rng([seed, 1 if split == "dev" else 2])
    clips, array = catalogue_calls(split), make_array("tetrahedron", 1.5)
    sounds = [clips[int(i)].read().astype(np.float64) for i in rng.choice(len(clips), cell.callers, replace=False)]
    azimuth, begin, calls = rng.uniform(0, 360), 1.5, []
    for k, sound in enumerate(sounds):
        azimuth = azimuth + (rng.uniform(20, 180) if cell.apart_deg is None else cell.apart_deg)
        calls.append(Call(sound=sound, path=_still(rng, azimuth), begin_s=begin, snr_db=SNR_DB))
        length = len(sound) / RATE_HZ
        following = len(sounds[k + 1]) / RATE_HZ if k + 1 < len(sounds) else length
        begin += length - cell.overlap if cell.overlap < 0 else length - cell.overlap * min(length, following)
    sea = simulate(Scene(array=array, seconds=max(SECONDS, begin + 3), calls=tuple(calls)), seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "calls.wav"
        soundfile.write(path, (sea.samples / np.abs(sea.samples).max() / 2).T, RATE_HZ, subtype="FLOAT")
        rows = [d for stretch in Locator(array).stream(open_recording(path, array)) for d in stretch.detections]
    given = [d for d in rows if d.azimuth_deg is not None and d.elevation_deg is not None]
    errors = np.array([[_error_deg(truth, row) for row in given] for truth in sea.truth]).reshape(len(sea.truth), -1)
    wrong = [row for k, row in enumerate(given) if errors[:, k].min() > FAR_DEG]
    return Trial(
        errors=tuple(float(error.min(initial=180.0)) for error in errors),
        extra=len(rows) - len(given) + max(0, len(given) - cell.callers),
        wrong_fits=tuple(row.bearing.fit for row in wrong if row.bearing is not None and row.bearing.fit is not None),
    )


def _still(rng: np.random.Generator, azimuth_deg: float) -> Course:
    distance, azimuth = rng.uniform(80, 400), np.radians(azimuth_deg)
    return Course(
        (distance * np.sin(azimuth), distance * np.cos(azimuth), -rng.uniform(2, 40)),
        (*rng.uniform(-1, 1, 2), 0.0),
    )


def _error_deg(truth, row) -> float:
    u, v = (direction(np.radians(x.azimuth_deg), np.radians(x.elevation_deg)) for x in (truth, row))
    return float(np.degrees(great_circle_rad(u, v)))


def table(results: dict[str, list[Trial]]) -> str:
    """The table in Markdown."""
    lines = [
        "| callers | all found within 0.5° (95 % interval) | within 10° | callers missed | extra rows a trial "
        "| rows beyond 10°: fit < 0.01 |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, trials in results.items():
        near, far = ([all(error <= limit for error in each.errors) for each in trials] for limit in (NEAR_DEG, FAR_DEG))
        missed = np.mean([error > FAR_DEG for each in trials for error in each.errors])
        fits = [fit for each in trials for fit in each.wrong_fits]
        flagged = f"{sum(fit < DOUBT for fit in fits)} of {len(fits)}" if fits else "none"
        interval = wilson(sum(near), len(near))
        lines.append(
            f"| {name} | {100 * interval.value:.0f} % ({100 * interval.low:.0f}–{100 * interval.high:.0f}) "
            f"| {100 * np.mean(far):.0f} % | {100 * missed:.0f} % | {np.mean([t.extra for t in trials]):.2f} | {flagged} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run all cells and replace the table in `bench/RESULTS.md`."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--split", choices=("dev", "test"), default="test")
    options.add_argument("--trials", type=int, default=60)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--print", action="store_true", help="do not touch RESULTS.md")
    chosen = options.parse_args()
    results = {}
    with ProcessPoolExecutor(chosen.workers) as pool:
        for cell in CELLS:
            results[cell.name] = list(pool.map(partial(trial, cell, chosen.split), range(chosen.trials)))
            print(table({cell.name: results[cell.name]}).splitlines()[-1], flush=True)
    command = f"`python -m bench.callers --split {chosen.split} --trials {chosen.trials}`"
    if not chosen.print:
        put(f"## Animals that call at once\n\n{command}\n\n{table(results)}")


if __name__ == "__main__":
    main()
