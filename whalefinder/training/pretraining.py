"""Recipe of the trunk: the classifier's layers learn from sound without labels, before there are any.

    whalefinder train trunk --out runs/trunk
    whalefinder train classifier --trunk runs/trunk/trunk.safetensors

Blocks of a spectrogram are covered, and the network paints them (`networks.inpainting`). The sound comes from all
recordings that may be used for training, whatever is in them, and from the classifier's mixtures, whose labels are not
looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import update_bn

from whalefinder.calls.classification import WINDOW_FRAMES, planes_of
from whalefinder.networks.inpainting import CELL, Inpainter
from whalefinder.sound.spectrogram import frequencies_hz
from whalefinder.training import labelled
from whalefinder.training.clips import find_clips
from whalefinder.training.labelled import Sources
from whalefinder.training.loop import Report, Run, silent
from whalefinder.training.sounds import cut, mono_spectrum

BLOCK = (4, 3)  # cells that are covered together: 0.75 kHz x 0.26 s, more than a contour can be guessed across
KINDS = ("ambient", "boats", "calls", "field", "other_species")
CARD = {
    "data": "all recordings of the train split of which training is permitted, whatever is in them, and simulated "
    "mixtures; no labels",
    "chosen_on": "other mixtures",
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of a run. They are written into the card of its weights.

    Args:
        steps, batch: number of steps, and of windows in each. Half of the windows are of recordings, if there are any.
        peak_rate, weight_decay: of AdamW.
        covered: share of the blocks that are covered.
        widths: channels of the residual stages, as of the classifier that takes over the trunk.
        seed: of everything random.
        pool_calls, pool_boats, pool_nuisances: how many simulated sounds to mix.
        validate_every, validation_windows: steps between validations, and windows in each.
        patience: training stops after this many validations without a better loss.
        threads: threads of the processor.
    """

    steps: int = 4_000
    batch: int = 32
    peak_rate: float = 2e-3
    weight_decay: float = 1e-2
    covered: float = 0.5
    widths: tuple[int, ...] = (16, 32, 64, 128, 192)
    seed: int = 1
    pool_calls: int = 1500
    pool_boats: int = 300
    pool_nuisances: int = 1800
    validate_every: int = 250
    validation_windows: int = 96
    patience: int = 16
    threads: int = 1


@dataclass(frozen=True)
class Recording:
    """A recording: spectrum `[frequency, frame]`, and the frequencies that its recorder can hear `[frequency]` bool."""

    spectrum: Tensor
    valid: Tensor


def recordings() -> list[Recording]:
    """All recordings of which training is permitted. [] without data."""
    clips = [clip for kind in KINDS for clip in find_clips(kind, "train", "train")]
    return [Recording(mono_spectrum(clip.read()), frequencies_hz() <= clip.bandwidth_hz) for clip in clips]


def windows(sources: Sources, real: Sequence[Recording], seed: int, step: int, batch: int) -> Tensor:
    """The windows of a step, `[batch, plane, frequency, frame]`. Every recording is as likely, however long it is."""
    rng = np.random.default_rng([seed, 21, step])
    chosen = [real[int(k)] for k in rng.integers(len(real), size=batch // 2)] if real else []
    parts = [planes_of(cut(rng, each.spectrum, WINDOW_FRAMES)[None], each.valid) for each in chosen]
    numbers = range(step * batch, step * batch + batch - len(parts))
    return torch.cat(
        [labelled.draw(sources, seed, list(numbers), augment=step).planes, *(part[None] for part in parts)]
    )


def covers(rng: np.random.Generator, planes: Tensor, share: float) -> Tensor:
    """Which cells of windows are covered, in whole blocks, each with the probability `share`.

    Shape:
        `[batch, plane, frequency, frame]` → `[batch, 1, frequency / CELL, frame / CELL]` bool, rounded up.
    """
    cells = [-(-length // CELL) for length in planes.shape[-2:]]
    rows, columns = (-(-length // block) for length, block in zip(cells, BLOCK, strict=True))
    blocks = torch.from_numpy(rng.random((len(planes), 1, rows, columns)) < share)
    return blocks.repeat_interleave(BLOCK[0], -2).repeat_interleave(BLOCK[1], -1)[..., : cells[0], : cells[1]]


def painting_loss(network: Inpainter, planes: Tensor, covered: Tensor) -> Tensor:
    """The share of the variance of the covered cells that the painting does not explain, mean over the planes. → scalar.

    Cells that are not covered do not count, nor those above the recorder's band, which are 0 in every plane.

    Args:
        network: paints.
        planes: windows, `[batch, plane, frequency, frame]`.
        covered: as from `covers`. There the network gets 0, which is the usual level of its frequency.
    """
    pixels = covered.repeat_interleave(CELL, -2).repeat_interleave(CELL, -1)[
        ..., : planes.shape[-2], : planes.shape[-1]
    ]
    painted = network(planes.masked_fill(pixels, 0.0)).movedim(1, 0)
    true = torch.nn.functional.avg_pool2d(planes, CELL, ceil_mode=True).movedim(1, 0)
    counted = covered[:, 0] & (true != 0).any(0)
    error, variance = (painted - true)[:, counted].square().mean(1), true[:, counted].var(1, correction=0)
    return (error / variance.clamp(min=1e-6)).mean()


@torch.no_grad()
def held_out_loss(network: Inpainter, planes: Tensor, covered: Tensor, batch: int = 32) -> float:
    """Loss on windows that training does not use, without dropout."""
    training, network = network.training, network.eval()
    parts = zip(planes.split(batch), covered.split(batch), strict=True)
    losses = [float(painting_loss(network, *part)) for part in parts]
    network.train(training)
    return float(np.mean(losses))


def train(
    out: Path,
    settings: Settings,
    *,
    sources: Sources | None = None,
    real: Sequence[Recording] | None = None,
    resume: bool = False,
    report: Report = silent,
) -> Path:
    """Train a trunk.

    Args:
        out: folder of the weights `trunk.safetensors`, the checkpoint and the curve.
        settings: what the run depends on.
        sources: the sounds to mix, or None for those of the classifier, drawn from the seed.
        real: the recordings, or None for all that are permitted.
        resume: continue from the checkpoint in `out`.
        report: is called after every step, see `loop.Run.train`.

    Returns:
        Path of the best weights.

    Raises:
        ModelError, OutputError: as `loop.Run`.
    """
    run = Run(out, "trunk", settings, lambda: _network(settings), resume=resume)
    sources = sources or labelled.build_sources(
        settings.seed, num_calls=settings.pool_calls, num_boats=settings.pool_boats,
        num_nuisances=settings.pool_nuisances,
    )  # fmt: skip
    real = recordings() if real is None else real
    judge = windows(sources, real, settings.seed + 1_000_000, 0, settings.validation_windows)
    judged = covers(np.random.default_rng([settings.seed, 23]), judge, settings.covered)

    def loss_at(step: int) -> Tensor:
        planes = windows(sources, real, settings.seed, step, settings.batch)
        covered = covers(np.random.default_rng([settings.seed, 22, step]), planes, settings.covered)
        return painting_loss(run.network, planes, covered)

    def scores() -> dict[str, float]:
        return {"unexplained": held_out_loss(run.network, judge, judged)}

    def card(network: Inpainter) -> dict[str, object]:
        update_bn(judge.split(settings.batch), network)  # the classifier sees windows of which nothing is covered
        return {**CARD, "recordings": len(real)}

    return run.train(loss_at, scores, card, report)


def _network(settings: Settings) -> Inpainter:
    network = Inpainter(widths=settings.widths, dropout=0.0, marks=True)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
