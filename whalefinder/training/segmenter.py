"""Recipe of the segmentation network: simulated mixtures, soft labels, one cycle of AdamW.

    whalefinder train segmenter --out runs/segmenter --minutes 75

Everything is drawn from the seed and the step number, so a run that was stopped continues exactly.
"""

from __future__ import annotations

import csv
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from whalefinder import spectrogram
from whalefinder.errors import ModelError
from whalefinder.networks import save_network
from whalefinder.networks.segmentation import CLASSES, SegmentationNetwork
from whalefinder.training import mixtures

CALL = CLASSES.index("call")


@dataclass(frozen=True)
class Settings:
    """What a run depends on; written into the card of its weights."""

    steps: int = 6000
    batch: int = 8
    peak_rate: float = 4e-3
    weight_decay: float = 1e-2
    hidden_channels: int = 16
    seed: int = 1
    pool_calls: int = 1200
    pool_boats: int = 250
    validate_every: int = 250
    validation_batches: int = 8
    patience: int = 8  # validations without a better loss before it stops
    threads: int = 2


def soft_cross_entropy(logits: Tensor, shares: Tensor, valid: Tensor) -> Tensor:
    """Mean over bins of -Σ_c share_c log p_c, less the entropy of the shares: 0 when the split is perfect.

    Shape:
        `[batch, class, frequency, frame]` twice and `[batch, frequency]` → scalar (nats per bin).
    """
    divergence = (torch.special.xlogy(shares, shares) - shares * logits.log_softmax(1)).sum(1)
    weight = valid[:, :, None].to(divergence.dtype).expand_as(divergence)
    return (divergence * weight).sum() / weight.sum()


def second_pass(network: nn.Module, spectra: Tensor) -> Tensor:
    """Features that know the first pass: bins it takes for a call no longer count as noise."""
    training = network.training
    network.eval()
    with torch.no_grad():
        first = network(_contiguous(spectrogram.features(spectra))).softmax(1)[:, CALL]
    network.train(training)
    return spectrogram.features(spectra, first)


def train_step(network: nn.Module, optimiser: torch.optim.Optimizer, planes: Tensor, mixture: mixtures.Mixture) -> float:
    """Forward, loss, zero the gradients, backward, step: in any other order it does not learn."""
    loss = soft_cross_entropy(network(_contiguous(planes)), mixture.shares, mixture.valid)
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimiser.step()
    return float(loss.detach())


@torch.no_grad()
def validate(network: nn.Module, batches: list[mixtures.Mixture]) -> dict[str, float]:
    """Losses of the first and the second pass, on mixtures that training never sees."""
    network.eval()
    first = second = 0.0
    for mixture in batches:
        logits = network(_contiguous(spectrogram.features(mixture.spectra)))
        first += float(soft_cross_entropy(logits, mixture.shares, mixture.valid))
        logits = network(_contiguous(second_pass(network, mixture.spectra)))
        second += float(soft_cross_entropy(logits, mixture.shares, mixture.valid))
    network.train()
    return {"first_pass": first / len(batches), "second_pass": second / len(batches)}


def train(
    out: Path,
    settings: Settings,
    *,
    resume: bool = False,
    report: Callable[[int, float, dict[str, float] | None], None] = lambda step, loss, scores: None,
) -> Path:
    """Train a segmenter into the folder `out`. Returns the path of the best weights.

    Args:
        report: called after every step with (step, loss, validation scores or None).
        resume: go on from `out/last.pt`.

    Ctrl-C, like the end, leaves `last.pt`, the best weights and `curve.csv` behind.
    """
    torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    out.mkdir(parents=True, exist_ok=True)
    network = SegmentationNetwork(len(spectrogram.FEATURES), settings.hidden_channels, len(CLASSES))
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.peak_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.peak_rate, settings.steps, pct_start=0.15)
    state = {"step": 0, "best": math.inf, "stale": 0}
    if resume:
        state = _restore(out / "last.pt", network, optimiser, schedule)
    pool = mixtures.build_pool(settings.seed, settings.pool_calls, settings.pool_boats)
    judge = mixtures.build_pool(settings.seed + 1_000_000, 60, 20, real_split="dev")
    held_out = [mixtures.draw(judge, (settings.seed, 2, k), settings.batch) for k in range(settings.validation_batches)]
    rate_of_first_pass = 0.5
    began = time.monotonic()
    try:
        while state["step"] < settings.steps and state["stale"] < settings.patience:
            step = int(state["step"])
            mixture = mixtures.draw(pool, (settings.seed, 3, step), settings.batch)
            blind = torch.Generator().manual_seed(settings.seed * 10_000_000 + step)
            if float(torch.rand((), generator=blind)) < rate_of_first_pass:
                planes = spectrogram.features(mixture.spectra)
            else:
                planes = second_pass(network, mixture.spectra)
            loss = train_step(network, optimiser, planes, mixture)
            schedule.step()
            state["step"] = step + 1
            scores = None
            if (step + 1) % settings.validate_every == 0 or step + 1 == settings.steps:
                scores = validate(network, held_out)
                _keep_best(network, scores, state, out, settings, time.monotonic() - began)
                _append_curve(out / "curve.csv", step + 1, loss, scores)
                _save(out / "last.pt", network, optimiser, schedule, state)
            report(step + 1, loss, scores)
    except KeyboardInterrupt:
        _save(out / "last.pt", network, optimiser, schedule, state)
        raise
    return out / "segmenter.safetensors"


def _contiguous(planes: Tensor) -> Tensor:
    return planes.contiguous(memory_format=torch.channels_last)


def _keep_best(
    network: SegmentationNetwork, scores: dict[str, float], state: dict, out: Path, settings: Settings, seconds: float
) -> None:
    if scores["second_pass"] < state["best"]:
        state["best"], state["stale"] = scores["second_pass"], 0
        card = {
            "settings": asdict(settings),
            "step": state["step"],
            "minutes": round(seconds / 60, 1),
            "validation": scores,
            "data": "simulated boats; simulated calls; manifest rows with split=train and use=train "
            "(Ford call catalogue, Open Government Licence - Canada 2.0; Orcasound and spectrace clips, MIT or CC0)",
            "chosen_on": "manifest rows with split=dev (calls S04 and S09, dev ships)",
            "licence": "BSD-3-Clause",
        }
        save_network(network, out / "segmenter.safetensors", card)
    else:
        state["stale"] += 1


def _append_curve(path: Path, step: int, loss: float, scores: dict[str, float]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        rows = csv.writer(file)
        if new:
            rows.writerow(["step", "training_loss", *scores])
        rows.writerow([step, round(loss, 5), *(round(value, 5) for value in scores.values())])


def _save(path: Path, network: nn.Module, optimiser, schedule, state: dict) -> None:
    parts = {"network": network.state_dict(), "optimiser": optimiser.state_dict(), "schedule": schedule.state_dict()}
    temporary = path.with_suffix(".tmp")
    torch.save({**parts, "state": json.dumps(state)}, temporary)
    temporary.replace(path)


def _restore(path: Path, network: nn.Module, optimiser, schedule) -> dict:
    if not path.exists():
        raise ModelError(f"{path}: no checkpoint to resume from; start without --resume")
    parts = torch.load(path, weights_only=True)  # own checkpoint; weights_only refuses anything but tensors
    network.load_state_dict(parts["network"])
    optimiser.load_state_dict(parts["optimiser"])
    schedule.load_state_dict(parts["schedule"])
    return json.loads(parts["state"])
