"""From fixes to a track: association, a Kalman reference, and at sea the LSTM that corrects it.

    fixes → which are of one animal (`association`) → reference direction of every second → (LSTM) → track

The reference is a Kalman estimate: causally the likeliest of several hypotheses, for archives the smoothed one of the fixes that
were believed in the end. The network sees everything in the reference's own tangent plane, in its standard deviations, so
neither the rotation of the scene nor north matters, and it answers with offsets there.
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
STIFF, LOOSE = 1e-4, 1.6e-3  # of two more filters that the network may lean towards
FEATURES = 24
LEVEL_FEATURES = (4, 6, 12, 14, 16, 20, 22)  # those that change sign when east and west are exchanged
SD_FLOOR_RAD = 1e-5
REWEIGHTINGS = 3
SMOOTHED_SD = 1.25  # stated errors of the smoothed reference times this, so that its regions hold what they say


@dataclass(frozen=True)
class Reference:
    """Running reference and what the network is shown.

    Shape:
        `u` `[batch, step, 3]`, `sd_rad` (level, up) `[batch, step, 2]`, `began` `[batch, step]`: there is one, `features`
        `[batch, step, FEATURES]`.
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
    """The Kalman part, with the features of every step."""
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
    """Stated errors as Student's t would have them, by reweighted least squares.

    The likelihood of t with ν degrees of freedom is that of a Gaussian whose variance is (ν + d²) / (ν + 2) times the stated one, d
    the distance of the fix from the track in stated standard deviations (two of them); repeated, since the track moves.
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
    """A filter that believes every fix it is given."""
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
    """Everything in the tangent plane of the reference, compressed so that a degree and a radian both fit."""
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
    """Standard deviations along `axes` `[..., 2, 3]`, (level, up) `[..., 2]`."""
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
    """Directions at (level, up) offsets `[..., 2]` rad along great circles from `u` `[..., 3]`; differentiable."""
    sideways = offset[..., :1] * level + offset[..., 1:] * up
    angle = offset.square().sum(-1, keepdim=True).clamp(min=1e-20).sqrt()
    return torch.cos(angle) * u + torch.sinc(angle / torch.pi) * sideways


@torch.inference_mode()
def follow(steps: Steps, tracker: Tracker, *, sea_floor: bool = False) -> Followed:
    """Directions of one animal at every step of every sequence, by the network; those asked for are of interest.

    Args:
        sea_floor: the array stands on it, with animals above: the network, trained below the surface, sees them upside down.
    """
    upright = np.array([1.0, 1.0, -1.0 if sea_floor else 1.0])
    steps = replace(steps, u=steps.u * upright)
    seen = reference(steps, causal=not tracker.config["smoother"])
    lengths = torch.from_numpy(steps.valid.sum(axis=1))
    u, sd = answer(tracker, seen.features, lengths, *(torch.from_numpy(part) for part in (seen.u, seen.sd_rad)))
    return Followed(u.numpy() * upright, sd.numpy())


def look_back(steps: Steps) -> Followed:
    """The same for archives, from everything that was heard: the smoothed reference, which no network of ours improved."""
    hypotheses = follow_hypotheses(steps, Prior())
    believed = _reweighted(replace(steps, present=hypotheses.believed))
    mean, covariance = smooth(believed, _plain(believed, REFERENCE))
    axes = np.stack(tangents(mean[..., :3]), axis=-2)
    return Followed(mean[..., :3], SMOOTHED_SD * _sd_rad(axes, covariance))


def answer(
    tracker: Tracker, features: torch.Tensor, lengths: torch.Tensor, u: torch.Tensor, sd_rad: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Direction and standard deviation of every step, from features and reference; differentiable.

    The azimuth node moves the reference along its parallel's great circle, the elevation node along its meridian: to first order
    azimuth = reference + node · sd / cos(elevation), taken modulo a turn, but without the pole's singularity.
    """
    azimuth, elevation, log_sd = tracker(features, lengths)
    offset = torch.stack([azimuth, elevation], dim=-1).to(u) * sd_rad
    level, up = (torch.from_numpy(axis).to(u) for axis in tangents(u.numpy()))
    return displaced(u, level, up, offset), sd_rad * log_sd.to(u).exp()
