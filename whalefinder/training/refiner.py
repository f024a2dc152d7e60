"""Recipe of the refiner: lessons from a simulated sea, both losses of the examination paper, and errors that are true.

    whalefinder train refiner --out runs/refiner

The lessons take most of the time. They are kept in `OUT/lessons`, so a run that was stopped goes on where it was.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from whalefinder.array.geometry import Floats, HydrophoneArray, angles, great_circle_rad, tangents
from whalefinder.bearings.refine import (
    FACTS,
    LEVEL_MIRROR,
    MOST_PEAKS,
    MOST_TIMES,
    PROFILE_SIZE,
    Views,
    offsets_of,
    views_of,
)
from whalefinder.networks.refiner import Answer, Refiner
from whalefinder.networks.weights import load_network
from whalefinder.training.clips import REAL_SOURCES
from whalefinder.training.loop import Report, Run, one_cycle, silent
from whalefinder.training.losses import AzimuthLoss, ElevationLoss, azimuth_weight
from whalefinder.training.refiner_lessons import Lesson, Sounds, build_sounds, lessons

FREEDOM = 4.0  # of Student's t, so that a call whose peaks are all wrong does not rule the errors of the others
REACHED_RAD = math.radians(8.0)  # a peak further from the truth is no target
LOST = 0.2  # weight of the errors of a call with no such peak
SOFT_RAD = math.radians(1.0)  # two peaks that are about as near share the target
SHARES = (0.5, 0.9)  # of the cases that the two circles hold
STAY = 0.3  # cost of the squares of the nodes: what steering knows well stays as it is
ANGLE_WEIGHT = 30.0  # of the losses of the paper, which are squares of small angles
ONE_SD = 0.393  # of all errors lie within one standard deviation in two dimensions: 1 - exp(-1/2)
CHUNK = 20  # scenes of one file of lessons
DEV_SEED = 1_000_000
CARD = {
    "data": f"simulated seas, boats and calls on random arrays of 3 to 8 hydrophones, with real masks; {REAL_SOURCES}",
    "chosen_on": "the same kinds of seas with calls S04 and S09 and the ships of the dev split",
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of a run. They are written into the card of its weights."""

    scenes: int = 500
    dev_scenes: int = 80
    steps: int = 1000
    batch: int = 64
    hidden: int = 32
    peak_rate: float = 3e-3
    weight_decay: float = 2e-2
    seed: int = 11
    validate_every: int = 50
    patience: int = 20
    threads: int = 1
    workers: int = 1


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Padded inputs of several calls, and the truth relative to each peak.

    Shape:
        `profiles` `[call, peak, time, PROFILE_SIZE]`, `facts` `[call, peak, FACTS]`, `lengths` `[call]`, `present`
        `[call, peak]`, `u`, `truth` (the nearer one, where a plane has two) `[call, peak, 3]`, `sd` `[call, peak, 2]` rad,
        `offset` of the truth from the peak (level, up) in its standard deviations `[call, peak, 2]`, `distance` `[call, peak]`
        rad, `highest` elevation that is possible, in half turns + 1/2 `[call]`.
    """

    profiles: Tensor
    facts: Tensor
    lengths: Tensor
    present: Tensor
    u: Tensor
    truth: Tensor
    sd: Tensor
    offset: Tensor
    distance: Tensor
    highest: Tensor

    def of(self, index: Tensor) -> Batch:
        """Some of the calls."""
        return Batch(**{name: part[index] for name, part in vars(self).items()})

    @staticmethod
    def joined(parts: Sequence[Batch]) -> Batch:
        """Several batches as one."""
        return Batch(**{name: torch.cat([vars(part)[name] for part in parts]) for name in vars(parts[0])})


# Lessons --------------------------------------------------------------------------------------------------------------


def batch_of(taught: Sequence[Lesson]) -> Batch:
    """Lessons as one batch, padded to `MOST_PEAKS` and `MOST_TIMES`."""
    rows = [_row(views_of(each.cells, each.array, each.fix, each.fit), each) for each in taught]
    return Batch(**{name: torch.stack([row[name] for row in rows]) for name in rows[0]})


def _row(view: Views, lesson: Lesson) -> dict[str, Tensor]:
    peaks, times = view.profiles.shape[:2]
    truth, offset, distance = _from_peaks(view, lesson.truth, lesson.array)

    def padded(part: Floats | Tensor, filler: float = 0.0) -> Tensor:
        part = torch.as_tensor(part).float()
        return torch.cat([part, torch.full((MOST_PEAKS - peaks, *part.shape[1:]), filler)])

    profiles = torch.zeros(MOST_PEAKS, MOST_TIMES, PROFILE_SIZE)
    profiles[:peaks, :times] = view.profiles
    return {
        "profiles": profiles,
        "facts": padded(view.facts),
        "lengths": torch.tensor(times),
        "present": torch.arange(MOST_PEAKS) < peaks,
        "u": padded(view.u),
        "truth": padded(truth),
        "sd": padded(view.sd, 1.0),
        "offset": padded(offset),
        "distance": padded(distance, math.pi),
        "highest": torch.tensor(lesson.array.max_elevation_rad() / math.pi + 0.5),
    }


def _from_peaks(view: Views, truth: Floats, array: HydrophoneArray) -> tuple[Floats, Floats, Floats]:
    """The truth as seen from every peak: its unit vector, (level, up) in standard deviations, the distance in radians.

    A plane cannot tell a direction from its mirror image, and results report both: the nearer one counts.
    """
    targets = np.stack(mirrored(truth, array))
    distances = great_circle_rad(view.u[:, None], targets[None])
    nearest = targets[distances.argmin(1)]
    away = np.stack([(axis * nearest).sum(-1) for axis in tangents(view.u)], axis=-1)
    length = np.maximum(np.linalg.norm(away, axis=-1, keepdims=True), 1e-12)
    distance = distances.min(1)
    return nearest, away / length * distance[:, None] / view.sd, distance


def mirrored(truth: Floats, array: HydrophoneArray) -> list[Floats]:
    """The direction, and for a plane also its mirror image."""
    if array.shape != "plane":
        return [truth]
    normal = array.principal_axes()[1][2]
    return [truth, truth - 2 * (truth @ normal) * normal]


def draw_lessons(
    folder: Path, split: str, seed: int, scenes: int, workers: int = 1, tick: Callable[[int], None] = lambda done: None
) -> Batch:
    """The lessons of some scenes, from files in `folder` where they are there already. `tick` gets the scenes done."""
    folder.mkdir(parents=True, exist_ok=True)
    chunks = [range(begin, min(begin + CHUNK, scenes)) for begin in range(0, scenes, CHUNK)]
    parts: list[Batch] = []
    for done, part in zip(chunks, _parts(folder, split, seed, chunks, workers), strict=True):
        parts.append(part)
        tick(done.stop)
    return Batch.joined(parts)


def _parts(folder: Path, split: str, seed: int, chunks: list[range], workers: int) -> Iterator[Batch]:
    jobs = [(folder / f"{split}-{seed}-{chunk.start:06d}.safetensors", split, seed, chunk) for chunk in chunks]
    if workers == 1:
        yield from map(_part, jobs)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_part, jobs)


_drawn: dict[tuple[int, str], Sounds] = {}
"""The sounds of the last seed and split: they are the same for all scenes."""


def _part(job: tuple[Path, str, int, range]) -> Batch:
    file, split, seed, chunk = job
    if not file.exists():
        torch.set_num_threads(1)
        if (seed, split) not in _drawn:
            _drawn.clear()
            _drawn[seed, split] = build_sounds(seed, split)
        taught = list(lessons(_drawn[seed, split], load_network(), seed, chunk))
        unfinished = file.with_suffix(".part")
        save_file({name: part.contiguous() for name, part in vars(batch_of(taught)).items()}, unfinished)
        unfinished.replace(file)
    return Batch(**load_file(file))


def flipped(batch: Batch) -> Batch:
    """The calls as an array sees them whose east and west are exchanged, as further examples."""
    steps = torch.tensor(LEVEL_MIRROR)
    bands = PROFILE_SIZE // len(LEVEL_MIRROR)
    profiles = batch.profiles.unflatten(-1, (bands, -1))[..., steps].flatten(-2)
    facts = batch.facts.clone()
    facts[..., FACTS.index("correlation")] *= -1
    flip, east = torch.tensor([-1.0, 1.0]), torch.tensor([-1.0, 1.0, 1.0])
    return replace(
        batch, profiles=profiles, facts=facts, offset=batch.offset * flip, u=batch.u * east, truth=batch.truth * east
    )


# Loss -----------------------------------------------------------------------------------------------------------------


def loss_of(answer: Answer, batch: Batch) -> Tensor:
    """The sum of five losses, a scalar.

    Cross entropy over the peaks; the negative log likelihood of the offset from the right peak by Student's t; AzimuthLoss
    and ElevationLoss of the direction; the quantiles of its error; the size of the nodes.
    """
    near = torch.softmax((-(batch.distance / SOFT_RAD)).masked_fill(~batch.present, -1e9), 1)
    reached = (batch.distance.amin(1) < REACHED_RAD).float()
    scored = -(near * torch.log_softmax(answer.score, 1)).sum(1)
    z = (batch.offset - offsets_of(answer, batch.facts)) * torch.exp(-answer.log_sd)
    density = answer.log_sd + (FREEDOM + 1) / 2 * torch.log1p(z.square() / FREEDOM)
    likelihood = (near * density.sum(-1)).sum(1)
    chosen = torch.softmax(answer.score.detach(), 1)
    circles = (chosen * _pinball(answer, batch)).sum(1)
    weight = reached + LOST * (1 - reached)
    stay = (answer.azimuth.square() + answer.elevation.square()).mean()
    # Calls whose peaks are all wrong are seldom reported, and no radius could hold them: the circles are of the others.
    fitted = (reached * (scored + circles) + weight * likelihood).mean()
    return fitted + ANGLE_WEIGHT * _angle_loss(answer, batch) + STAY * stay


def log_errors(answer: Answer, batch: Batch) -> Tensor:
    """Log of the distance that is left between peak + offset and the truth, in units of the peak. `[call, peak]`."""
    left = ((batch.offset - offsets_of(answer, batch.facts)) * batch.sd).norm(dim=-1)
    return torch.log((left / batch.sd.square().mean(-1).sqrt()).clamp(min=1e-3))


def _pinball(answer: Answer, batch: Batch) -> Tensor:
    """Loss whose minimum is at the quantiles of the log error (Koenker and Bassett 1978). → `[call, peak]`."""
    above = log_errors(answer, batch).detach()[..., None] - answer.log_radius
    share = torch.tensor(SHARES)
    return torch.maximum(share * above, (share - 1) * above).sum(-1)


def _angle_loss(answer: Answer, batch: Batch) -> Tensor:
    """Both losses of the paper, of the direction that the nearest peak leads to. A call with no near peak is left out."""
    rows = torch.arange(len(batch.lengths))
    nearest = batch.distance.argmin(1)
    kept = batch.distance[rows, nearest] < REACHED_RAD
    rows, nearest = rows[kept], nearest[kept]
    u, truth = batch.u[rows, nearest], batch.truth[rows, nearest]
    level, up = (torch.from_numpy(axis).to(u) for axis in tangents(u.numpy()))
    step = (offsets_of(answer, batch.facts) * batch.sd)[rows, nearest]
    found = torch.nn.functional.normalize(u + step[:, :1] * level + step[:, 1:] * up, dim=-1)
    azimuth, elevation = (torch.from_numpy(angle).float()[:, None] for angle in angles(truth.numpy()))
    label = (elevation / math.pi + 0.5).clamp(0, 1)
    predicted = torch.atan2(found[:, :1], found[:, 1:2]) / (2 * math.pi)
    rising = torch.asin(found[:, 2:].clamp(-0.999999, 0.999999)) / math.pi + 0.5
    across = AzimuthLoss()(predicted, (azimuth / (2 * math.pi)) % 1.0, azimuth_weight(label))
    highest = float(batch.highest[rows].max().clamp(max=1.0))
    # Labels of elevation are in half turns. The factor π²/2 makes their squares rad²/2, as in the azimuth loss.
    return across + math.pi**2 / 2 * ElevationLoss(highest)(rising, label.clamp(max=highest))  # type: ignore[no-any-return]


# Run ------------------------------------------------------------------------------------------------------------------


def train(
    out: Path, settings: Settings, *, resume: bool = False, report: Report = silent, drawn: Report = silent
) -> Path:
    """Train a refiner into the folder `out`. Returns the path of the best weights; see `loop.Run`.

    Args:
        out: folder of the lessons, the weights, the checkpoint and the curve.
        settings: what the run depends on.
        resume: continue from the checkpoint in `out`.
        report: is called after every step.
        drawn: is called while lessons are drawn, with the number of scenes.

    Raises:
        ModelError, OutputError: as `loop.Run`.
    """
    run = Run(out, "refiner", settings, lambda: Refiner(PROFILE_SIZE, len(FACTS), settings.hidden),
              resume=resume, schedule=one_cycle(0.15))  # fmt: skip
    folder, seed, network = out / "lessons", settings.seed, run.network
    pool = draw_lessons(
        folder, "train", seed, settings.scenes, settings.workers, lambda done: drawn(done, math.nan, None)
    )
    judge = draw_lessons(
        folder, "dev", seed + DEV_SEED, settings.dev_scenes, settings.workers,
        lambda done: drawn(settings.scenes + done, math.nan, None),
    )  # fmt: skip

    def loss_at(step: int) -> Tensor:
        rng = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
        torch.manual_seed(settings.seed * 1_000_003 + step)  # so that dropout too is the same after a stop
        network.train()
        part = pool.of(torch.randint(len(pool.lengths), (settings.batch,), generator=rng))
        part = flipped(part) if step % 2 else part
        return loss_of(answer_of(network, part), part)

    def card(kept: Refiner) -> dict[str, object]:
        calibrate(kept.eval(), judge)
        return {
            **CARD,
            "lessons": len(pool.lengths),
            "dev_lessons": len(judge.lengths),
            "coverage": coverage(kept, judge),
        }

    return run.train(loss_at, lambda: validate(network.eval(), judge), card, report)


def answer_of(network: Refiner, batch: Batch) -> Answer:
    """The answer of the network on a batch."""
    return network(batch.profiles, batch.facts, batch.lengths, batch.present)  # type: ignore[no-any-return]


@torch.inference_mode()
def validate(network: Refiner, batch: Batch) -> dict[str, float]:
    """Loss; median error and share beyond 10° of the refined directions and of those of steering."""
    answer = answer_of(network, batch)
    error = torch.rad2deg(_errors_rad(answer, batch))
    before = torch.rad2deg(batch.distance[:, 0])
    return {
        "loss": float(loss_of(answer, batch)),
        "error_deg": float(error.median()),
        "beyond": float((error > 10).float().mean()),
        "steering_deg": float(before.median()),
        "steering_beyond": float((before > 10).float().mean()),
    }


def _errors_rad(answer: Answer, batch: Batch) -> Tensor:
    """Error of the peak with the highest score, `[call]` rad."""
    left = ((batch.offset - offsets_of(answer, batch.facts)) * batch.sd).norm(dim=-1)
    return left.gather(1, answer.score.argmax(1, keepdim=True))[:, 0]


@torch.inference_mode()
def calibrate(network: Refiner, batch: Batch) -> None:
    """Set the factors so that ellipses and circles hold what they say on these calls (`conformal`)."""
    answer = answer_of(network, batch)
    best = answer.score.argmax(1, keepdim=True)
    z = _of_sd(answer, batch).gather(1, best)[:, 0]
    network.log_sd_factor += z.quantile(ONE_SD).clamp(min=1e-3).log()
    excess = log_errors(answer, batch)[..., None] - answer.log_radius
    excess = excess.gather(1, best[..., None].expand(-1, -1, 2))[:, 0]
    for k, share in enumerate(SHARES):
        network.log_radius_factor[k] += conformal(excess[:, k].tolist(), share)


def conformal(scores: Sequence[float], share: float) -> float:
    """The score that a new one exceeds with a probability of at most 1 - share: split conformal prediction.

    It is the k-th smallest of n, k = ⌈(n + 1) share⌉ (Vovk, Gammerman and Shafer 2005; for direction finding Khurjekar and
    Gerstoft 2023).
    """
    return sorted(scores)[min(len(scores), math.ceil((len(scores) + 1) * share)) - 1]


def _of_sd(answer: Answer, batch: Batch) -> Tensor:
    """Error over the ellipse of one standard deviation, `[call, peak]`."""
    left = batch.offset - offsets_of(answer, batch.facts)
    return (left * torch.exp(-answer.log_sd)).norm(dim=-1)


@torch.inference_mode()
def coverage(network: Refiner, batch: Batch) -> dict[str, float]:
    """Shares of the errors within one standard deviation and within both circles."""
    answer = answer_of(network, batch)
    best = answer.score.argmax(1, keepdim=True)
    z = _of_sd(answer, batch).gather(1, best)[:, 0]
    inside = log_errors(answer, batch)[..., None] <= answer.log_radius
    held = inside.gather(1, best[..., None].expand(-1, -1, 2))[:, 0].float().mean(0)
    return {"one_sd": float((z <= 1).float().mean()), "50": float(held[0]), "90": float(held[1])}
