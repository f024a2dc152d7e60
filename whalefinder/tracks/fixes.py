"""Bearings in order of time, as filters and the tracker take them: fixes merged with the times that are asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whalefinder.array.geometry import Floats, tangents

GRID_STEP_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Fixes:
    """Bearings of one animal, or of several and of nothing; sorted by time.

    Args:
        time_s: `[fix]`.
        u: unit vectors `[fix, 3]` from the array to the sound.
        sd_rad: `[fix, 2]`, one standard deviation along (level, up) great circles.
        snr_db, low_hz, high_hz: `[fix]`.
    """

    time_s: Floats
    u: Floats
    sd_rad: Floats
    snr_db: Floats
    low_hz: Floats
    high_hz: Floats

    def __len__(self) -> int:
        return len(self.time_s)

    def of(self, chosen: NDArray[np.intp] | NDArray[np.bool_]) -> Fixes:
        """Some of them, by index or mask."""
        return Fixes(**{name: part[chosen] for name, part in vars(self).items()})


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Sequences of fixes and of times without one, padded to the same length.

    Shape:
        `dt_s` since the step before, `present` (a fix), `asked` (an answer is wanted), `valid` (no padding):
        `[batch, step]`; `u` `[batch, step, 3]`, `sd_rad` `[batch, step, 2]`, `call` (SNR dB, lowest and
        highest Hz) `[batch, step, 3]`, arbitrary where no fix is present.
    """

    dt_s: Floats
    present: NDArray[np.bool_]
    asked: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    u: Floats
    sd_rad: Floats
    call: Floats

    def of(self, chosen: NDArray[np.intp] | slice) -> Steps:
        """Some of the sequences."""
        return Steps(**{name: part[chosen] for name, part in vars(self).items()})


def grid_of(fixes: Fixes) -> Floats:
    """Times at which a track is reported: whole seconds from the first fix to the last. → `[time]` s."""
    return np.arange(np.ceil(fixes.time_s[0]), np.floor(fixes.time_s[-1]) + 1e-9, GRID_STEP_S)


def merge(sequences: list[Fixes], asked_s: list[Floats]) -> Steps:
    """Steps of every sequence in order of time; a fix comes before a question asked at the same time."""
    lengths = [len(fixes) + len(asked) for fixes, asked in zip(sequences, asked_s, strict=True)]
    shape = (len(sequences), max(lengths))
    steps = Steps(
        dt_s=np.zeros(shape),
        present=np.zeros(shape, bool),
        asked=np.zeros(shape, bool),
        valid=np.zeros(shape, bool),
        u=np.tile([0.0, 1.0, 0.0], (*shape, 1)),
        sd_rad=np.full((*shape, 2), 0.1),
        call=np.zeros((*shape, 3)),
    )
    for row, (fixes, asked) in enumerate(zip(sequences, asked_s, strict=True)):
        time = np.concatenate([fixes.time_s, asked])
        order = np.argsort(time, kind="stable")
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        at, ticks = place[: len(fixes)], place[len(fixes) :]
        steps.dt_s[row, : len(order)] = np.diff(time[order], prepend=time[order[0]])
        steps.valid[row, : len(order)] = True
        steps.present[row, at], steps.asked[row, ticks] = True, True
        steps.u[row, at], steps.sd_rad[row, at] = fixes.u, fixes.sd_rad
        steps.call[row, at] = np.stack([fixes.snr_db, fixes.low_hz, fixes.high_hz], axis=-1)
    return steps


def measurement_covariance(u: Floats, sd_rad: Floats) -> Floats:
    """Covariance of a unit vector `[..., 3]` with errors `[..., 2]` along (level, up). → `[..., 3, 3]`.

    Along u itself nothing is measured; the larger of the two keeps the matrix regular there.
    """
    level, up = tangents(u)
    axes = np.stack([level, up, u], axis=-2)
    variance = np.concatenate([sd_rad, sd_rad.max(axis=-1, keepdims=True)], axis=-1) ** 2
    return np.einsum("...k,...ki,...kj->...ij", variance, axes, axes)
