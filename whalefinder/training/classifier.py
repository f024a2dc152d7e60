"""Recipe of the classifier: endless or finite labelled mixtures, and a temperature for the weights that are kept.

    whalefinder train classifier --out runs/classifier

Every step's examples, masks and dropout come from the seed and the step number, so a run that was stopped goes on
exactly.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from whalefinder.calls.classification import planes_of
from whalefinder.networks.classifier import Classifier
from whalefinder.results.records import LABELS, ORCA
from whalefinder.sound.spectrogram import frequencies_hz, stft
from whalefinder.training import labelled
from whalefinder.training.calibration import HeldOut, calibrate, logits_of, validation_scores
from whalefinder.training.clips import REAL_SOURCES
from whalefinder.training.labelled import LabelledClip, Sources
from whalefinder.training.loop import Report, Run, silent
from whalefinder.training.objective import Settings, make_optimiser, make_schedule, training_loss

CARD = {
    "data": f"simulated boats, calls, moans, wind and other sounds; {REAL_SOURCES}",
    "chosen_on": "real recordings of the dev split (calls S04 and S09 in dev ships), and new simulated sounds",
}

# Examples ------------------------------------------------------------------------------------------------------------


def indices_of(settings: Settings, step: int) -> list[int]:
    """Numbers of the examples of a step: in order, in a new order every epoch of a finite set, or evenly sampled."""
    places = range(step * settings.batch, (step + 1) * settings.batch)
    if settings.imbalance == "sampler":
        return _evenly(settings, step)
    if settings.examples is None:
        return list(places)
    epochs = {place // settings.examples for place in places}
    orders = {e: np.random.default_rng([settings.seed, 17, e]).permutation(settings.examples) for e in epochs}
    return [int(orders[place // settings.examples][place % settings.examples]) for place in places]


def _evenly(settings: Settings, step: int) -> list[int]:
    """Half of them orcas, drawn again and again where the set is finite."""
    rng = np.random.default_rng([settings.seed, 18, step])
    high = settings.examples or 2**31
    chosen: list[int] = []
    while len(chosen) < settings.batch:
        index = int(rng.integers(high))
        is_orca = labelled.class_of(settings.seed, index, settings.boat_ratio) == ORCA
        if is_orca == (len(chosen) % 2 == 0):
            chosen.append(index)
    return chosen


def clip_planes(clip: LabelledClip) -> Tensor:
    """Planes of a clip as a whole. → `[plane, frequency, frame]`."""
    return planes_of(stft(torch.from_numpy(clip.samples)[None]), frequencies_hz() <= clip.bandwidth_hz)


def held_out(settings: Settings) -> HeldOut:
    """Simulated mixtures with calls of the dev split, and the dev split's real mixtures (where there is data)."""
    few = settings.validation_clips
    judge = labelled.build_sources(
        settings.seed + 1_000_000, real_split="dev", num_calls=few // 2, num_boats=few // 8, num_nuisances=few // 4
    )
    drawn = labelled.draw(judge, settings.seed + 1_000_000, list(range(few)), augment=1)
    mixtures = labelled.evaluation_mixtures("dev", few)
    planes = [drawn.planes, *([torch.stack([clip_planes(clip) for clip in mixtures])] if mixtures else [])]
    labels = [*drawn.labels.tolist(), *(LABELS.index(clip.label) for clip in mixtures)]
    frames = min(part.shape[-1] for part in planes)
    real = torch.arange(len(labels)) >= few
    return HeldOut(torch.cat([part[..., :frames] for part in planes]), torch.tensor(labels), real)


# Loop ----------------------------------------------------------------------------------------------------------------


def train(
    out: Path, settings: Settings, *, sources: Sources | None = None, resume: bool = False, report: Report = silent
) -> Path:
    """Train a classifier into the folder `out`. Returns the path of the best weights, calibrated; see `loop.Run`.

    Args:
        sources: to mix from; default: simulation and the train split, drawn from the seed.
    """
    run = Run(
        out, "classifier", settings, lambda: _network(settings),
        resume=resume, optimiser=make_optimiser, schedule=make_schedule,
    )  # fmt: skip
    sources = sources or labelled.build_sources(
        settings.seed, num_calls=settings.pool_calls, num_boats=settings.pool_boats,
        num_nuisances=settings.pool_nuisances,
    )  # fmt: skip
    judge = held_out(settings)

    def loss_at(step: int) -> Tensor:
        augment = step if settings.augment else None
        indices = indices_of(settings, step)
        drawn = labelled.draw(sources, settings.seed, indices, augment=augment, boat_ratio=settings.boat_ratio)
        torch.manual_seed(settings.seed * 1_000_003 + step)  # dropout too goes on exactly
        return training_loss(run.network, drawn.planes, drawn.labels, settings)

    def scores_of(network: Classifier) -> dict[str, float]:
        return validation_scores(logits_of(network, judge.planes), judge)

    def card(network: Classifier) -> dict[str, object]:
        calibrate(network, judge)
        temperature = round(float(network.temperature), 4)
        return {"validation": scores_of(network), "temperature": temperature, "classes": LABELS, **CARD}

    return run.train(loss_at, lambda: scores_of(run.network), card, report)


def _network(settings: Settings) -> Classifier:
    network = Classifier(widths=settings.widths, dropout=settings.dropout)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
