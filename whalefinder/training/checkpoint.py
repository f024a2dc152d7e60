"""Checkpoints and curves of training runs. A run that was stopped continues exactly as if it had not been stopped."""

from __future__ import annotations

import csv
import json
import pickle
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from whalefinder.errors import ModelError
from whalefinder.files import replacing


def append_curve(path: Path, step: int, loss: float, scores: dict[str, float]) -> None:
    """Append a row to the training curve (CSV): step, training loss, validation scores."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        rows = csv.writer(file)
        if new:
            rows.writerow(["step", "training_loss", *scores])
        rows.writerow([step, round(loss, 5), *(round(value, 5) for value in scores.values())])


def save_checkpoint(
    path: Path,
    settings: Any,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    state: dict[str, float],
) -> None:
    """Write all that a run needs to continue. A run that is stopped while it writes keeps the old checkpoint.

    Raises:
        OutputError: the file cannot be written.
    """
    parts = {"network": network.state_dict(), "optimiser": optimiser.state_dict(), "schedule": schedule.state_dict()}
    with replacing(path) as beside:
        torch.save({**parts, "state": json.dumps(state), "settings": json.dumps(asdict(settings))}, beside)


def restore_checkpoint(
    path: Path,
    settings: Any,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> dict[str, float]:
    """Load a checkpoint into network, optimiser and schedule. Returns the state of the run.

    Raises:
        ModelError: there is no checkpoint, it is damaged, or it was made with other settings.
    """
    if not path.exists():
        raise ModelError(f"{path}: no checkpoint to resume from; start without `resume`")
    try:
        parts = torch.load(path, weights_only=True)  # weights_only loads tensors and text, and runs no code
        then = json.loads(parts["settings"])
    except (RuntimeError, KeyError, OSError, EOFError, pickle.UnpicklingError) as reason:
        raise ModelError(f"{path}: damaged checkpoint ({reason}); start without `resume`") from reason
    now = json.loads(json.dumps(asdict(settings)))  # JSON turns tuples into lists
    changed = [f"{k} was {then.get(k)}, now {v}" for k, v in now.items() if then.get(k) != v]
    if changed:
        raise ModelError(f"{path}: settings differ ({'; '.join(changed)}); resume with the same ones")
    network.load_state_dict(parts["network"])
    optimiser.load_state_dict(parts["optimiser"])
    schedule.load_state_dict(parts["schedule"])
    state: dict[str, float] = json.loads(parts["state"])
    return state
