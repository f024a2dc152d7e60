"""Recipe of the tracker: simulated swims, the two losses of the examination paper, a likelihood for the stated error.

    whalefinder train tracker --out runs/tracker

The Kalman references of all swims are computed once. The network then learns to correct them.
"""

from __future__ import annotations

import math
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from scipy.stats import gmean, rayleigh
from torch import Tensor

from whalefinder.array.geometry import angles, tangents
from whalefinder.networks.tracker import Tracker
from whalefinder.tracks.fixes import merge
from whalefinder.tracks.follow import FEATURES, LEVEL_FEATURES, answer, reference
from whalefinder.training.loop import Report, Run, silent
from whalefinder.training.losses import AzimuthLoss, ElevationLoss, azimuth_weight, elevation_label
from whalefinder.training.swims import ARRAY_DEPTH_M, NEAREST_M, SECONDS, draw_training_swim

CHUNK = 250  # swims whose references are computed at once
FREEDOM = 4.0  # degrees of freedom of Student's t
ANGLE_WEIGHT = 3.0  # weight of the two angle losses (rad²/2); the likelihood (nats) has weight 1


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of a run. They are written into the card of its weights."""

    smoother: bool = False
    cell: str = "lstm"
    hidden: int = 64
    swims: int = 8000
    held_out: int = 500
    steps: int = 1100
    batch: int = 64
    peak_rate: float = 2.5e-3
    weight_decay: float = 1e-2
    seed: int = 1
    validate_every: int = 100
    patience: int = 30
    threads: int = 1
    workers: int = 2


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Swims as inputs of the network.

    Args:
        features, u, sd_rad: as in `follow.Reference`, `[swim, step, ...]`.
        lengths: steps before the padding `[swim]`.
        truth: true directions `[swim, step, 3]`.
        counts: whether the step counts in the loss `[swim, step]`.
    """

    features: Tensor
    lengths: Tensor
    u: Tensor
    sd_rad: Tensor
    truth: Tensor
    counts: Tensor

    def of(self, chosen: Tensor | slice) -> Pool:
        """Some of the swims, chosen by index."""
        return Pool(**{name: part[chosen] for name, part in vars(self).items()})


def build_pool(seed: int, swims: int, *, causal: bool, workers: int = 1) -> Pool:
    """Draw swims and compute their references. The result does not depend on the number of processes (`workers`).

    Training uses small seeds. The benchmark uses seeds from 10^9 on.
    """
    chunks = [(seed, begin, min(CHUNK, swims - begin), causal) for begin in range(0, swims, CHUNK)]
    if workers > 1:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as executor:
            pieces = list(executor.map(_chunk, chunks))
    else:
        pieces = [_chunk(chunk) for chunk in chunks]
    length = max(piece.features.shape[1] for piece in pieces)
    return Pool(**{name: torch.cat([_padded(vars(p)[name], length) for p in pieces]) for name in vars(pieces[0])})


def _chunk(what: tuple[int, int, int, bool]) -> Pool:
    seed, begin, count, causal = what
    rng = np.random.default_rng([seed, begin])
    swims = [draw_training_swim(rng) for _ in range(count)]
    steps = merge([swim.fixes for swim in swims], [swim.grid_s for swim in swims])
    seen = reference(steps, causal=causal)
    truth = seen.u.copy()
    for row, swim in enumerate(swims):
        truth[row, steps.asked[row]] = swim.truth[0]
    u, sd_rad, true_u = (torch.from_numpy(part).float() for part in (seen.u, seen.sd_rad, truth))
    lengths, counts = (torch.from_numpy(part) for part in (steps.valid.sum(axis=1), steps.asked & seen.began))
    return Pool(features=seen.features, lengths=lengths, u=u, sd_rad=sd_rad, truth=true_u, counts=counts)


def mirrored(pool: Pool) -> Pool:
    """The swims with east and west exchanged, as further examples."""
    flip = torch.tensor([-1.0, 1.0, 1.0])
    features = pool.features.clone()
    features[..., LEVEL_FEATURES] *= -1
    return replace(pool, features=features, u=pool.u * flip, truth=pool.truth * flip)


def _padded(part: Tensor, length: int) -> Tensor:
    if part.ndim == 1:
        return part
    filler = part[:, -1:].expand(-1, length - part.shape[1], *part.shape[2:])
    return torch.cat([part, filler if part.dtype != torch.bool else torch.zeros_like(filler)], dim=1)


def loss_of(tracker: Tracker, pool: Pool) -> Tensor:
    """Both angle losses on labels in [0, 1], plus the negative log likelihood of the error by Student's t. → scalar."""
    u, sd = answer(tracker, pool.features, pool.lengths, pool.u, pool.sd_rad)
    found, sd, truth = u[pool.counts], sd[pool.counts], pool.truth[pool.counts]
    azimuth, elevation = (torch.from_numpy(angle).float()[:, None] for angle in angles(truth.numpy()))
    label = elevation_label(torch.rad2deg(elevation)).clamp(0, 1)
    predicted = torch.atan2(found[:, :1], found[:, 1:2]) / (2 * math.pi)
    rising = torch.asin(found[:, 2:].clamp(-0.999999, 0.999999)) / math.pi + 0.5
    highest = math.asin(min(1.0, ARRAY_DEPTH_M / NEAREST_M)) / math.pi + 0.5
    angle_loss = AzimuthLoss()(predicted, (azimuth / (2 * math.pi)) % 1.0, azimuth_weight(label))
    # Labels of elevation are in half turns. The factor π²/2 makes their squares rad²/2, as in the azimuth loss.
    angle_loss = angle_loss + math.pi**2 / 2 * ElevationLoss(highest)(rising, label)
    error = _error(found, truth) / sd
    likelihood = sd.log() + (FREEDOM + 1) / 2 * torch.log1p(error.square() / FREEDOM)
    return ANGLE_WEIGHT * angle_loss + likelihood.sum(-1).mean()


def _error(found: Tensor, truth: Tensor) -> Tensor:
    """Offset of the true direction from the found one, (level, up) `[row, 2]` rad."""
    level, up = (torch.from_numpy(axis).to(found) for axis in tangents(found.detach().numpy()))
    return torch.stack([(truth * level).sum(-1), (truth * up).sum(-1)], dim=-1)


def train(out: Path, settings: Settings, *, resume: bool = False, report: Report = silent) -> Path:
    """Train a tracker into the folder `out`. Returns the path of the best weights; see `loop.Run`.

    Raises:
        ModelError, OutputError: as `loop.Run`.
    """
    run = Run(out, "tracker", settings, lambda: _network(settings), resume=resume)
    tracker, causal = run.network, not settings.smoother
    pool = build_pool(settings.seed, settings.swims, causal=causal, workers=settings.workers)
    judge = build_pool(settings.seed + 1_000_000, settings.held_out, causal=causal, workers=settings.workers)

    def loss_at(step: int) -> Tensor:
        rng = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
        batch = pool.of(torch.randint(len(pool.features), (settings.batch,), generator=rng))
        return loss_of(tracker, mirrored(batch) if step % 2 else batch)

    def card(kept: Tracker) -> dict[str, str]:
        kept.sd_factor.fill_(sd_factor(kept, judge))
        return {"data": f"simulated swims of {SECONDS:.0f} s (whalefinder.training.swims), no recordings"}

    return run.train(loss_at, lambda: validate(tracker, judge), card, report)


def _network(settings: Settings) -> Tracker:
    return Tracker(FEATURES, settings.hidden, smoother=settings.smoother, cell=settings.cell)


@torch.inference_mode()
def validate(tracker: Tracker, pool: Pool) -> dict[str, float]:
    """Loss, and the medians over swims of the r.m.s. errors of tracker and reference in degrees."""
    loss = float(loss_of(tracker, pool))
    u, _ = answer(tracker, pool.features, pool.lengths, pool.u, pool.sd_rad)
    return {"loss": loss, "error_deg": _median_rms(u, pool), "reference_deg": _median_rms(pool.u, pool)}


def _median_rms(u: Tensor, pool: Pool) -> float:
    square = (u - pool.truth).square().sum(-1) * pool.counts
    return float(torch.rad2deg((square.sum(1) / pool.counts.sum(1).clamp(min=1)).sqrt()).median())


@torch.inference_mode()
def sd_factor(tracker: Tracker, pool: Pool) -> float:
    """The factor on stated standard deviations by which 50 % and 90 % regions hold as many errors as they should.

    Large errors are more frequent than in a normal distribution, so the two regions need different factors. The result
    is their geometric mean.
    """
    u, sd = answer(tracker, pool.features, pool.lengths, pool.u, pool.sd_rad)
    distance = (_error(u[pool.counts], pool.truth[pool.counts]) / sd[pool.counts]).norm(dim=-1).numpy()
    shares = np.array([0.5, 0.9])
    # With a normal distribution of two dimensions, the distance has Rayleigh's distribution.
    return float(gmean(np.quantile(distance, shares) / rayleigh.ppf(shares)))
