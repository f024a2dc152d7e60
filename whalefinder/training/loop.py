"""The loop that all recipes share: one cycle of AdamW, validation, the best weights kept, stop and go on exactly."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import nn

from whalefinder.files import writing
from whalefinder.networks.weights import save_network
from whalefinder.training.checkpoint import append_curve, restore_checkpoint, save_checkpoint

Report = Callable[[int, float, dict[str, float] | None], None]
Network = TypeVar("Network", bound=nn.Module)


def silent(step: int, loss: float, scores: dict[str, float] | None) -> None:
    """A report that says nothing."""


class Run(Generic[Network]):
    """A training run in the folder `out`, from its beginning or from `out/last.pt`.

    Args:
        name: of the weights, `out/name.safetensors`.
        settings: a dataclass with steps, peak_rate, weight_decay, validate_every, patience, threads and seed.
        build: makes the network, after the seed is set.
        resume: go on from the checkpoint; the same settings are needed.
        warm_up: share of the steps in which the rate rises.

    Raises:
        ModelError: there is no checkpoint to go on from, or another one.
        OutputError: nothing can be written to `out`.
    """

    def __init__(
        self, out: Path, name: str, settings: Any, build: Callable[[], Network], *, resume: bool, warm_up: float = 0.15
    ) -> None:
        torch.set_num_threads(settings.threads)
        torch.manual_seed(settings.seed)
        with writing(out):
            out.mkdir(parents=True, exist_ok=True)
        self.out, self.weights, self.settings, self.network = out, out / f"{name}.safetensors", settings, build()
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=settings.peak_rate, weight_decay=settings.weight_decay
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, settings.peak_rate, settings.steps, pct_start=warm_up
        )
        self.state: dict[str, float] = {"step": 0, "best": math.inf, "stale": 0}
        if resume:
            self.state = restore_checkpoint(out / "last.pt", settings, self.network, self.optimiser, self.schedule)
        else:
            (out / "curve.csv").unlink(missing_ok=True)

    def train(
        self,
        take_step: Callable[[int], float],
        validate: Callable[[], dict[str, float]],
        card: Callable[[], dict[str, Any]],
        report: Report = silent,
    ) -> Path:
        """Take the steps. Returns the path of the best weights.

        Args:
            take_step: step number to loss.
            validate: scores; the first one, the lower the better, says which weights are kept.
            card: what the card of kept weights says besides settings and scores.
            report: called after every step with (step, loss, scores or None).

        Ctrl-C, like the end, leaves `last.pt`, the best weights and `curve.csv` behind.
        """
        settings, state, began = self.settings, self.state, time.monotonic()
        try:
            while state["step"] < settings.steps and state["stale"] < settings.patience:
                step = int(state["step"])
                loss = take_step(step)
                self.schedule.step()
                state["step"] = step + 1
                scores = None
                if (step + 1) % settings.validate_every == 0 or step + 1 == settings.steps:
                    scores = validate()
                    self._keep_best(scores, card, time.monotonic() - began)
                    append_curve(self.out / "curve.csv", step + 1, loss, scores)
                    self._save()
                report(step + 1, loss, scores)
        except KeyboardInterrupt:
            self._save()
            raise
        return self.weights

    def _keep_best(self, scores: dict[str, float], card: Callable[[], dict[str, Any]], seconds: float) -> None:
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
        save_network(self.network, self.weights, {**common, **card()})

    def _save(self) -> None:
        save_checkpoint(self.out / "last.pt", self.settings, self.network, self.optimiser, self.schedule, self.state)


def descend(network: nn.Module, optimiser: torch.optim.Optimizer, loss: torch.Tensor) -> float:
    """After forward and loss: zero the gradients, backward, step; in any other order it does not learn (specification §4)."""
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimiser.step()
    return float(loss.detach())
