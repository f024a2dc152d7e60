"""Recipe of the segmentation network: random mixtures, labels that are power shares, one cycle of AdamW.

    whalefinder train segmenter --out runs/segmenter

Everything random is drawn from the seed and the step number, so a run that was stopped continues exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from whalefinder.calls.masks import CALL
from whalefinder.networks.quantised import largest_inputs
from whalefinder.networks.segmentation import CLASSES, SegmentationNetwork
from whalefinder.sound import features
from whalefinder.training import mixtures
from whalefinder.training.clips import REAL_SOURCES
from whalefinder.training.loop import Report, Run, silent

BOAT_WEIGHT = 0.15  # weight of the part "boat or ambient" of the loss; the part "call or not" has weight 1
CARD = {
    "data": f"simulated boats and calls; {REAL_SOURCES}",
    "chosen_on": "real recordings of the dev split (calls S04 and S09, dev ships)",
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of a run. They are written into the card of its weights."""

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
    patience: int = 10  # training stops after this many validations without a better loss
    threads: int = 2


def divergence(logits: Tensor, shares: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Divergence of the predicted from the true power shares, in two parts (nats per bin, 0 = perfect).

    By the chain rule, the Kullback-Leibler divergence (KL) of three classes is the KL of "call or not" plus, for the
    share that is not call, the KL of "boat or ambient". Bearings need only the first part. The second part is harder,
    and with full weight the network would learn mostly this one.

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


@torch.no_grad()
def validate(network: nn.Module, batches: list[mixtures.Mixture]) -> dict[str, float]:
    """Both parts of the divergence on mixtures that training never sees."""
    network.eval()
    parts = []
    for mixture in batches:
        logits = network(_planes(mixture))
        parts.append([float(part) for part in divergence(logits, mixture.shares, mixture.valid)])
    network.train()
    call, boat = (sum(column) / len(parts) for column in zip(*parts, strict=True))
    return {"call": call, "boat": boat}


def train(out: Path, settings: Settings, *, resume: bool = False, report: Report = silent) -> Path:
    """Train a segmentation network into the folder `out`. Returns the path of the best weights; see `loop.Run`.

    Raises:
        ModelError, OutputError: as `loop.Run`.
    """
    run = Run(out, "segmenter", settings, lambda: _network(settings), resume=resume)
    pool = mixtures.build_pool(settings.seed, settings.pool_calls, settings.pool_boats)
    judge = mixtures.build_pool(settings.seed + 1_000_000, 60, 20, real_split="dev")
    held_out = [mixtures.draw(judge, (settings.seed, 2, k), settings.batch) for k in range(settings.validation_batches)]

    def loss_at(step: int) -> Tensor:
        mixture = mixtures.draw(pool, (settings.seed, 3, step), settings.batch)
        call, boat = divergence(run.network(_planes(mixture)), mixture.shares, mixture.valid)
        return call + BOAT_WEIGHT * boat

    def card(network: SegmentationNetwork) -> dict[str, object]:
        planes = (features.segmenter_planes(mixture.spectra, mixture.valid) for mixture in held_out)
        return {**CARD, "largest": largest_inputs(network, planes)}

    return run.train(loss_at, lambda: validate(run.network, held_out), card, report)


def _network(settings: Settings) -> SegmentationNetwork:
    network = SegmentationNetwork(
        len(features.FEATURES), settings.hidden_channels, len(CLASSES), normalise=settings.normalise
    )
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _planes(mixture: mixtures.Mixture) -> Tensor:
    planes = features.segmenter_planes(mixture.spectra, mixture.valid)
    return planes.contiguous(memory_format=torch.channels_last)
