"""`python -m bench.losses`: gradient, noise and condition of the direction losses, from the horizon to the nadir."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from whalefinder.array.geometry import angles, direction, tangents
from whalefinder.training.losses import (
    AzimuthLoss,
    ElevationLoss,
    GreatCircleLoss,
    azimuth_label,
    azimuth_weight,
    elevation_label,
)

ELEVATIONS_DEG = (0.0, -30.0, -60.0, -80.0, -89.0)
NOISE_DEG = 1.0
DRAWS = 4000
Loss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""(azimuth, elevation, true azimuth, true elevation), columns `(batch, 1)` → scalar."""

AZIMUTH: dict[str, Loss] = {
    "plain MSE": lambda a, e, ta, te: nn.functional.mse_loss(a, ta),
    "AzimuthLoss": lambda a, e, ta, te: AzimuthLoss()(a, ta),
    "AzimuthLoss × cos²": lambda a, e, ta, te: AzimuthLoss()(a, ta, azimuth_weight(te)),
}
ELEVATION: Loss = lambda a, e, ta, te: ElevationLoss()(e, te)  # noqa: E731 (one row of the same table)
GREAT_CIRCLE: Loss = lambda a, e, ta, te: GreatCircleLoss()(a, e, ta, te)  # noqa: E731


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    sys.stdout.write(table() + "\n")


def table() -> str:
    """The table of four quantities, with rows for losses and columns for elevations."""
    by_azimuth = {**AZIMUTH, "GreatCircleLoss": GREAT_CIRCLE}
    by_elevation = {"ElevationLoss": ELEVATION, "GreatCircleLoss": GREAT_CIRCLE}
    both = {f"{name} + ElevationLoss": _sum(loss, ELEVATION) for name, loss in AZIMUTH.items()}
    both["GreatCircleLoss"] = GREAT_CIRCLE
    lines = [
        f"The network answers the true direction, at azimuth 0°. The labels scatter about it by {NOISE_DEG:g}° on the sphere, equally "
        f"in every direction, in {DRAWS:,} draws. All figures are per row of the batch, in units of labels.",
        "",
        "| quantity | loss | " + " | ".join(f"{deg:g}°" for deg in ELEVATIONS_DEG) + " |",
        "|" + " --- |" * (2 + len(ELEVATIONS_DEG)),
    ]
    lines += _rows("r.m.s. gradient, azimuth node", by_azimuth, lambda loss, deg: gradient_rms(loss, deg)[0])
    lines += _rows("r.m.s. gradient, elevation node", by_elevation, lambda loss, deg: gradient_rms(loss, deg)[1])
    lines += _rows("standard deviation of the loss", by_azimuth, value_noise)
    lines += _rows("condition number of the Hessian", both, condition)
    return "\n".join(lines)


def _rows(quantity: str, losses: dict[str, Loss], measure: Callable[[Loss, float], float]) -> list[str]:
    rows = []
    for name, loss in losses.items():
        values = (measure(loss, deg) for deg in ELEVATIONS_DEG)
        entries = " | ".join(f"{value:.0f}" if value >= 100 else f"{value:.2g}" for value in values)
        rows.append(f"| {quantity} | {name} | {entries} |")
    return rows


def _sum(first: Loss, second: Loss) -> Loss:
    return lambda *columns: first(*columns) + second(*columns)


def draw(elevation_deg: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Nodes at the true direction, and labels that scatter about it, `(DRAWS, 1)` each, float64."""
    rng = np.random.default_rng(0)
    u = direction(0.0, np.radians(elevation_deg))
    across, up = tangents(u)
    # A random step of normal distribution along a great circle.
    step = rng.standard_normal((DRAWS, 2)) * np.radians(NOISE_DEG)
    length = np.linalg.norm(step, axis=1, keepdims=True)
    noisy = np.cos(length) * u + np.sin(length) * (step @ np.stack([across, up])) / length
    azimuth, elevation = (np.degrees(a)[:, None] for a in angles(noisy))
    true = torch.tensor(azimuth_label(azimuth)), torch.tensor(elevation_label(elevation))
    nodes = torch.zeros(DRAWS, 1, dtype=torch.float64), torch.full((DRAWS, 1), elevation_label(elevation_deg)).double()
    return *nodes, *true


def gradient_rms(loss: Loss, elevation_deg: float) -> tuple[float, float]:
    """R.m.s. gradient of the loss of one row by its azimuth node, and by its elevation node."""
    azimuth, elevation, *true = draw(elevation_deg)
    nodes = azimuth.requires_grad_(), elevation.requires_grad_()
    # The loss is a mean over rows, so the gradient of one row is `DRAWS` times its share.
    gradients = torch.autograd.grad(DRAWS * loss(*nodes, *true), nodes, materialize_grads=True, allow_unused=True)
    by_azimuth, by_elevation = (float(g.square().mean().sqrt()) for g in gradients)
    return by_azimuth, by_elevation


def value_noise(loss: Loss, elevation_deg: float) -> float:
    """Standard deviation of the loss of one row."""
    rows = zip(*(column.split(1) for column in draw(elevation_deg)), strict=True)
    return float(np.std([float(loss(*row)) for row in rows]))


def condition(loss: Loss, elevation_deg: float) -> float:
    """Largest divided by smallest curvature of the expected loss, by both nodes, at the true direction."""
    azimuth, elevation, *true = draw(elevation_deg)

    def expected(nodes: Tensor) -> Tensor:
        return loss(nodes[:1].expand(DRAWS, 1), nodes[1:].expand(DRAWS, 1), *true)

    hessian = torch.autograd.functional.hessian(expected, torch.cat([azimuth[0], elevation[0]]))
    curvature = torch.linalg.eigvalsh(hessian).abs()
    return float(curvature.max() / curvature.min())


if __name__ == "__main__":
    main()
