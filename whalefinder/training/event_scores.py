"""Recipe of the event score: simulated seas, every candidate event, a logistic regression.

    whalefinder train events --out runs/events.json

Candidates are labelled by the truth of the simulation. Calls are simulated or of the train split, boats are
simulated: real ships are for choosing the threshold (dev) and for judging (test) alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from whalefinder import spectrogram
from whalefinder.audio import Recording, Segment
from whalefinder.events import EventSettings
from whalefinder.geometry import HydrophoneArray
from whalefinder.locate import Detection, Locator
from whalefinder.networks import load_network
from whalefinder.sea import Boat, Call, Scene, TrueCall, simulate
from whalefinder.sea.boats import random_boat
from whalefinder.sea.calls import random_call
from whalefinder.sea.propagation import Path as Course
from whalefinder.sea.signals import Floats
from whalefinder.training import clips
from whalefinder.training.mixtures import random_positions

SECONDS = 9.0
RIDGE = 1e-2
Example = tuple[bool, dict[str, float]]


def examples_of(number: int, seed: int, weights: Path | None, single: bool) -> list[Example]:
    """Candidates of one simulated recording: (is it a call, its evidence)."""
    torch.set_num_threads(1)
    rng = np.random.default_rng([seed, 8, number])
    scene = _random_scene(rng)
    sea = simulate(scene, seed * 100_000 + number)
    array = None if single else scene.array
    locator = Locator(array, load_network(weights), replace(EventSettings(), min_probability=0.0), all_events=True)
    samples = (sea.samples[:1] if single else sea.samples).astype(np.float32)
    return [(_is_call(d, sea.truth), d.evidence) for d in detections_of(locator, samples)]


def detections_of(locator: Locator, samples: np.ndarray) -> list[Detection]:
    """Detections in sound that is already in memory, `[channel, time]` at the common rate."""
    length = samples.shape[1]
    recording = Recording(
        "memory", (), tuple(range(len(samples))), spectrogram.RATE_HZ, length / spectrogram.RATE_HZ, None
    )
    return locator.in_segment(Segment(samples, 0, (0, length)), recording).detections


def _random_scene(rng: np.random.Generator) -> Scene:
    array = HydrophoneArray("random", random_positions(rng, int(rng.choice([3, 4, 4, 5, 6]))), 1490.0, depth_m=1.5)
    call = Call(_sound(rng), _whale(rng), rng.uniform(1.0, 5.5), rng.uniform(-10, 15))
    boats = tuple(_boat(rng) for _ in range(int(rng.choice([0, 1, 2, 3, 4]))))
    sir_db = rng.uniform(-22, 5) if boats else None
    scene = Scene(array, SECONDS, (call,), boats, sir_db)
    if rng.random() < 0.3:  # a third without any call: all that is found is false
        boats = tuple(replace(boat, level_db=rng.uniform(0, 25)) for boat in boats)
        scene = replace(scene, calls=(), boats=boats, sir_db=None)
    return scene


def _sound(rng: np.random.Generator) -> Floats:
    real = clips.training_calls()
    if real and rng.random() < 0.5:
        return real[int(rng.integers(len(real)))].read().astype(np.float64)[: 3 * spectrogram.RATE_HZ]
    return random_call(rng)[1]


def _whale(rng: np.random.Generator) -> Course:
    distance, azimuth = np.exp(rng.uniform(np.log(60), np.log(800))), rng.uniform(0, 2 * np.pi)
    return Course((distance * np.sin(azimuth), distance * np.cos(azimuth), 1.5 - rng.uniform(2, 40)), (1.0, 0.5, 0.0))


def _boat(rng: np.random.Generator) -> Boat:
    nearest, azimuth = rng.uniform(25, 200), rng.uniform(0, 2 * np.pi)
    speed = rng.uniform(0, 14) * rng.choice([-1, 1])
    velocity = np.array([np.cos(azimuth), -np.sin(azimuth), 0.0]) * speed
    start = np.array([nearest * np.sin(azimuth), nearest * np.cos(azimuth), 0.5]) - velocity * rng.uniform(0, SECONDS)
    return Boat(random_boat(rng, SECONDS), Course(tuple(start), tuple(velocity)), rng.uniform(-4, 4))


def _is_call(detection: Detection, truth: tuple[TrueCall, ...]) -> bool:
    return any(min(detection.end_s, t.end_s) - max(detection.begin_s, t.begin_s) > 0.03 for t in truth)


def fit(examples: list[Example], names: tuple[str, ...]) -> dict[str, float]:
    """Logistic regression with a small ridge on standardised figures, by Newton's method."""
    x = np.array([[evidence[name] for name in names] for _, evidence in examples])
    y = np.array([is_call for is_call, _ in examples], float)
    mean, scale = x.mean(0), x.std(0) + 1e-9
    z = np.column_stack([(x - mean) / scale, np.ones(len(x))])
    ridge = RIDGE * len(x) * np.diag([1.0] * len(names) + [0.0])
    w = np.zeros(z.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-z @ w))
        step = np.linalg.solve(
            z.T @ (z * (p * (1 - p))[:, None]) + ridge + 1e-9 * np.eye(len(w)), z.T @ (y - p) - ridge @ w
        )
        w += step
        if np.abs(step).max() < 1e-9:
            break
    slopes = w[:-1] / scale
    return {"bias": float(w[-1] - slopes @ mean), **dict(zip(names, map(float, slopes), strict=True))}


SINGLE = ("log_area", "log_peak", "mean_share", "log_seconds", "density")
ARRAY = (*SINGLE, "log_beam_area", "beam_gain", "log_likelihood", "likelihood_per_bin", "log_margin")


def train(
    out: Path,
    *,
    recordings: int = 400,
    seed: int = 2,
    weights: Path | None = None,
    workers: int = 2,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, dict[str, float]]:
    """Fit both scores (array, single hydrophone) and write them to `out` as JSON."""
    table: dict[str, dict[str, float]] = {}
    done = 0
    with ProcessPoolExecutor(workers) as pool:
        for name, names, single in (("array", ARRAY, False), ("single", SINGLE, True)):
            count = recordings if not single else recordings // 2
            jobs = [pool.submit(examples_of, k, seed, weights, single) for k in range(count)]
            examples: list[Example] = []
            for job in jobs:
                examples += [e for e in job.result() if set(names) <= set(e[1])]
                done += 1
                report(done, recordings + recordings // 2)
            table[name] = fit(examples, names)
            table[name + "_examples"] = {
                "calls": sum(c for c, _ in examples),
                "others": sum(not c for c, _ in examples),
            }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({**table, "seed": seed, "recordings": recordings}, indent=1) + "\n")  # type: ignore[dict-item]
    return table
