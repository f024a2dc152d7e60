"""Recipe of the classifier: endless or finite labelled mixtures, a Lightning loop, a temperature at the end.

    whalefinder train classifier --out runs/classifier

Every step's examples, masks and dropout come from the seed and the step number, so a run that was stopped goes on
exactly from its last validation.
"""

from __future__ import annotations

import json
import logging
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from whalefinder.calls.classification import planes_of
from whalefinder.errors import ModelError
from whalefinder.files import writing
from whalefinder.networks.classifier import Classifier
from whalefinder.networks.weights import save_network
from whalefinder.optional import needs
from whalefinder.results.records import LABELS
from whalefinder.sound.spectrogram import frequencies_hz, stft
from whalefinder.training import labelled
from whalefinder.training.calibration import HeldOut, calibrate, logits_of, validation_scores
from whalefinder.training.checkpoint import append_curve
from whalefinder.training.labelled import ORCA, LabelledClip, Sources
from whalefinder.training.loop import Report, silent
from whalefinder.training.objective import IMBALANCE as IMBALANCE
from whalefinder.training.objective import Settings, classification_loss, l2_penalty, make_optimiser, make_schedule

needs("lightning", what="training")
import lightning as L  # noqa: E402
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint  # noqa: E402

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


class _Steps(IterableDataset[tuple[Tensor, Tensor]]):
    """Batches of the steps [begin, end)."""

    def __init__(self, sources: Sources, settings: Settings, begin: int, end: int) -> None:
        self.sources, self.settings, self.span = sources, settings, range(begin, end)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        settings = self.settings
        for step in self.span:
            augment = step if settings.augment else None
            indices = indices_of(settings, step)
            drawn = labelled.draw(self.sources, settings.seed, indices, augment=augment, boat_ratio=settings.boat_ratio)
            yield drawn.planes, drawn.labels


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


class _Recipe(L.LightningModule):
    """The network, its loss, its optimiser and its data, as Lightning wants them."""

    def __init__(self, settings: Settings, sources: Sources, judge: HeldOut, out: Path, report: Report) -> None:
        super().__init__()
        self.settings, self.sources, self.judge, self.out, self.report = settings, sources, judge, out, report
        self.network = Classifier(widths=settings.widths, dropout=settings.dropout)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.losses: list[float] = []

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """One step; Lightning zeroes the gradients, goes backward and steps, in this order."""
        torch.manual_seed(self.settings.seed * 1_000_003 + self.global_step)  # dropout too goes on exactly
        planes, labels = batch
        loss = classification_loss(self.network(planes), labels, self.settings)
        self.losses.append(float(loss.detach()))
        self.report(self.global_step + 1, self.losses[-1], None)
        return loss + l2_penalty(self.network, self.settings.l2) if self.settings.l2 else loss

    def on_train_epoch_end(self) -> None:
        """Validate: an epoch is `validate_every` steps."""
        scores = validation_scores(logits_of(self.network, self.judge.planes), self.judge)
        self.log_dict(scores)
        mean_loss, self.losses = sum(self.losses) / max(1, len(self.losses)), []
        append_curve(self.out / "curve.csv", self.global_step, mean_loss, scores)
        self.report(self.global_step, mean_loss, scores)

    def train_dataloader(self) -> DataLoader[Any]:
        """The steps until the next validation."""
        begin = self.global_step
        self.losses.clear()
        end = min(self.settings.steps, begin + self.settings.validate_every)
        return DataLoader(_Steps(self.sources, self.settings, begin, end), batch_size=None)

    def configure_optimizers(self) -> Any:
        """Optimiser and schedule, by step."""
        optimiser = make_optimiser(self.network, self.settings)
        schedule = make_schedule(optimiser, self.settings)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def train(
    out: Path, settings: Settings, *, sources: Sources | None = None, resume: bool = False, report: Report = silent
) -> Path:
    """Train a classifier into the folder `out`. Returns the path of the best weights, calibrated.

    Args:
        sources: to mix from; default: simulation and the train split, drawn from the seed.
        resume: go on from `out/last.ckpt`; the same settings are needed.
        report: called after every step with (step, loss, scores or None).

    Raises:
        ModelError: there is no checkpoint to go on from, or one of other settings.
        OutputError: nothing can be written to `out`.

    Ctrl-C leaves `last.ckpt`, of the last validation, and `curve.csv` behind.
    """
    torch.set_num_threads(settings.threads)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    checkpoint = _checkpoint(out, settings) if resume else None
    if not resume:
        for name in ("curve.csv", "last.ckpt", "best.ckpt"):
            (out / name).unlink(missing_ok=True)
        with writing(out):
            (out / "settings.json").write_text(json.dumps(asdict(settings)) + "\n")
    sources = sources or labelled.build_sources(
        settings.seed, num_calls=settings.pool_calls, num_boats=settings.pool_boats,
        num_nuisances=settings.pool_nuisances,
    )  # fmt: skip
    torch.manual_seed(settings.seed)
    recipe = _Recipe(settings, sources, held_out(settings), out, report)
    began = time.monotonic()
    _fit(recipe, checkpoint)
    return _export(recipe, time.monotonic() - began)


def _checkpoint(out: Path, settings: Settings) -> Path:
    path = out / "last.ckpt"
    if not path.exists():
        raise ModelError(f"{path}: no checkpoint to resume from; start without --resume")
    try:
        then = json.loads((out / "settings.json").read_text())
    except (OSError, json.JSONDecodeError) as reason:
        raise ModelError(f"{out / 'settings.json'}: cannot be read ({reason}); start without --resume") from reason
    now = json.loads(json.dumps(asdict(settings)))
    changed = [f"{k} was {then.get(k)}, now {v}" for k, v in now.items() if then.get(k) != v]
    if changed:
        raise ModelError(f"{path}: settings differ ({'; '.join(changed)}); resume with the same ones")
    return path


def _fit(recipe: _Recipe, checkpoint: Path | None) -> None:
    settings = recipe.settings
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    keep = ModelCheckpoint(recipe.out, "best", "validation", mode="min", save_last=True, enable_version_counter=False)
    stop = EarlyStopping("validation", patience=settings.patience, mode="min", check_on_train_epoch_end=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = L.Trainer(
            accelerator="cpu", devices=1, max_epochs=-(-settings.steps // settings.validate_every), logger=False, enable_progress_bar=False,
            enable_model_summary=False, gradient_clip_val=1.0, reload_dataloaders_every_n_epochs=1,
            callbacks=[keep, stop],
        )  # fmt: skip
        try:
            trainer.fit(recipe, ckpt_path=None if checkpoint is None else str(checkpoint))
        except SystemExit as reason:  # how Lightning answers to Ctrl-C
            raise KeyboardInterrupt from reason
    if trainer.interrupted:
        raise KeyboardInterrupt


def _export(recipe: _Recipe, seconds: float) -> Path:
    """The best weights with their temperature, as safetensors and card."""
    best = torch.load(recipe.out / "best.ckpt", weights_only=True)
    recipe.load_state_dict(best["state_dict"])
    network = recipe.network.eval()
    calibrate(network, recipe.judge)
    logits = logits_of(network, recipe.judge.planes)
    weights = recipe.out / "classifier.safetensors"
    card = {
        "settings": asdict(recipe.settings),
        "step": best["global_step"],
        "minutes": round(seconds / 60, 1),
        "validation": validation_scores(logits, recipe.judge),
        "temperature": round(float(network.temperature), 4),
        "classes": LABELS,
        "licence": "BSD-3-Clause",
    }
    with writing(weights):
        save_network(network, weights, {**card, **CARD})
    return weights


CARD = {
    "data": "simulated boats, calls, moans, wind and nuisances; manifest rows with split=train and use=train "
    "(Ford call catalogue, Open Government Licence - Canada 2.0; Orcasound and spectrace clips, MIT or CC0)",
    "chosen_on": "manifest rows with split=dev (calls S04 and S09 in dev ships), held-out simulation",
}
