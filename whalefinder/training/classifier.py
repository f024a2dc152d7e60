"""Recipe of the classifier: labelled mixtures, without end or a fixed number, and calibration of the weights kept.

    whalefinder train classifier --out runs/classifier

The examples, masks and dropout of every step are drawn from the seed and the step number. So a run that was stopped
continues exactly as if it had not been stopped.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from whalefinder.calls.classification import planes_of
from whalefinder.networks.classifier import Classifier
from whalefinder.networks.weights import take_all, take_trunk
from whalefinder.results.records import LABELS, ORCA
from whalefinder.sound.spectrogram import frequencies_hz, stft
from whalefinder.training import labelled
from whalefinder.training.calibration import HeldOut, calibrate, logits_of, validation_scores
from whalefinder.training.clips import REAL_SOURCES
from whalefinder.training.labelled import LabelledClip, Sources
from whalefinder.training.loop import Report, Run, silent
from whalefinder.training.objective import Settings, make_optimiser, make_schedule, training_loss

CARD = {
    "data": f"simulated boats, calls, other cetaceans, wind and 55 kinds of other sounds; {REAL_SOURCES}; of the same "
    "split, all MIT: calls of Bigg's and of southern residents of other recorders, humpbacks and sperm whales (riptide), "
    "stations without orcas (NOAA SanctSound, osekit)",
    "chosen_on": "real recordings of the dev split (calls S04 and S09 in dev ships; stations without orcas), and new "
    "simulated sounds, with nuisances of five kinds that training never draws",
}

# Examples ------------------------------------------------------------------------------------------------------------


def indices_of(settings: Settings, step: int) -> list[int]:
    """Numbers of the examples of a step: in order, in a new order every epoch (finite set), or half of them orcas."""
    places = range(step * settings.batch, (step + 1) * settings.batch)
    if settings.imbalance == "sampler":
        return _evenly(settings, step)
    if settings.examples is None:
        return list(places)
    epochs = {place // settings.examples for place in places}
    orders = {e: np.random.default_rng([settings.seed, 17, e]).permutation(settings.examples) for e in epochs}
    return [int(orders[place // settings.examples][place % settings.examples]) for place in places]


def _evenly(settings: Settings, step: int) -> list[int]:
    """Numbers of examples of which half are orcas. In a finite set examples can be drawn more than once."""
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
    """Input planes of a whole clip. → `[plane, frequency, frame]`."""
    return planes_of(stft(torch.from_numpy(clip.samples)[None]), frequencies_hz() <= clip.bandwidth_hz)


def held_out(settings: Settings) -> HeldOut:
    """Examples for validation: simulated mixtures, and if there is data real sound of the dev split and nuisances."""
    few = settings.validation_clips
    judge = labelled.build_sources(
        settings.seed + 1_000_000, real_split="dev", num_calls=few // 2, num_boats=few // 8, num_nuisances=few // 4
    )
    drawn = labelled.draw(judge, settings.seed + 1_000_000, list(range(few)), augment=1, marks=settings.marks)
    mixtures = [*labelled.evaluation_mixtures("dev", few), *labelled.station_windows("dev")]
    if mixtures:  # nuisances alone have no orca to calibrate by
        mixtures += labelled.nuisance_windows("dev")
    planes = [drawn.planes]
    if mixtures:
        sound = torch.stack([clip_planes(clip) for clip in mixtures])
        planes.append(torch.cat([sound, torch.ones_like(sound[:, :1])], dim=1) if settings.marks else sound)
    labels = [*drawn.labels.tolist(), *(LABELS.index(clip.label) for clip in mixtures)]
    frames = min(part.shape[-1] for part in planes)
    real = torch.arange(len(labels)) >= few
    return HeldOut(torch.cat([part[..., :frames] for part in planes]), torch.tensor(labels), real)


@dataclass(frozen=True)
class Batches(Dataset[tuple[Tensor, Tensor]]):
    """The planes and labels of every step, by its number. So a process of its own can draw them ahead."""

    sources: Sources
    settings: Settings

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        settings = self.settings
        drawn = labelled.draw(
            self.sources, settings.seed, indices_of(settings, step), augment=step if settings.augment else None,
            boat_ratio=settings.boat_ratio, marks=settings.marks,
        )  # fmt: skip
        return drawn.planes, drawn.labels


# Loop ----------------------------------------------------------------------------------------------------------------


def train(
    out: Path,
    settings: Settings,
    *,
    sources: Sources | None = None,
    resume: bool = False,
    workers: int = 0,
    report: Report = silent,
) -> Path:
    """Train a classifier.

    Args:
        out: folder of the weights, the checkpoint and the curve.
        settings: what the run depends on.
        sources: the sounds to mix, or None for simulated ones and the train split, drawn from the seed.
        resume: continue from the checkpoint in `out`.
        workers: processes that draw examples ahead. 0: they are drawn in this process. The weights are the same.
        report: is called after every step, see `loop.Run.train`.

    Returns:
        Path of the best weights, which are calibrated.

    Raises:
        ModelError, OutputError: as `loop.Run`.
    """
    run = Run(
        out, "classifier", settings, lambda: _network(settings),
        resume=resume, optimiser=make_optimiser, schedule=make_schedule,
    )  # fmt: skip
    sources = sources or labelled.build_sources(
        settings.seed, num_calls=settings.pool_calls, num_boats=settings.pool_boats,
        num_nuisances=settings.pool_nuisances, leave_out=settings.leave_out,
    )  # fmt: skip
    judge = held_out(settings)

    steps = range(int(run.state["step"]), settings.steps)
    batches = iter(DataLoader(Batches(sources, settings), batch_size=None, sampler=steps, num_workers=workers))

    def loss_at(step: int) -> Tensor:
        planes, labels = next(batches)
        torch.manual_seed(settings.seed * 1_000_003 + step)  # so that dropout too is the same after a stop
        return training_loss(run.network, planes, labels, settings)

    def scores_of(network: Classifier) -> dict[str, float]:
        return validation_scores(logits_of(network, judge.planes), judge)

    def card(network: Classifier) -> dict[str, object]:
        calibrate(network, judge)
        temperature = round(float(network.temperature), 4)
        return {"validation": scores_of(network), "temperature": temperature, "classes": LABELS, **CARD}

    return run.train(loss_at, lambda: scores_of(run.network), card, report)


def _network(settings: Settings) -> Classifier:
    network = Classifier(widths=settings.widths, dropout=settings.dropout, marks=settings.marks)
    if settings.trunk is not None:
        take_trunk(network, settings.trunk)
    if settings.start is not None:
        take_all(network, settings.start)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
