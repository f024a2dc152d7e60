"""`python -m bench.stated`: bearings and their stated errors, of steering alone and refined, in all cells and on other arrays.

Both are from the same events, since the refiner begins with what steering says.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
import torch

from bench.accuracy import BEYOND_DEG
from bench.results import put
from bench.scenes import CELLS, SEED, Cell, draw_scene
from whalefinder.array.geometry import HydrophoneArray, direction, great_circle_rad, tangent_offset, tangents
from whalefinder.bearings.event_bearing import to_bearing
from whalefinder.bearings.fit import Fit
from whalefinder.bearings.likelihood import Cells
from whalefinder.bearings.refine import Refinement
from whalefinder.bearings.steering import Fix
from whalefinder.evaluation.metrics import match
from whalefinder.networks.weights import load_refiner, read_card, save_network
from whalefinder.pipeline import Locator
from whalefinder.sea.scene import Faults, simulate
from whalefinder.sound.recording import open_recording
from whalefinder.sound.spectrogram import RATE_HZ
from whalefinder.training.refiner import ONE_SD, SHARES, conformal
from whalefinder.training.refiner_lessons import positions_off_a_line

MOVING = next(cell for cell in CELLS if cell.name == "3 moving boats, SIR -10, SNR 5")
ERRORS = Faults(position_m=0.005, timing_s=5e-6, sound_speed_m_s=14.9)
OTHERS = (
    replace(MOVING, name="level square, 1 m", array="square"),
    replace(MOVING, name="random arrays of 3 to 8 phones", array="random"),
    replace(MOVING, name="5 mm, 5 µs, 1 %, as the array file says", faults=ERRORS),
    replace(MOVING, name="5 mm, 5 µs, 1 %, 6 phones", array="six", faults=ERRORS),
)
ALL = (*CELLS, *OTHERS)
HEAD = (
    "## Stated errors\n\nCommand: `python -m bench.stated --split {split} --trials {trials}`.\n\n"
    "Each entry is the median error / the share beyond 10°, of the calls that were found. *Within*: the share of true "
    "directions inside the circles `error_50_deg` and `error_90_deg`, and within one stated standard deviation, which "
    "should be 50, 90 and 39 %. *Steering* are the same events without the refiner (`--method steering`). The intervals of "
    "95 % for {trials} calls are about ± {wide:.0f} points at 50 % and ± {narrow:.0f} at 90 %.\n"
)


SEEN: list[tuple[Fix, Fix, HydrophoneArray]] = []
"""Fixes of the present recording before and after the refiner, with their arrays."""


@dataclass(frozen=True)
class Outcome:
    """What became of one call: errors in degrees before and after the refiner, and by what stated error they are measured.

    `of_50` and `of_90` are the error over the radius of each circle, `of_sd` and `of_sd_before` over the ellipse of one
    standard deviation: 1 or less is within.
    """

    before: float
    after: float
    of_50: float
    of_90: float
    of_sd: float
    of_sd_before: float


class Listener(Refinement):
    """The refiner, which remembers what it was given and what it made of it."""

    def __call__(self, cells: Cells, array: HydrophoneArray, fix: Fix, fit: Fit) -> Fix | None:
        """As `Refinement`."""
        refined = super().__call__(cells, array, fix, fit)
        if refined is not None:
            SEEN.append((replace(fix, covariance=fix.covariance * fit.inflation**2), refined, array))
        return refined


def run_trial(cell: Cell, split: str, number: int, refiner: Path | None) -> Outcome | None:
    """Locate the call of one recording; None if it is not found or has no direction."""
    torch.set_num_threads(1)
    scene, _, seed = draw_scene(replace(cell, array="tetrahedron") if cell.array == "random" else cell, split, number)
    array, faults = scene.array, cell.faults
    if cell.array == "random":
        rng = np.random.default_rng([SEED, 77, number])
        array = replace(array, positions_m=positions_off_a_line(rng, int(rng.integers(3, 9))), channels=())
    array = replace(
        array,
        position_error_m=faults.position_m,
        timing_error_s=faults.timing_s,
        sound_speed_error_m_s=faults.sound_speed_m_s,
    )
    sea = simulate(replace(scene, array=array, faults=faults), seed)
    truth = sea.truth[0]
    SEEN.clear()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scene.wav"
        soundfile.write(path, (sea.samples / np.abs(sea.samples).max() / 2).T, RATE_HZ, subtype="FLOAT")
        locator = Locator(array, refiner=refiner)
        if locator.judge.refinement is None:
            raise RuntimeError("the refiner is not used")
        locator.judge.refinement = Listener(locator.judge.refinement.network)
        calls = [d for stretch in locator.stream(open_recording(path, array)) for d in stretch.detections]
    hit = match(truth, calls)
    if hit is None or hit.azimuth_deg is None or hit.elevation_deg is None:
        return None
    true_u = direction(np.radians(truth.azimuth_deg), np.radians(truth.elevation_deg))
    for before, after, used in SEEN:
        if np.isclose(to_bearing(after, used).azimuth_deg or -1.0, hit.azimuth_deg, atol=1e-9):
            return _outcome(before, after, used, true_u)
    raise RuntimeError(f"{cell.name}, recording {number}: the call has a bearing that the refiner did not give")


def _outcome(before: Fix, after: Fix, array: HydrophoneArray, true_u: np.ndarray) -> Outcome:
    found = [_as_told(fix, array) for fix in (before, after)]
    errors = [float(np.degrees(great_circle_rad(fix.u, true_u))) for fix in found]
    inner, outer = np.degrees(found[1].circles_rad or (0.0, 0.0))
    return Outcome(
        errors[0],
        errors[1],
        errors[1] / inner,
        errors[1] / outer,
        _of_sd(found[1], true_u),
        _of_sd(found[0], true_u),
    )


def _as_told(fix: Fix, array: HydrophoneArray) -> Fix:
    """The fix on the side of a plane that results tell."""
    told = to_bearing(fix, array)
    u = direction(np.radians(told.azimuth_deg or 0.0), np.radians(told.elevation_deg or 0.0))
    return replace(fix, u=u)


def _of_sd(fix: Fix, true_u: np.ndarray) -> float:
    offset = tangent_offset(tangents(fix.u), fix.u, true_u)
    return float(np.sqrt(offset @ np.linalg.solve(fix.covariance, offset)))


def rows(options: argparse.Namespace) -> Iterator[tuple[str, list[Outcome | None]]]:
    """The outcomes of every cell."""
    with ProcessPoolExecutor(options.workers) as pool:
        for cell in (cell for cell in ALL if options.only in cell.name):
            jobs = [pool.submit(run_trial, cell, options.split, k, options.refiner) for k in range(options.trials)]
            yield cell.name, [job.result() for job in jobs]


def line(name: str, outcomes: list[Outcome | None]) -> str:
    """A row of the table."""
    found = [each for each in outcomes if each is not None]

    def errors(values: list[float]) -> str:
        return f"{np.median(values):.2g}° / {100 * np.mean(np.array(values) > BEYOND_DEG):.0f} %" if values else "–"

    def share(values: list[float]) -> str:
        return f"{100 * np.mean(np.array(values) <= 1):.0f} %" if values else "–"

    return (
        f"| {name} | {errors([o.before for o in found])} | {errors([o.after for o in found])} | "
        f"{share([o.of_50 for o in found])} | {share([o.of_90 for o in found])} | "
        f"{share([o.of_sd for o in found])} | {share([o.of_sd_before for o in found])} | "
        f"{100 * (1 - len(found) / len(outcomes)):.0f} % | {len(outcomes)} |"
    )


def calibrate(found: list[Outcome], weights: Path) -> None:
    """Set the factors of a refiner so that its errors hold what they say on these calls.

    Training did it on its own lessons, of which `locate` would report only a part: the clearer ones.
    """
    network, card = load_refiner(weights), read_card(weights)
    network.log_sd_factor += math.log(np.quantile([each.of_sd for each in found], ONE_SD))
    for k, (share, ratios) in enumerate(zip(SHARES, ([o.of_50 for o in found], [o.of_90 for o in found]), strict=True)):
        network.log_radius_factor[k] += math.log(conformal(ratios, share))
    card["calibrated_on"] = f"{len(found)} calls that locate found in dev scenes of the benchmark (bench.stated)"
    save_network(network, weights, {name: value for name, value in card.items() if name not in ("config", "coverage")})


def main(arguments: list[str] | None = None) -> None:
    """Run all cells and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--split", choices=("dev", "test"), default="test")
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--only", default="", help="cells whose name holds this")
    parser.add_argument("--refiner", type=Path, default=None)
    parser.add_argument("--calibrate", action="store_true", help="set the factors of REFINER by these calls; dev only")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--print", action="store_true", help="do not touch RESULTS.md")
    options = parser.parse_args(arguments)
    if options.calibrate and (options.split != "dev" or options.refiner is None):
        parser.error("--calibrate needs --split dev and --refiner")
    half = [196 * (share * (1 - share) / options.trials) ** 0.5 for share in (0.5, 0.9)]
    table = [HEAD.format(split=options.split, trials=options.trials, wide=half[0], narrow=half[1])]
    table += [
        "| cell | steering | refined | within 50 | within 90 | within 1 sd | steering within 1 sd | not found | n |"
    ]
    table += ["|" + " --- |" * 9]
    everything: list[Outcome | None] = []
    for name, outcomes in rows(options):
        everything += outcomes
        table.append(line(name, outcomes))
        sys.stderr.write(table[-1] + "\n")
    table.append(line("**all**", everything))
    if options.calibrate:
        calibrate([each for each in everything if each is not None], options.refiner)
    elif options.print:
        sys.stdout.write("\n".join(table) + "\n")
    else:
        put("\n".join(table))


if __name__ == "__main__":
    main()
