"""`python -m bench.fit`: whether `fit` is uniform on arrays in order, and warns of bearings that a fault made wrong.

The recordings are those of the accuracy cells (`bench.scenes`), with real calls and real ships. Every fault is put into the same
recordings. A bearing is *wrong* if it is more than 10° off; it is *warned of* if `fit` is below 0.01, if its stated error covers
the true direction (within 3 standard deviations), or if no bearing was given.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import torch
from scipy import signal, stats

from bench.results import put
from bench.scenes import CELLS, Cell, recording_of
from whalefinder.array.geometry import HydrophoneArray, direction, great_circle_rad
from whalefinder.evaluation.metrics import match
from whalefinder.pipeline import locate
from whalefinder.sound.spectrogram import RATE_HZ

FAR_DEG, DOUBT, COVERED = 10.0, 0.01, 3.0
AT_FAULT = 2
Samples = np.ndarray


def _late(samples: float) -> Callable[[Samples], Samples]:
    def spoil(x: Samples) -> Samples:
        f = np.fft.rfftfreq(x.shape[1])
        y = x.copy()
        y[AT_FAULT] = np.fft.irfft(np.fft.rfft(x[AT_FAULT]) * np.exp(-2j * np.pi * f * samples), x.shape[1])
        return y

    return spoil


def _drifting(x: Samples) -> Samples:
    """20 ppm, after a minute: 1.2 ms late, and 20 µs more every second."""
    fine = signal.resample_poly(x[AT_FAULT], 8, 1)
    t = np.arange(x.shape[1]) * (1 - 20e-6) - 1.2e-3 * RATE_HZ
    y = x.copy()
    y[AT_FAULT] = np.interp(t, np.arange(len(fine)) / 8, fine)
    return y


def _changed(change: Callable[[Samples, Samples], Samples]) -> Callable[[Samples], Samples]:
    def spoil(x: Samples) -> Samples:
        y = x.copy()
        y[AT_FAULT] = change(x[AT_FAULT], x[0])
        return y

    return spoil


FAULTS: dict[str, Callable[[Samples], Samples]] = {
    "in order": lambda x: x,
    "inverted": _changed(lambda own, other: -own),
    "1 sample late": _late(1.0),
    "5 samples late": _late(5.0),
    "37 samples late": _late(37.0),
    "clock 20 ppm fast": _drifting,
    "copy of channel 1": _changed(lambda own, other: other),
    "hisses": _changed(lambda own, other: np.random.default_rng(0).normal(0, own.std(), len(own))),
    "20 dB low": _changed(lambda own, other: own / 10),
}


@dataclass(frozen=True)
class Trial:
    """Whether the call was found; its fit; the error of its bearing, None if none was given; that error over its stated one."""

    found: bool
    fit: float | None = None
    error_deg: float | None = None
    deviations: float | None = None


def trial(cell: Cell, split: str, number: int) -> dict[str, Trial]:
    """One recording with every fault. → trial by fault."""
    torch.set_num_threads(1)
    scene, _, sea = recording_of(cell, split, number)
    x = sea.samples / np.abs(sea.samples).max() / 2
    return {name: _heard(spoil(x), scene.array, sea.truth[0]) for name, spoil in FAULTS.items()}


def _heard(x: Samples, array: HydrophoneArray, truth) -> Trial:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scene.wav"
        soundfile.write(path, x.T, RATE_HZ, subtype="FLOAT")
        calls = locate(path, array)
    hit = match(truth, calls)
    if hit is None or hit.bearing is None:
        return Trial(hit is not None)
    bearing = hit.bearing
    if bearing.azimuth_deg is None or bearing.elevation_deg is None:
        return Trial(True, bearing.fit)
    u, v = (direction(np.radians(b.azimuth_deg), np.radians(b.elevation_deg)) for b in (bearing, truth))
    error = float(np.degrees(great_circle_rad(u, v)))
    level = bearing.azimuth_sd_deg * np.cos(np.radians(bearing.elevation_deg))
    return Trial(True, bearing.fit, error, error / float(np.hypot(level, bearing.elevation_sd_deg) / np.sqrt(2)))


def uniform_table(results: dict[str, list[dict[str, Trial]]]) -> str:
    """How uniform `fit` is on arrays in order, cell by cell."""
    lines = [
        "| cell, array in order | calls found | below 0.01 | below 0.1 | Kolmogorov–Smirnov, p |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, trials in results.items():
        fits = np.array([t["in order"].fit for t in trials if t["in order"].fit is not None])
        ks = stats.kstest(fits, "uniform").pvalue
        lines.append(
            f"| {name} | {len(fits)} of {len(trials)} | {100 * np.mean(fits < 0.01):.1f} % | {100 * np.mean(fits < 0.1):.0f} % | {ks:.2g} |"
        )
    return "\n".join(lines)


def fault_table(results: dict[str, list[dict[str, Trial]]]) -> str:
    """What becomes of bearings with every fault, over all cells."""
    lines = [
        "| fault | calls found | no bearing | median error | wrong | wrong and warned of | fit < 0.01 |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for fault in FAULTS:
        found = [t[fault] for trials in results.values() for t in trials if t[fault].found]
        given = [t for t in found if t.error_deg is not None]
        wrong = [t for t in given if t.error_deg > FAR_DEG]
        warned = [t for t in wrong if (t.fit or 0.0) < DOUBT or t.deviations <= COVERED]
        median = f"{np.median([t.error_deg for t in given]):.2f}°" if given else "–"
        doubted = np.mean([t.fit < DOUBT for t in found if t.fit is not None] or [np.nan])
        lines.append(
            f"| {fault} | {len(found)} | {100 * (1 - len(given) / max(1, len(found))):.0f} % | {median} | {len(wrong)} "
            f"| {len(warned)} of {len(wrong)} | {100 * doubted:.0f} % |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run all cells and replace the tables in `bench/RESULTS.md`."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--split", choices=("dev", "test"), default="test")
    options.add_argument("--trials", type=int, default=24)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--print", action="store_true", help="do not touch RESULTS.md")
    chosen = options.parse_args()
    results: dict[str, list[dict[str, Trial]]] = {}
    with ProcessPoolExecutor(chosen.workers) as pool:
        for cell in CELLS:
            results[cell.name] = list(pool.map(partial(trial, cell, chosen.split), range(chosen.trials)))
            print(uniform_table({cell.name: results[cell.name]}).splitlines()[-1], flush=True)
    text = f"{uniform_table(results)}\n\n{fault_table(results)}"
    print(text)
    if not chosen.print:
        put(f"## Goodness of fit\n\n`python -m bench.fit --split {chosen.split} --trials {chosen.trials}`\n\n{text}")


if __name__ == "__main__":
    main()
