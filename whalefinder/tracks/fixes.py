"""Fixes (bearings with times), and the sequences that filters and the tracker take: fixes merged with wanted times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whalefinder.array.geometry import Floats, tangents

GRID_STEP_S = 1.0  # step between the times of a track


@dataclass(frozen=True, kw_only=True)
class Fixes:
    """Bearings in order of time. They may belong to one animal, to several, or to other sounds.

    Args:
        time_s: `[fix]` seconds.
        u: unit vectors `[fix, 3]` from the array to the sound.
        sd_rad: `[fix, 2]`, standard deviations along great circles (level, up).
        snr_db, low_hz, high_hz: of the calls, `[fix]`.
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
        """Some of the fixes, chosen by index or by mask."""
        return Fixes(**{name: part[chosen] for name, part in vars(self).items()})


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Sequences of steps, padded to the same length. A step is a fix, or a time at which a direction is wanted.

    Args:
        dt_s: seconds since the step before, `[batch, step]`.
        present: whether the step is a fix, `[batch, step]`.
        asked: whether a direction is wanted, `[batch, step]`.
        valid: False for padding, `[batch, step]`.
        u: direction of the fix, `[batch, step, 3]`. This and the next two have no meaning if there is no fix.
        sd_rad: its standard deviations (level, up), `[batch, step, 2]`.
        call: SNR in dB, lowest and highest frequency in hertz, `[batch, step, 3]`.
    """

    dt_s: Floats
    present: NDArray[np.bool_]
    asked: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    u: Floats
    sd_rad: Floats
    call: Floats

    def of(self, chosen: NDArray[np.intp] | slice) -> Steps:
        """Some of the sequences, chosen by index."""
        return Steps(**{name: part[chosen] for name, part in vars(self).items()})


def grid_of(fixes: Fixes) -> Floats:
    """Times at which a track is reported: whole seconds from the first fix to the last. → `[time]` s."""
    return np.arange(np.ceil(fixes.time_s[0]), np.floor(fixes.time_s[-1]) + 1e-9, GRID_STEP_S)


def merge(sequences: list[Fixes], asked_s: list[Floats]) -> Steps:
    """Merge the fixes and the wanted times `asked_s` of every sequence, in order of time.

    At the same time, a fix comes before a wanted time.
    """
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

    Along u itself nothing is measured. The larger of the two errors is used there, so that the matrix can be inverted.
    """
    level, up = tangents(u)
    axes = np.stack([level, up, u], axis=-2)
    variance = np.concatenate([sd_rad, sd_rad.max(axis=-1, keepdims=True)], axis=-1) ** 2
    return np.einsum("...k,...ki,...kj->...ij", variance, axes, axes)
