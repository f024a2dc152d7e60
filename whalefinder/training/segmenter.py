"""Recipe of the segmentation network: simulated mixtures, soft labels, one cycle of AdamW.

    whalefinder train segmenter --out runs/segmenter

Everything is drawn from the seed and the step number, so a run that was stopped continues exactly.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from whalefinder import spectrogram
from whalefinder.networks import save_network
from whalefinder.networks.segmentation import CLASSES, SegmentationNetwork
from whalefinder.tables import writing
from whalefinder.training import mixtures
from whalefinder.training.checkpoint import append_curve, restore_checkpoint, save_checkpoint

CALL = CLASSES.index("call")
BOAT_WEIGHT = 0.15  # of telling boat from ambient, against telling call from both


@dataclass(frozen=True)
class Settings:
    """What a run depends on; written into the card of its weights."""

    steps: int = 3800
    batch: int = 8
    peak_rate: float = 4e-3
    weight_decay: float = 1e-2
    hidden_channels: int = 16
    normalise: bool = True
    seed: int = 1
    pool_calls: int = 1200
    pool_boats: int = 250
    validate_every: int = 200
    validation_batches: int = 12
    patience: int = 10  # validations without a better loss before it stops
    threads: int = 2


def divergence(logits: Tensor, shares: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """How far the predicted split is from the true power shares, in two parts (nats per bin, 0 = perfect).

    KL over three classes is KL of "call or not" plus, for what is not call, KL of "boat or ambient"
    (chain rule). Bearings need the first alone; the second is the harder and would eat the capacity.

    Shape:
        `[batch, class, frequency, frame]` twice and `[batch, frequency]` → two scalars.
    """
    log_p = logits.log_softmax(1)
    others = [index for index in range(len(CLASSES)) if index != CALL]
    log_rest = log_p[:, others].logsumexp(1)
    rest = shares[:, others].sum(1)
    call = shares[:, CALL]
    whether = torch.special.xlogy(call, call) - call * log_p[:, CALL]
    whether = whether + torch.special.xlogy(rest, rest) - rest * log_rest
    which = (torch.special.xlogy(shares, shares) - shares * log_p).sum(1) - whether
    weight = valid[:, :, None].to(logits.dtype).expand_as(whether)
    return (whether * weight).sum() / weight.sum(), (which * weight).sum() / weight.sum()


def train_step(
    network: nn.Module, optimiser: torch.optim.Optimizer, planes: Tensor, mixture: mixtures.Mixture
) -> float:
    """Forward, loss, zero the gradients, backward, step: in any other order it does not learn."""
    call, boat = divergence(network(_contiguous(planes)), mixture.shares, mixture.valid)
    loss = call + BOAT_WEIGHT * boat
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimiser.step()
    return float(loss.detach())


@torch.no_grad()
def validate(network: nn.Module, batches: list[mixtures.Mixture]) -> dict[str, float]:
    """Both parts of the divergence on mixtures that training never sees."""
    network.eval()
    parts = []
    for mixture in batches:
        logits = network(_contiguous(spectrogram.features(mixture.spectra, mixture.valid)))
        parts.append([float(part) for part in divergence(logits, mixture.shares, mixture.valid)])
    network.train()
    call, boat = (sum(column) / len(parts) for column in zip(*parts, strict=True))
    return {"call": call, "boat": boat}


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
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    network = SegmentationNetwork(
        len(spectrogram.FEATURES), settings.hidden_channels, len(CLASSES), normalise=settings.normalise
    )
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.peak_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.peak_rate, settings.steps, pct_start=0.15)
    state: dict[str, float] = {"step": 0, "best": math.inf, "stale": 0}
    if resume:
        state = restore_checkpoint(out / "last.pt", settings, network, optimiser, schedule)
    else:
        (out / "curve.csv").unlink(missing_ok=True)
    pool = mixtures.build_pool(settings.seed, settings.pool_calls, settings.pool_boats)
    judge = mixtures.build_pool(settings.seed + 1_000_000, 60, 20, real_split="dev")
    held_out = [mixtures.draw(judge, (settings.seed, 2, k), settings.batch) for k in range(settings.validation_batches)]
    began = time.monotonic()
    try:
        while state["step"] < settings.steps and state["stale"] < settings.patience:
            step = int(state["step"])
            mixture = mixtures.draw(pool, (settings.seed, 3, step), settings.batch)
            planes = spectrogram.features(mixture.spectra, mixture.valid)
            loss = train_step(network, optimiser, planes, mixture)
            schedule.step()
            state["step"] = step + 1
            scores = None
            if (step + 1) % settings.validate_every == 0 or step + 1 == settings.steps:
                scores = validate(network, held_out)
                _keep_best(network, scores, state, out, settings, time.monotonic() - began)
                append_curve(out / "curve.csv", step + 1, loss, scores)
                save_checkpoint(out / "last.pt", settings, network, optimiser, schedule, state)
            report(step + 1, loss, scores)
    except KeyboardInterrupt:
        save_checkpoint(out / "last.pt", settings, network, optimiser, schedule, state)
        raise
    return out / "segmenter.safetensors"


def _contiguous(planes: Tensor) -> Tensor:
    return planes.contiguous(memory_format=torch.channels_last)


def _keep_best(
    network: SegmentationNetwork,
    scores: dict[str, float],
    state: dict[str, float],
    out: Path,
    settings: Settings,
    seconds: float,
) -> None:
    if scores["call"] < state["best"]:
        state["best"], state["stale"] = scores["call"], 0
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
