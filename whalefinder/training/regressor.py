"""Recipe of the regressor of one array: simulated calls from known directions, both losses of the examination paper.

    whalefinder train regressor --array array.toml --out runs/regressor --minutes 40

Everything random is drawn from the seed and the step number, so a run that was stopped continues exactly.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from whalefinder.array.geometry import Floats, HydrophoneArray, direction, great_circle_rad, tangents
from whalefinder.errors import ArrayError
from whalefinder.networks.regressor import REACH, Regressor
from whalefinder.training import directions, mixtures
from whalefinder.training.clips import REAL_SOURCES
from whalefinder.training.loop import Report, Run, one_cycle, silent
from whalefinder.training.losses import AzimuthLoss, ElevationLoss, azimuth_deg, azimuth_weight, elevation_deg

STEPS_PER_MINUTE = 200  # on one core of 2026; this number turns minutes into steps, so that a run can be repeated
ELEVATION_WEIGHT = math.pi**2 / 2
"""Makes a degree cost the same in both losses: that of azimuth is 1 - cos Δ ≈ Δ²/2, that of elevation is (Δ/π)²."""
BEYOND_DEG = 10.0
MOST_TILT_DEG = 10.0  # of a plane; the mirror image of a direction in the water is then above the water
CARD = {
    "data": f"simulated directions, boats, calls, ambient noise and masks; {REAL_SOURCES}",
    "chosen_on": "the same kinds of data from the dev split (calls S04 and S09, dev ships)",
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of a run. They are written into the card of its weights."""

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
    patience: int = 20  # training stops after this many validations without a better loss
    threads: int = 1
    array: dict[str, object] = field(default_factory=dict)


def with_array(settings: Settings, array: HydrophoneArray) -> Settings:
    """The settings with the array added.

    Raises:
        ArrayError: two directions in the water sound the same to this array, so a regressor cannot choose.
    """
    normal = array.principal_axes()[1][2]
    level_plane = array.shape == "plane" and abs(normal[2]) > math.cos(math.radians(MOST_TILT_DEG))
    if array.shape != "volume" and not level_plane:
        raise ArrayError(
            f"array {array.name!r} is a {array.shape} that leaves two directions open, and one answer would lie between "
            "them; a regressor needs a volume or a level plane: use `method` steering, which names both"
        )
    centred = array.positions_m - array.positions_m.mean(axis=0)
    card = {
        "name": array.name,
        "positions_m": centred.round(6).tolist(),
        "sound_speed_m_s": array.sound_speed_m_s,
        "max_elevation_deg": math.degrees(array.max_elevation_rad()),
    }
    return replace(settings, array=card)


def loss_of(nodes: tuple[Tensor, Tensor], lessons: directions.Lessons, highest: float) -> Tensor:
    """The sum of both losses, in which a degree along a great circle costs the same. Nodes `(batch, 1)` → scalar.

    Args:
        nodes: outputs for azimuth and elevation.
        lessons: the batch, with its labels.
        highest: the largest elevation label that is possible.
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
    """Scores on calls that training never uses, and the errors (level, up) in degrees below which 68 % of them lie."""
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
    out: Path, array: HydrophoneArray, settings: Settings, *, resume: bool = False, report: Report = silent
) -> Path:
    """Train a regressor for `array` into the folder `out`. Returns the path of the best weights; see `loop.Run`.

    Raises:
        ArrayError: two directions in the water sound the same to this array.
        ModelError, OutputError: as `loop.Run`.
    """
    settings = with_array(settings, array)
    run = Run(out, "regressor", settings, lambda: _network(array, settings), resume=resume, schedule=one_cycle(0.1))
    network, highest = run.network, ElevationLoss.of(array).highest
    held_out = _held_out(network, array, settings)
    sources = directions.powers_of(mixtures.build_pool(settings.seed, settings.pool_calls, settings.pool_boats))
    sd_deg: list[float] = []

    def loss_at(step: int) -> Tensor:
        lessons = directions.draw(sources, array, (settings.seed, 3, step), settings.batch)
        planes = network.features(lessons.bins, settings.batch, array.sound_speed_m_s)
        return loss_of(network(planes), lessons, highest)

    def scores() -> dict[str, float]:
        found, sd_deg[:] = validate(network, held_out, highest)
        return found

    def card(kept: Regressor) -> dict[str, object]:
        settings_alone = {name: value for name, value in asdict(settings).items() if name != "array"}
        return {"array": settings.array, "sd_deg": list(sd_deg), "settings": settings_alone, **CARD}

    return run.train(loss_at, scores, card, report)


def _network(array: HydrophoneArray, settings: Settings) -> Regressor:
    return Regressor(array.num_channels, REACH * array.aperture_m, settings.num_paths, settings.hidden)


def _held_out(
    network: Regressor, array: HydrophoneArray, settings: Settings
) -> list[tuple[Tensor, directions.Lessons]]:
    """Batches for validation: from calls and ships of the dev split, and from simulated ones of another seed."""
    pool = mixtures.build_pool(settings.seed + 1_000_000, min(60, settings.pool_calls), 20, real_split="dev")
    sources, batches = directions.powers_of(pool), []
    for k in range(settings.validation_batches):
        lessons = directions.draw(sources, array, (settings.seed, 2, k), settings.batch)
        batches.append((network.features(lessons.bins, settings.batch, array.sound_speed_m_s), lessons))
    return batches
