"""`python -m bench.tune_tracks` chooses settings of the other tracking methods on training swims.

It tries random settings, then one setting at a time. It does not use the swims of the benchmark (seeds from 10^9). It
prints the constants to write into `bench/rivals.py`, `bench/imm.py` and `bench/grid_bayes.py`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np

from bench import grid_bayes, imm, rivals
from bench.tracks import rms_deg, steps_and_truth
from whalefinder.array.geometry import Floats
from whalefinder.tracks.fixes import Steps
from whalefinder.tracks.kalman import FilterSettings
from whalefinder.training.swims import draw_training_swim

Settings = TypeVar("Settings", FilterSettings, imm.ImmSettings, grid_bayes.GridSettings)
FIXED = {"points", "ceiling_rad"}
"""Settings that are not tuned: they are known, or change only the time."""
SHARES = {"outlier", "tail"}
WORTH = 0.999
"""A setting is changed only if the loss becomes smaller than this share of its old value."""
FOLLOW: dict[str, tuple[Callable[..., Floats], Any]] = {
    "KALMAN_CAUSAL": (rivals.kalman_causal, rivals.KALMAN_CAUSAL),
    "KALMAN_SMOOTHER": (rivals.kalman_smoother, rivals.KALMAN_SMOOTHER),
    "IMM_CAUSAL": (imm.imm, imm.IMM_CAUSAL),
    "IMM_SMOOTHER": (partial(imm.imm, smoother=True), imm.IMM_SMOOTHER),
    "GRID_CAUSAL": (grid_bayes.grid_bayes, grid_bayes.GRID_CAUSAL),
    "GRID_SMOOTHER": (partial(grid_bayes.grid_bayes, smoother=True), grid_bayes.GRID_SMOOTHER),
}
"""Name of the constant in `rivals`, `imm` or `grid_bayes` → the method that uses it, and its present value."""


def loss(u: Floats, steps: Steps, truth: Floats) -> float:
    """Median r.m.s. error plus a tenth of the mean, degrees. The usual swim counts most, but lost swims count too."""
    errors = rms_deg(u, steps, truth)
    return float(np.median(errors) + 0.1 * errors.mean())


def candidates(settings: Settings, name: str, factor: float) -> list[Settings]:
    """Two settings: with one value lower, and with this value higher."""
    value = getattr(settings, name)
    if isinstance(value, int):
        return [replace(settings, **{name: value + step}) for step in (-1, 1) if value + step >= 1]
    if name in SHARES:  # by odds, so that they stay within 0 and 1
        odds = value / (1 - value)
        return [replace(settings, **{name: o / (1 + o)}) for o in (odds / factor, odds * factor)]
    return [replace(settings, **{name: value / factor}), replace(settings, **{name: value * factor})]


def scattered(settings: Settings, rng: np.random.Generator) -> Settings:
    """All settings changed at once, by factors of about 2."""
    for field in fields(settings):
        if field.name not in FIXED:
            settings = candidates(settings, field.name, float(np.exp(abs(rng.normal(0, 0.7)))))[
                -1 if rng.random() < 0.5 else 0
            ]
    return settings


def search(
    score: Callable[[Settings], float], settings: Settings, draws: int, factors: tuple[float, ...] = (2.0, 1.4, 1.2)
) -> tuple[Settings, float]:
    """Take the best of some random settings, then change one setting at a time as long as that helps.

    The factors of change become smaller. → settings, score.
    """
    rng = np.random.default_rng(0)
    tried = [settings] + [scattered(settings, rng) for _ in range(draws)]
    scores = [score(each) for each in tried]
    best, lowest = tried[int(np.argmin(scores))], min(scores)
    for factor in factors:
        for name in (field.name for field in fields(settings) if field.name not in FIXED):
            for side in (0, -1):
                candidate = candidates(best, name, factor)[side]
                # A change that helps is tried again.
                while (found := score(candidate)) < WORTH * lowest:
                    best, lowest = candidate, found
                    candidate = candidates(best, name, factor)[side]
        sys.stderr.write(f"  factor {factor:g}: {lowest:.3f}°  {best}\n")
    return best, lowest


def main() -> None:
    """Tune each method as a causal filter and as a smoother."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--swims", type=int, default=300)
    parser.add_argument("--draws", type=int, default=30, help="random settings to begin with")
    parser.add_argument("--only", default="", help="rivals whose constant holds this, as KALMAN or CAUSAL")
    options = parser.parse_args()
    swims = [draw_training_swim(np.random.default_rng(seed)) for seed in range(1, options.swims + 1)]
    steps, truth = steps_and_truth(swims)
    for name, (follow, present) in FOLLOW.items():
        if options.only in name:
            best, lowest = search(partial(_score, follow, steps, truth), present, options.draws)
            sys.stdout.write(f"{name} = {best}  # {lowest:.3f}°\n")
            sys.stdout.flush()


def _score(follow: Callable[..., Floats], steps: Steps, truth: Floats, settings: object) -> float:
    return loss(follow(steps, settings), steps, truth)


if __name__ == "__main__":
    main()
