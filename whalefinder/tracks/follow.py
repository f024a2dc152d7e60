"""From fixes to a track: association, a Kalman reference, and in live runs the LSTM that corrects it.

    fixes → which belong to one animal (`association`) → reference direction of every second → (LSTM) → track

The reference is a Kalman estimate. In a live run it is that of the likeliest of several hypotheses. For archives it is
the smoothed estimate of the fixes that the likeliest hypothesis keeps at the end. The inputs of the network are offsets
from the reference, in its standard deviations, and its outputs are too. So turning the scene changes nothing, and
north is no special direction.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from whalefinder.array.geometry import Floats, tangent_offset, tangents
from whalefinder.networks.tracker import Tracker
from whalefinder.tracks.association import FREEDOM, Hypotheses, Prior, follow_hypotheses
from whalefinder.tracks.fixes import Steps
from whalefinder.tracks.kalman import Filtered, FilterSettings, kalman, smooth

REFERENCE = 4e-4  # acceleration of the smoother's reference, rad / s^1.5
STIFF, LOOSE = 1e-4, 1.6e-3  # accelerations of two more filters, whose answers the network gets too
FEATURES = 24  # inputs of the network at each step
LEVEL_FEATURES = (4, 6, 12, 14, 16, 20, 22)  # those that change sign when east and west are exchanged
SD_FLOOR_RAD = 1e-5
REWEIGHTINGS = 3
SMOOTHED_SD = 1.25  # stated errors of the smoothed reference times this, so that its regions hold what they say


@dataclass(frozen=True)
class Reference:
    """The reference direction of every step and the inputs of the network.

    Args:
        u: reference directions `[batch, step, 3]`.
        sd_rad: their standard deviations (level, up) `[batch, step, 2]`.
        began: whether there is a reference yet `[batch, step]`.
        features: inputs of the network `[batch, step, FEATURES]`.
    """

    u: Floats
    sd_rad: Floats
    began: np.ndarray
    features: torch.Tensor


@dataclass(frozen=True)
class Followed:
    """Directions `[batch, step, 3]` with standard deviations (level, up) `[batch, step, 2]` rad."""

    u: Floats
    sd_rad: Floats


def reference(steps: Steps, *, causal: bool) -> Reference:
    """The Kalman reference of every step, and the inputs of the network.

    `causal` uses only the fixes before each step; otherwise all fixes of the sequence are used.
    """
    hypotheses = follow_hypotheses(steps, Prior())
    if causal:
        return _causal(steps, hypotheses)
    return _smoothed(steps, hypotheses)


def _causal(steps: Steps, hypotheses: Hypotheses) -> Reference:
    believed = replace(steps, present=hypotheses.believed_now)
    bank = [_plain(believed, acceleration).u for acceleration in (STIFF, LOOSE)]
    u, covariance = hypotheses.mean[..., :3], hypotheses.covariance
    return _seen(steps, hypotheses, u, hypotheses.mean[..., 3:], covariance, bank, hypotheses.believed_now)


def _smoothed(steps: Steps, hypotheses: Hypotheses) -> Reference:
    believed = _reweighted(replace(steps, present=hypotheses.believed))
    mean, covariance = smooth(believed, _plain(believed, REFERENCE))
    bank = [smooth(believed, _plain(believed, acceleration))[0][..., :3] for acceleration in (STIFF, LOOSE)]
    began = replace(hypotheses, began=steps.valid)
    return _seen(steps, began, mean[..., :3], mean[..., 3:], covariance, bank, hypotheses.believed)


def _reweighted(steps: Steps) -> Steps:
    """The steps with errors adjusted for Student's t distribution, by iteratively reweighted least squares.

    A fix at distance d from the track (in stated standard deviations, two dimensions) gets (ν + d²) / (ν + 2) times its
    stated variance, with ν degrees of freedom. This is repeated, since the track then changes.
    """
    weighted = steps
    for _ in range(REWEIGHTINGS):
        mean, _ = smooth(weighted, _plain(weighted, REFERENCE))
        axes = np.stack(tangents(mean[..., :3]), axis=-2)
        distance = (tangent_offset(axes, mean[..., :3], steps.u) / steps.sd_rad) ** 2
        factor = np.sqrt((FREEDOM + distance.sum(-1, keepdims=True)) / (FREEDOM + 2))
        weighted = replace(steps, sd_rad=steps.sd_rad * factor)
    return weighted


def _plain(steps: Steps, acceleration: float) -> Filtered:
    """A Kalman filter without a gate: it uses every fix."""
    return kalman(steps, FilterSettings(acceleration=acceleration, rate_sd=0.006, gate=np.inf, sd_scale=1.0))


def _seen(
    steps: Steps,
    hypotheses: Hypotheses,
    u: Floats,
    rate: Floats,
    covariance: Floats,
    bank: list[Floats],
    believed: np.ndarray,
) -> Reference:
    """The inputs of the network: offsets from the reference along (level, up), compressed by arcsinh and log."""
    axes = np.stack(tangents(u), axis=-2)  # [batch, step, 2, 3]
    sd = _sd_rad(axes, covariance)
    present = steps.present[..., None]
    residual = np.where(present, tangent_offset(axes, u, steps.u), 0.0)
    before = np.concatenate([u[:, :1], u[:, :-1]], axis=1)
    jump = tangent_offset(axes, u, before)
    quiet = _time_since(steps.dt_s, believed)
    columns = [
        present,
        believed[..., None],
        np.log1p(steps.dt_s)[..., None],
        np.log1p(quiet)[..., None],
        np.arcsinh(residual / np.where(present, np.hypot(sd, steps.sd_rad), 1.0)),
        np.arcsinh(np.degrees(residual)),
        np.where(present, np.log(np.degrees(steps.sd_rad) + 1e-3), 0.0),
        np.log(np.degrees(sd) + 1e-3),
        np.arcsinh(5 * np.degrees((axes @ rate[..., None])[..., 0])),
        np.arcsinh(np.degrees(jump)),
        np.arcsinh(tangent_offset(axes, u, hypotheses.other) / sd),
        np.log(hypotheses.share + 1e-3)[..., None],
        u[..., 2:],
        *(np.arcsinh(tangent_offset(axes, u, other) / sd) for other in bank),
    ]
    features = np.concatenate(columns, axis=-1).clip(-10, 10) * steps.valid[..., None]
    return Reference(u, sd, hypotheses.began & steps.valid, torch.from_numpy(features).float())


def _sd_rad(axes: Floats, covariance: Floats) -> Floats:
    """Standard deviations `[..., 2]` along the axes `[..., 2, 3]` (level, up)."""
    variance = np.einsum("...ki,...ij,...kj->...k", axes, covariance[..., :3, :3], axes)
    return np.asarray(np.sqrt(np.maximum(variance, SD_FLOOR_RAD**2)))


def _time_since(dt_s: Floats, event: np.ndarray) -> Floats:
    """Seconds since the last step at which `event` was true. `[batch, step]`."""
    out = np.zeros_like(dt_s)
    since = np.zeros(len(dt_s))
    for t in range(dt_s.shape[1]):
        since = np.where(event[:, t], 0.0, since + dt_s[:, t])
        out[:, t] = since
    return out


def displaced(u: torch.Tensor, level: torch.Tensor, up: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
    """Directions `[..., 3]` at offsets `[..., 2]` rad along great circles (level, up) from `u`. Differentiable."""
    sideways = offset[..., :1] * level + offset[..., 1:] * up
    angle = offset.square().sum(-1, keepdim=True).clamp(min=1e-20).sqrt()
    return torch.cos(angle) * u + torch.sinc(angle / torch.pi) * sideways


@torch.inference_mode()
def follow(steps: Steps, tracker: Tracker, *, sea_floor: bool = False) -> Followed:
    """Directions of one animal at every step of every sequence, by the network.

    Args:
        steps: sequences of one animal each.
        tracker: the network.
        sea_floor: the array stands on the sea floor, with animals above it. The network was trained with animals below
            the array, so directions are turned upside down for it.
    """
    upright = np.array([1.0, 1.0, -1.0 if sea_floor else 1.0])
    steps = replace(steps, u=steps.u * upright)
    seen = reference(steps, causal=not tracker.config["smoother"])
    lengths = torch.from_numpy(steps.valid.sum(axis=1))
    u, sd = answer(tracker, seen.features, lengths, *(torch.from_numpy(part) for part in (seen.u, seen.sd_rad)))
    return Followed(u.numpy() * upright, sd.numpy())


def look_back(steps: Steps) -> Followed:
    """Directions of one animal at every step, from all fixes before and after: the smoothed reference, for archives.

    No network that was tried made it better (docs/tracking.md).
    """
    hypotheses = follow_hypotheses(steps, Prior())
    believed = _reweighted(replace(steps, present=hypotheses.believed))
    mean, covariance = smooth(believed, _plain(believed, REFERENCE))
    axes = np.stack(tangents(mean[..., :3]), axis=-2)
    return Followed(mean[..., :3], SMOOTHED_SD * _sd_rad(axes, covariance))


def answer(
    tracker: Tracker, features: torch.Tensor, lengths: torch.Tensor, u: torch.Tensor, sd_rad: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Direction and standard deviation of every step, from features and reference. Differentiable.

    The azimuth node moves the reference sideways and the elevation node moves it up, both along great circles. For
    small offsets, azimuth = reference + node · sd / cos(elevation) modulo 360°. But this also works at the pole.

    Args:
        tracker: the network.
        features: `[batch, step, FEATURES]`.
        lengths: steps before the padding, `[batch]`.
        u: reference directions `[batch, step, 3]`.
        sd_rad: their standard deviations `[batch, step, 2]`.

    Shape:
        → directions `[batch, step, 3]`, standard deviations (level, up) `[batch, step, 2]` rad.
    """
    azimuth, elevation, log_sd = tracker(features, lengths)
    offset = torch.stack([azimuth, elevation], dim=-1).to(u) * sd_rad
    level, up = (torch.from_numpy(axis).to(u) for axis in tangents(u.numpy()))
    return displaced(u, level, up, offset), sd_rad * log_sd.to(u).exp()
