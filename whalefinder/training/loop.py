"""The training loop of all recipes: draw, forward, loss, backward, step; validate, keep the best weights, resume."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from whalefinder.files import writing
from whalefinder.networks.weights import save_network
from whalefinder.training.checkpoint import append_curve, restore_checkpoint, save_checkpoint

Report = Callable[[int, float, dict[str, float] | None], None]
Network = TypeVar("Network", bound=nn.Module)


def silent(step: int, loss: float, scores: dict[str, float] | None) -> None:
    """A report that does nothing."""


def adamw(network: nn.Module, settings: Any) -> torch.optim.Optimizer:
    """AdamW for all weights, with `settings.peak_rate` and `settings.weight_decay`."""
    return torch.optim.AdamW(network.parameters(), settings.peak_rate, weight_decay=settings.weight_decay)


def one_cycle(warm_up: float) -> Callable[[torch.optim.Optimizer, Any], LRScheduler]:
    """A schedule whose learning rate rises during the share `warm_up` of the steps and falls during the rest."""
    return lambda optimiser, settings: OneCycleLR(optimiser, settings.peak_rate, settings.steps, pct_start=warm_up)


def descend(network: nn.Module, optimiser: torch.optim.Optimizer, loss: Tensor) -> float:
    """One step after forward and loss: zero the gradients, backward, step. → the loss.

    In another order the network does not learn (docs/paper.md, 6.2). Gradients are clipped to a norm of 1.
    """
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimiser.step()
    return float(loss.detach())


def descents(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    schedule: LRScheduler,
    loss_at: Callable[[int], Tensor],
    steps: range,
) -> Iterator[tuple[int, float]]:
    """Take the steps one after the other. Yields (number of steps taken, loss).

    Args:
        network: the network to train.
        optimiser, schedule: its optimiser and learning-rate schedule.
        loss_at: draws the examples of a step (from 0) and returns the loss of the network on them.
        steps: numbers of the steps.
    """
    for step in steps:
        loss = descend(network, optimiser, loss_at(step))
        schedule.step()
        yield step + 1, loss


class Run(Generic[Network]):
    """A training run in the folder `out`, from its beginning or from `out/last.pt`.

    Args:
        out: folder of the weights, the checkpoint and the curve.
        name: name of the weights, `out/name.safetensors`.
        settings: a dataclass with steps, peak_rate, weight_decay, validate_every, patience, threads and seed.
        build: builds the network; it is called after the seed is set.
        resume: continue from the checkpoint, which needs the same settings.
        optimiser, schedule: functions that make them from (network, settings) and (optimiser, settings).

    Raises:
        ModelError: there is no checkpoint to continue from, or it has other settings.
        OutputError: files cannot be written to `out`.
    """

    def __init__(
        self,
        out: Path,
        name: str,
        settings: Any,
        build: Callable[[], Network],
        *,
        resume: bool,
        optimiser: Callable[[nn.Module, Any], torch.optim.Optimizer] = adamw,
        schedule: Callable[[torch.optim.Optimizer, Any], LRScheduler] = one_cycle(0.15),
    ) -> None:
        torch.set_num_threads(settings.threads)
        torch.manual_seed(settings.seed)
        with writing(out):
            out.mkdir(parents=True, exist_ok=True)
        self.out, self.weights, self.settings, self.network = out, out / f"{name}.safetensors", settings, build()
        self.optimiser = optimiser(self.network, settings)
        self.schedule = schedule(self.optimiser, settings)
        self.state: dict[str, float] = {"step": 0, "best": math.inf, "stale": 0, "loss_sum": 0.0, "losses": 0}
        if resume:
            self.state = restore_checkpoint(out / "last.pt", settings, self.network, self.optimiser, self.schedule)
        else:
            (out / "curve.csv").unlink(missing_ok=True)

    def train(
        self,
        loss_at: Callable[[int], Tensor],
        validate: Callable[[], dict[str, float]],
        card: Callable[[Network], dict[str, Any]],
        report: Report = silent,
    ) -> Path:
        """Train to the last step, or until validation no longer improves. Returns the path of the best weights.

        After the end, and also after Ctrl-C, `out` holds the checkpoint `last.pt`, the best weights and `curve.csv`.

        Args:
            loss_at: see `descents`.
            validate: returns scores. The weights with the lowest first score are kept.
            card: gets a copy of the network before its weights are kept, and may calibrate it. It returns what the card
                of the weights says besides settings and scores.
            report: is called after every step with (step, loss, scores or None).
        """
        settings, state, began = self.settings, self.state, time.monotonic()
        left = range(int(state["step"]), settings.steps)
        steps = descents(self.network, self.optimiser, self.schedule, loss_at, left)
        try:
            while state["stale"] < settings.patience and (taken := next(steps, None)) is not None:
                step, loss = taken
                state.update(step=step, loss_sum=state["loss_sum"] + loss, losses=state["losses"] + 1)
                scores = None
                if step % settings.validate_every == 0 or step == settings.steps:
                    scores = validate()
                    self._keep_best(scores, card, time.monotonic() - began)
                    append_curve(self.out / "curve.csv", step, state["loss_sum"] / state["losses"], scores)
                    state.update(loss_sum=0.0, losses=0)
                    self._save()
                report(step, loss, scores)
        except KeyboardInterrupt:
            self._save()
            raise
        return self.weights

    def _keep_best(self, scores: dict[str, float], card: Callable[[Network], dict[str, Any]], seconds: float) -> None:
        score = next(iter(scores.values()))
        if score >= self.state["best"]:
            self.state["stale"] += 1
            return
        self.state["best"], self.state["stale"] = score, 0
        common = {
            "settings": asdict(self.settings),
            "step": self.state["step"],
            "minutes": round(seconds / 60, 1),
            "validation": scores,
            "licence": "BSD-3-Clause",
        }
        kept = copy.deepcopy(self.network)
        facts = card(kept)
        with writing(self.weights):
            save_network(kept, self.weights, {**common, **facts})

    def _save(self) -> None:
        save_checkpoint(self.out / "last.pt", self.settings, self.network, self.optimiser, self.schedule, self.state)
