"""Simulated swims as an array reports them: bearings with errors, gaps, outliers towards boats; and the truth.

They are used to train and to test the tracker; no sound is made. The error of a fix is its stated standard deviation
times a random number of Student's t distribution with `ERROR_FREEDOM` degrees of freedom. Real errors of steering are a
little smaller: between this and a normal distribution (`docs/experiments.md`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from whalefinder.array.geometry import Floats, direction, tangents
from whalefinder.sea.signals import log_uniform
from whalefinder.tracks.fixes import Fixes, grid_of

SECONDS = 300.0
ERROR_FREEDOM = 4.0
ARRAY_DEPTH_M, NEAREST_M = 2.0, 20.0  # depth of the array; nearest distance of animals that swim past it


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The settings of a scenario.

    Args:
        kinds: kinds of motion, of which one is drawn: steady, turning, diving, milling, approaching, beneath.
        outliers: share of fixes that point somewhere else.
        gaps: number of silences of 30 to 60 s.
        calls_s: range of the mean time between calls.
        sd_deg: range of the stated error of a fix at median SNR (drawn logarithmically).
    """

    kinds: tuple[str, ...] = ("steady",)
    outliers: float = 0.0
    gaps: int = 0
    calls_s: tuple[float, float] = (3.0, 8.0)
    sd_deg: tuple[float, float] = (0.3, 1.5)


SCENARIOS = {
    "easy": Plan(),
    "outliers": Plan(kinds=("steady", "turning", "diving"), outliers=0.2),
    "gaps": Plan(kinds=("steady", "turning", "diving"), gaps=3),
    "turn": Plan(kinds=("turning",)),
    "vertical": Plan(kinds=("beneath",)),
}
ALL_KINDS = ("steady", "turning", "diving", "milling", "approaching", "beneath")


@dataclass(frozen=True)
class Swim:
    """Fixes of a recording with the true directions.

    Args:
        fixes: the fixes.
        source: number of the animal of each fix, -1 for none, `[fix]`.
        grid_s: whole seconds `[time]`.
        truth: true directions of every animal `[animal, time, 3]`.
    """

    fixes: Fixes
    source: NDArray[np.intp]
    grid_s: Floats
    truth: Floats


def draw_swim(rng: np.random.Generator, plan: Plan) -> Swim:
    """Draw the swim of one animal."""
    kind = str(rng.choice(plan.kinds))
    path = _path(rng, kind)
    fixes = _with_outliers(rng, _fixes(rng, path, plan), plan.outliers)
    return _swim(fixes[0], np.where(fixes[1], -1, 0), [path])


def draw_training_swim(rng: np.random.Generator) -> Swim:
    """Draw the swim of one animal in a random scenario, for training."""
    plan = Plan(
        kinds=ALL_KINDS,
        outliers=float(rng.choice([0.0, rng.uniform(0.0, 0.35)])),
        gaps=int(rng.integers(0, 4)),
        calls_s=(2.0, 15.0),
        sd_deg=(0.1, 3.0),
    )
    return draw_swim(rng, plan)


def draw_crossing(rng: np.random.Generator, plan: Plan | None = None) -> Swim:
    """Draw two animals that both call and whose bearings cross about half way, with a few false fixes."""
    plan = plan or Plan(outliers=0.05)
    first = _path(rng, "steady")
    # At half time the second is behind the first as seen from the array, and swims the other way.
    middle = len(first) // 2
    velocity = np.gradient(first, axis=0)
    turned = (rng.normal(0, 0.3, 3) - velocity[middle]) * np.array([1.0, 1.0, 0.0])
    second = first[middle] * rng.uniform(1.1, 2.5) + np.outer(np.arange(len(first)) - middle, turned)
    parts = [_fixes(rng, path, plan) for path in (first, second)]
    owner = np.concatenate([np.full(len(part), k) for k, part in enumerate(parts)])
    joined = Fixes(**{name: np.concatenate([vars(part)[name] for part in parts]) for name in vars(parts[0])})
    order = np.argsort(joined.time_s)
    joined, owner = joined.of(order), owner[order]
    joined, wrong = _with_outliers(rng, joined, plan.outliers)
    return _swim(joined, np.where(wrong, -1, owner), [first, second])


def _swim(fixes: Fixes, source: NDArray[np.intp], paths: list[Floats]) -> Swim:
    grid = grid_of(fixes)
    truth = np.stack([_direction_at(path, grid) for path in paths])
    return Swim(fixes, source, grid, truth)


def _direction_at(path: Floats, time_s: Floats) -> Floats:
    """Directions `[time, 3]` to a path at given times. The path has a position every second, `[second, 3]` m."""
    at = np.stack([np.interp(time_s, np.arange(len(path)), path[:, k]) for k in range(3)], axis=-1)
    return np.asarray(at / np.linalg.norm(at, axis=-1, keepdims=True))


def _path(rng: np.random.Generator, kind: str) -> Floats:
    """Positions relative to the array every second, `[second, 3]` m."""
    seconds = int(SECONDS) + 1
    speed = rng.uniform(0.7, 3.5)
    turn = _slow_noise(rng, seconds, 20.0) * np.radians(rng.uniform(0.05, 0.4))  # rad/s of heading
    if kind == "milling":
        turn = _slow_noise(rng, seconds, 15.0) * np.radians(rng.uniform(3, 8))
    if kind == "turning":
        lasts, begins = rng.uniform(15, 50), rng.uniform(60, SECONDS - 90)
        inside = (np.arange(seconds) >= begins) & (np.arange(seconds) < begins + lasts)
        turn = turn + inside * rng.choice([-1, 1]) * np.radians(rng.uniform(90, 180)) / lasts
    heading = rng.uniform(0, 2 * np.pi) + np.cumsum(turn)
    steps = speed * np.stack([np.sin(heading), np.cos(heading)], axis=-1)
    level = np.cumsum(steps, axis=0) - steps[0]
    nearest = log_uniform(rng, 80, 800)
    depth = rng.uniform(2, 30) + 3 * _slow_noise(rng, seconds, 30.0)
    if kind == "approaching":
        nearest = rng.uniform(NEAREST_M, 60)
    if kind == "beneath":
        nearest, depth = rng.uniform(2, 15), rng.uniform(60, 150) + 3 * _slow_noise(rng, seconds, 30.0)
    if kind == "diving":
        depth = depth + rng.uniform(30, 150) * np.sin(np.pi * np.arange(seconds) / rng.uniform(150, 400)) ** 2
    # The animal is nearest to the array at a random second of the swim, on a random side.
    when = int(rng.uniform(0.1, 0.9) * seconds)
    beside = np.array([np.cos(heading[when]), -np.sin(heading[when])]) * rng.choice([-1, 1]) * nearest
    position = np.column_stack([level - level[when] + beside, ARRAY_DEPTH_M - np.maximum(depth, 1.0)])
    return np.asarray(position)


def _slow_noise(rng: np.random.Generator, length: int, seconds: float) -> Floats:
    """Gaussian noise of standard deviation 1, one value per second, with a correlation time of `seconds`."""
    keep = np.exp(-1.0 / seconds)
    noise = rng.standard_normal(length)
    noise[1:] *= np.sqrt(1 - keep**2)
    return np.asarray(lfilter([1.0], [1.0, -keep], noise))


def _fixes(rng: np.random.Generator, path: Floats, plan: Plan) -> Fixes:
    """Calls of one animal as the array reports them."""
    interval = rng.uniform(*plan.calls_s)
    time = np.cumsum(rng.gamma(1.5, interval / 1.5, int(2 * SECONDS / interval) + 10))
    time = time[time < SECONDS]
    for _ in range(plan.gaps):
        begins, lasts = rng.uniform(15, SECONDS - 75), rng.uniform(30, 60)
        kept = time[(time < begins) | (time > begins + lasts)]
        time = kept if len(kept) >= 8 else time
    u = _direction_at(path, time)
    distance = np.interp(time, np.arange(len(path)), np.linalg.norm(path, axis=1))
    # A louder call has a smaller error. SNR falls with -20 log10 of the distance, and calls differ by 5 dB.
    snr = rng.uniform(5, 15) - 20 * np.log10(distance / 300) + rng.normal(0, 5, len(time))
    middle = log_uniform(rng, *plan.sd_deg)
    sd = middle * 10 ** (-np.clip(snr - np.median(snr), -15, 15) / 30)
    sd = np.radians(sd[:, None] * np.stack([np.ones(len(time)), np.full(len(time), rng.uniform(0.8, 2.0))], axis=-1))
    error = rng.standard_t(ERROR_FREEDOM, sd.shape) * sd
    centre = rng.uniform(1500, 6000) * np.exp(rng.normal(0, 0.15, len(time)))  # calls of an animal are similar
    width = np.exp(rng.normal(0, 0.2, len(time)))
    return Fixes(
        time_s=time,
        u=_moved(u, error),
        sd_rad=sd,
        snr_db=snr,
        low_hz=centre / (1 + 0.5 * width),
        high_hz=centre * (1 + 0.5 * width),
    )


def _moved(u: Floats, error_rad: Floats) -> Floats:
    level, up = tangents(u)
    moved = u + np.tan(error_rad[:, :1].clip(-1, 1)) * level + np.tan(error_rad[:, 1:].clip(-1, 1)) * up
    return np.asarray(moved / np.linalg.norm(moved, axis=-1, keepdims=True))


def _with_outliers(rng: np.random.Generator, fixes: Fixes, share: float) -> tuple[Fixes, NDArray[np.bool_]]:
    """Replace some fixes: two of three by the direction of a passing boat, the others by any direction under water."""
    wrong = rng.random(len(fixes)) < share
    boat_from, boat_rate = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(-1.5, 1.5))
    azimuth = boat_from + boat_rate * fixes.time_s + rng.normal(0, 0.03, len(fixes))
    elevation = rng.normal(np.radians(-1.5), np.radians(1.0), len(fixes))
    anywhere = rng.random(len(fixes)) < 1 / 3
    azimuth = np.where(anywhere, rng.uniform(0, 2 * np.pi, len(fixes)), azimuth)
    elevation = np.where(anywhere, np.arcsin(rng.uniform(-1, 0, len(fixes))), elevation)
    u = np.where(wrong[:, None], direction(azimuth, elevation), fixes.u)
    centre = np.exp(rng.uniform(np.log(800), np.log(6000), len(fixes)))
    low, high = (np.where(wrong, centre * factor, band) for factor, band in ((0.7, fixes.low_hz), (1.5, fixes.high_hz)))
    return replace(fixes, u=u, low_hz=low, high_hz=high), wrong
