"""Recipe of the regressor of one array: simulated calls from known directions, both losses of the specification (§1).

    whalefinder train regressor --array array.toml --out runs/regressor --minutes 40

Everything is drawn from the seed and the step number, so a run that was stopped continues exactly.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from whalefinder.errors import ArrayError
from whalefinder.geometry import Floats, HydrophoneArray, direction, great_circle_rad, tangents
from whalefinder.losses import AzimuthLoss, ElevationLoss, azimuth_deg, azimuth_weight, elevation_deg
from whalefinder.networks import save_network
from whalefinder.networks.regressor import REACH, Regressor
from whalefinder.tables import writing
from whalefinder.training import directions, mixtures
from whalefinder.training.checkpoint import append_curve, restore_checkpoint, save_checkpoint

STEPS_PER_MINUTE = 200  # of one core of 2026; minutes become steps by this figure, so that a run can be repeated
ELEVATION_WEIGHT = math.pi**2 / 2
"""1 - cos Δ is Δ²/2 of an azimuth, but the elevation's loss is (Δ/π)²: this makes a degree cost the same in both."""
BEYOND_DEG = 10.0
MOST_TILT_DEG = 10.0  # of a plane: its mirror image of a direction in the water is then above it


@dataclass(frozen=True)
class Settings:
    """What a run depends on; written into the card of its weights."""

    steps: int = 8000
    batch: int = 64
    peak_rate: float = 2e-3
    weight_decay: float = 1e-3
    num_paths: int = 64
    hidden: int = 128
    seed: int = 1
    pool_calls: int = 500
    pool_boats: int = 150
    validate_every: int = 200
    validation_batches: int = 10
    patience: int = 20  # validations without a better loss before it stops
    threads: int = 1
    array: dict[str, object] = field(default_factory=dict)


def with_array(settings: Settings, array: HydrophoneArray) -> Settings:
    """Settings of a run for `array`.

    Raises:
        ArrayError: two directions in the water sound alike to this array, so no regression can choose.
    """
    normal = array.principal_axes()[1][2]
    level_plane = array.shape == "plane" and abs(normal[2]) > math.cos(math.radians(MOST_TILT_DEG))
    if array.shape != "volume" and not level_plane:
        raise ArrayError(
            f"array {array.name!r} is a {array.shape} that leaves two directions open, and one answer would lie between "
            "them; a regressor needs a volume or a level plane: use --method steering, which names both"
        )
    centred = array.positions_m - array.positions_m.mean(axis=0)
    card = {
        "name": array.name,
        "positions_m": centred.round(6).tolist(),
        "sound_speed_m_s": array.sound_speed_m_s,
        "max_elevation_deg": math.degrees(array.max_elevation_rad()),
    }
    return replace(settings, array=card)


def train_step(
    network: Regressor, optimiser: torch.optim.Optimizer, planes: Tensor, lessons: directions.Lessons, highest: float
) -> float:
    """Forward, loss, zero the gradients, backward, step: in any other order it does not learn."""
    loss = loss_of(network(planes), lessons, highest)
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimiser.step()
    return float(loss.detach())


def loss_of(nodes: tuple[Tensor, Tensor], lessons: directions.Lessons, highest: float) -> Tensor:
    """Both losses, a degree of great circle costing the same in either. Nodes `(batch, 1)` → scalar.

    Args:
        highest: elevation label that physics allows.
    """
    across = AzimuthLoss()(nodes[0], lessons.azimuth, azimuth_weight(lessons.elevation))
    up = ElevationLoss(highest)(nodes[1], lessons.elevation)
    return across + ELEVATION_WEIGHT * up  # type: ignore[operator,return-value]


def errors_deg(nodes: tuple[Tensor, Tensor], lessons: directions.Lessons) -> tuple[Floats, Floats]:
    """Great-circle error `[example]` and its (level, up) parts `[example, 2]`, degrees."""
    found, true = (
        direction(
            np.radians(azimuth_deg(a.double().numpy()[:, 0])), np.radians(elevation_deg(e.double().numpy()[:, 0]))
        )
        for a, e in (nodes, (lessons.azimuth, lessons.elevation))
    )
    level, up = tangents(true)
    parts = np.stack([(found * level).sum(-1), (found * up).sum(-1)], axis=-1)
    return np.degrees(great_circle_rad(found, true)), np.degrees(np.arcsin(np.clip(parts, -1, 1)))


@torch.no_grad()
def validate(
    network: Regressor, batches: list[tuple[Tensor, directions.Lessons]], highest: float
) -> tuple[dict[str, float], list[float]]:
    """Scores on calls that training never hears, and the standard deviations (level, up) that 68 % of errors keep."""
    network.eval()
    answers = [network(planes) for planes, _ in batches]
    network.train()
    losses = [float(loss_of(nodes, lessons, highest)) for nodes, (_, lessons) in zip(answers, batches, strict=True)]
    error, parts = (
        np.concatenate(columns)
        for columns in zip(
            *(errors_deg(nodes, lessons) for nodes, (_, lessons) in zip(answers, batches, strict=True)), strict=True
        )
    )
    scores = {
        "loss": float(np.mean(losses)),
        "median_deg": float(np.median(error)),
        "beyond_10_deg": float((error > BEYOND_DEG).mean()),
    }
    return scores, np.quantile(np.abs(parts), 0.68, axis=0).tolist()


def train(
    out: Path,
    array: HydrophoneArray,
    settings: Settings,
    *,
    resume: bool = False,
    report: Callable[[int, float, dict[str, float] | None], None] = lambda step, loss, scores: None,
) -> Path:
    """Train a regressor for `array` into the folder `out`. Returns the path of the best weights.

    Args:
        report: called after every step with (step, loss, validation scores or None).
        resume: go on from `out/last.pt`.

    Raises:
        ArrayError: an array that leaves two directions open.

    Ctrl-C, like the end, leaves `last.pt`, the best weights and `curve.csv` behind.
    """
    settings = with_array(settings, array)
    torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    network = Regressor(array.num_channels, REACH * array.aperture_m, settings.num_paths, settings.hidden)
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.peak_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.peak_rate, settings.steps, pct_start=0.1)
    state: dict[str, float] = {"step": 0, "best": math.inf, "stale": 0}
    if resume:
        state = restore_checkpoint(out / "last.pt", settings, network, optimiser, schedule)
    else:
        (out / "curve.csv").unlink(missing_ok=True)
    highest = ElevationLoss.of(array).highest
    held_out = _held_out(network, array, settings)
    sources = directions.powers_of(mixtures.build_pool(settings.seed, settings.pool_calls, settings.pool_boats))
    began = time.monotonic()
    try:
        while state["step"] < settings.steps and state["stale"] < settings.patience:
            step = int(state["step"])
            lessons = directions.draw(sources, array, (settings.seed, 3, step), settings.batch)
            planes = network.features(lessons.bins, settings.batch, array.sound_speed_m_s)
            loss = train_step(network, optimiser, planes, lessons, highest)
            schedule.step()
            state["step"] = step + 1
            scores = None
            if (step + 1) % settings.validate_every == 0 or step + 1 == settings.steps:
                scores, sd_deg = validate(network, held_out, highest)
                _keep_best(network, scores, sd_deg, state, out, settings, time.monotonic() - began)
                append_curve(out / "curve.csv", step + 1, loss, scores)
                save_checkpoint(out / "last.pt", settings, network, optimiser, schedule, state)
            report(step + 1, loss, scores)
    except KeyboardInterrupt:
        save_checkpoint(out / "last.pt", settings, network, optimiser, schedule, state)
        raise
    return out / "regressor.safetensors"


def _held_out(
    network: Regressor, array: HydrophoneArray, settings: Settings
) -> list[tuple[Tensor, directions.Lessons]]:
    """Batches from calls and ships of the dev split, and from simulated ones of another seed."""
    pool = mixtures.build_pool(settings.seed + 1_000_000, min(60, settings.pool_calls), 20, real_split="dev")
    sources, batches = directions.powers_of(pool), []
    for k in range(settings.validation_batches):
        lessons = directions.draw(sources, array, (settings.seed, 2, k), settings.batch)
        batches.append((network.features(lessons.bins, settings.batch, array.sound_speed_m_s), lessons))
    return batches


def _keep_best(
    network: Regressor,
    scores: dict[str, float],
    sd_deg: list[float],
    state: dict[str, float],
    out: Path,
    settings: Settings,
    seconds: float,
) -> None:
    if scores["loss"] >= state["best"]:
        state["stale"] += 1
        return
    state["best"], state["stale"] = scores["loss"], 0
    card = {
        "array": settings.array,
        "sd_deg": sd_deg,
        "settings": {k: v for k, v in asdict(settings).items() if k != "array"},
        "step": state["step"],
        "minutes": round(seconds / 60, 1),
        "validation": scores,
        "data": "simulated directions, boats, ambient noise and masks; simulated calls; manifest rows with split=train and "
        "use=train (Ford call catalogue, Open Government Licence - Canada 2.0; Orcasound and spectrace clips, MIT or CC0)",
        "chosen_on": "the same from manifest rows with split=dev (calls S04 and S09, dev ships)",
        "licence": "BSD-3-Clause",
    }
    save_network(network, out / "regressor.safetensors", card)
