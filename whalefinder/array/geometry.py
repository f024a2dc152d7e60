"""Arrays, directions and delays: the only place where axes and signs are decided.

Frame: x east, y north, z up, in metres. A direction is a unit vector that points *from the array to
the whale*, u = (cos el · sin az, cos el · cos az, sin el), azimuth clockwise from true north, elevation
positive up. A plane wave from u reaches hydrophone m at the delay tau_m = -r_m · u / c relative to the
array's origin: positive is later. `docs/conventions.md` says the same in words.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whalefinder.errors import ArrayError

Floats = NDArray[np.float64]
Shape = Literal["point", "line", "plane", "volume"]

COINCIDENT_M = 1e-3
"""Two hydrophones closer than this, in metres, are taken for one that was typed twice."""
WIDE_S = 3e-3
"""Delays above this part the frames of 21 ms: a seventh of the sound is then in one channel's frame alone."""
FLATNESS = 0.02
"""A spread below this share of the largest spread counts as zero: the array has no extent along that axis."""


@dataclass(frozen=True, kw_only=True)
class HydrophoneArray:
    """A rigid array of hydrophones, already turned into the frame of the earth.

    Args:
        name: what people call it.
        positions_m: `[channel, 3]` metres from the array's origin (east, north, up).
        sound_speed_m_s: metres per second. There is no default, since the usual 343 (air) is wrong in the sea.
        channels: which channel of the recording each hydrophone is, counted from 0.
        depth_m: depth of the origin below the surface, positive down, or None if unknown.
        min_range_m: no animal is nearer than this.
        position_error_m, timing_error_s, sound_speed_error_m_s: one sigma, per axis and hydrophone.
        sensitivity_db: `[channel]` dB re 1 V/µPa, or None.
        file_pattern: file name of a recording with one file per channel, with `{channel}` for the number, or None.
        unused_channels: channels of the recording, counted from 0, that belong to no hydrophone.
        full_scale_v: volts at a hydrophone's output (before the recorder's gain) that make a sample of 1, or None.
        lead_s: `[channel]` delays that were already taken out of the channels (`bearings.wide`), or None. A channel that is
            late by δ (`delay_s` of the array file) has -δ.
        gain_db: `[channel]` dB by which a channel is louder than the others, beside its sensitivity, or None.

    Raises:
        ArrayError: fewer than two hydrophones, two at one place, a channel used twice, or a value out of range.

    >>> pair = HydrophoneArray(name="pair", positions_m=[[0, 0, 0], [0, 1, 0]], sound_speed_m_s=1500.0)
    >>> pair.shape, pair.aperture_m
    ('line', 1.0)
    """

    name: str
    positions_m: Floats
    sound_speed_m_s: float
    channels: tuple[int, ...] = ()
    depth_m: float | None = None
    min_range_m: float = 20.0
    position_error_m: float = 0.0
    timing_error_s: float = 0.0
    sound_speed_error_m_s: float = 0.0
    sensitivity_db: tuple[float, ...] | None = None
    file_pattern: str | None = None
    unused_channels: tuple[int, ...] = ()
    full_scale_v: float | None = None
    lead_s: tuple[float, ...] | None = None
    gain_db: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        positions = np.asarray(self.positions_m, dtype=np.float64)
        if positions.ndim != 2 or positions.shape[1] != 3:
            raise ArrayError(f"array {self.name!r}: positions have shape {positions.shape}; need [channel, 3] metres")
        if len(positions) < 2:
            raise ArrayError(
                f"array {self.name!r}: {len(positions)} hydrophone; a bearing needs at least 2, "
                "give no `array` for detection alone"
            )
        if not np.isfinite(positions).all():
            raise ArrayError(f"array {self.name!r}: a position is not a finite number; give x_m, y_m, z_m in metres")
        distances = distances_m(positions) + np.eye(len(positions)) * 1e9
        if distances.min() < COINCIDENT_M:
            first, second = np.unravel_index(int(distances.argmin()), distances.shape)
            raise ArrayError(
                f"array {self.name!r}: hydrophones {first + 1} and {second + 1} are {distances.min() * 1e3:.2g} mm "
                f"apart, less than {COINCIDENT_M * 1e3:g} mm; correct their x_m, y_m, z_m"
            )
        channels = tuple(self.channels) or tuple(range(len(positions)))
        if len(channels) != len(positions) or len(set(channels)) != len(channels):
            raise ArrayError(
                f"array {self.name!r}: channels {[c + 1 for c in channels]} for {len(positions)} hydrophones; "
                "give each hydrophone its own channel"
            )
        if not 200.0 <= self.sound_speed_m_s <= 2000.0:
            raise ArrayError(
                f"array {self.name!r}: sound_speed_m_s = {self.sound_speed_m_s:g} is outside 200...2000; "
                "sea water is about 1480"
            )
        object.__setattr__(self, "positions_m", positions)
        object.__setattr__(self, "channels", channels)

    @property
    def num_channels(self) -> int:
        """How many hydrophones."""
        return len(self.positions_m)

    @property
    def aperture_m(self) -> float:
        """The largest distance between two hydrophones, in metres."""
        return float(distances_m(self.positions_m).max())

    @property
    def aliasing_hz(self) -> float:
        """Frequency c / (2 d) in hertz, where d is the distance of the closest pair.

        Above it, a pure tone at one pair of hydrophones fits more than one direction.
        """
        pairs = distances_m(self.positions_m)
        return self.sound_speed_m_s / (2.0 * float(pairs[pairs > 0].min()))

    def principal_axes(self) -> tuple[Floats, Floats]:
        """Spread `[3]` of the positions along their main axes, in metres, largest first; the axes `[3, 3]`, as rows."""
        centred = self.positions_m - self.positions_m.mean(axis=0)
        _, spread, axes = np.linalg.svd(centred, full_matrices=True)
        return np.pad(spread, (0, 3 - len(spread))), axes

    @property
    def shape(self) -> Shape:
        """`line` (also for a pair), `plane` or `volume`. The shape decides which angles can be measured."""
        spread, _ = self.principal_axes()
        extent = int((spread > FLATNESS * spread[0]).sum())
        return ("point", "line", "plane", "volume")[extent]

    def delays_s(self, directions: ArrayLike) -> Floats:
        """Delays of a plane wave relative to the origin, positive = later. `[..., 3]` → `[..., channel]` s.

        Of an array whose channels were aligned, what is left of them.
        """
        delays = plane_wave_delays(self.positions_m, directions, self.sound_speed_m_s)
        return delays if self.lead_s is None else delays - np.array(self.lead_s)

    def slopes_s(self, axes: ArrayLike) -> Floats:
        """Change of the delays per radian towards unit vectors across a direction. `[axis, 3]` → `[channel, axis]` s."""
        return plane_wave_delays(self.positions_m, axes, self.sound_speed_m_s).T

    @property
    def is_wide(self) -> bool:
        """Whether sound takes so long across the array that the frames of its channels do not show the same sound."""
        return self.aperture_m / self.sound_speed_m_s > WIDE_S

    def of(self, indices: ArrayLike) -> HydrophoneArray:
        """An array of some of the hydrophones, chosen by index (from 0)."""
        chosen = [int(i) for i in np.asarray(indices)]
        sensitivity = None if self.sensitivity_db is None else tuple(self.sensitivity_db[i] for i in chosen)
        return replace(
            self,
            positions_m=self.positions_m[chosen],
            channels=tuple(self.channels[i] for i in chosen),
            sensitivity_db=sensitivity,
            lead_s=None if self.lead_s is None else tuple(self.lead_s[i] for i in chosen),
            gain_db=None if self.gain_db is None else tuple(self.gain_db[i] for i in chosen),
        )

    def relative_gain(self) -> NDArray[np.float32]:
        """Factors `[channel]` for the samples, which remove differences of sensitivity and gain between hydrophones."""
        louder = np.zeros(self.num_channels)
        for known in (self.sensitivity_db, self.gain_db):
            if known is not None:
                louder += np.array(known) - np.mean(known)
        return np.asarray(10 ** (-louder / 20), np.float32)

    @property
    def full_scale_db(self) -> float | None:
        """Level in dB re 1 µPa of a sound whose samples have an r.m.s. of 1 after `relative_gain`. None if unknown."""
        if self.sensitivity_db is None or self.full_scale_v is None:
            return None
        return float(20 * np.log10(self.full_scale_v) - np.mean(self.sensitivity_db))

    def max_elevation_rad(self) -> float:
        """Highest elevation that a source under water can have, in radians: asin(min(1, depth / min_range)).

        It is π / 2 if the depth of the array is unknown.
        """
        if self.depth_m is None:
            return np.pi / 2
        return float(np.arcsin(min(1.0, max(0.0, self.depth_m) / self.min_range_m)))


def distances_m(positions_m: Floats) -> Floats:
    """Distance of every two hydrophones. `[channel, 3]` → `[channel, channel]` m."""
    return np.asarray(np.linalg.norm(positions_m[:, None] - positions_m[None], axis=-1))


def direction(azimuth_rad: ArrayLike, elevation_rad: ArrayLike) -> Floats:
    """Angles to unit vectors, `[...]` → `[..., 3]`.

    >>> direction(np.radians(90.0), 0.0).round(6).tolist()   # due east
    [1.0, 0.0, 0.0]
    """
    azimuth, elevation = np.asarray(azimuth_rad, float), np.asarray(elevation_rad, float)
    return np.stack(
        [np.cos(elevation) * np.sin(azimuth), np.cos(elevation) * np.cos(azimuth), np.sin(elevation)], axis=-1
    )


def angles(u: ArrayLike) -> tuple[Floats, Floats]:
    """Vectors `[..., 3]` of any length to (azimuth in [0, 2π), elevation) in radians.

    `atan2` keeps the quadrant that a plain arctan would lose.
    """
    u = np.asarray(u, float)
    azimuth = np.arctan2(u[..., 0], u[..., 1]) % (2 * np.pi)
    azimuth = np.where(azimuth >= 2 * np.pi, 0.0, azimuth)  # -1e-17 % 2π rounds up to 2π itself
    return azimuth, np.arctan2(u[..., 2], np.hypot(u[..., 0], u[..., 1]))


def great_circle_rad(u: ArrayLike, v: ArrayLike) -> Floats:
    """Angle between unit vectors, `[..., 3]` → `[...]` radians. It is exact for tiny angles too (no arccos near 1)."""
    u, v = np.asarray(u, float), np.asarray(v, float)
    return 2.0 * np.arctan2(np.linalg.norm(u - v, axis=-1), np.linalg.norm(u + v, axis=-1))


def tangents(u: ArrayLike) -> tuple[Floats, Floats]:
    """Two unit vectors at right angles to `u`: towards growing azimuth (level) and towards growing elevation (up).

    Shape:
        `[..., 3]` → `[..., 3]` and `[..., 3]`.
    """
    azimuth, elevation = angles(u)
    east = np.stack([np.cos(azimuth), -np.sin(azimuth), np.zeros_like(azimuth)], axis=-1)
    up = np.stack(
        [-np.sin(elevation) * np.sin(azimuth), -np.sin(elevation) * np.cos(azimuth), np.cos(elevation)], axis=-1
    )
    return east, up


def tangent_offset(axes: ArrayLike, u: ArrayLike, other: ArrayLike) -> Floats:
    """Offset of the direction `other` from the direction `u`, along two axes at right angles to `u`.

    The length of the offset is the angle between the two directions (the arc, not the shorter chord).

    Shape:
        axes `[..., 2, 3]` (as `tangents`, stacked), unit vectors `[..., 3]` twice → `[..., 2]` radians.
    """
    axes, u, other = (np.asarray(each, float) for each in (axes, u, other))
    return as_arc((axes @ other[..., None])[..., 0], u, other)


def as_arc(offset: Floats, u: Floats, other: Floats) -> Floats:
    """Scale `offset` so that its length is the arc between two unit vectors (radians). → `[..., n]`.

    Args:
        offset: `[..., n]` the part of `other` that is tangential to the sphere at `u`.
        u, other: `[..., 3]` unit vectors.
    """
    sine = np.linalg.norm(offset, axis=-1, keepdims=True)
    angle = np.arctan2(sine, (u * other).sum(-1, keepdims=True))
    return np.asarray(offset * angle / np.maximum(sine, 1e-12))


def plane_wave_delays(positions_m: ArrayLike, directions: ArrayLike, sound_speed_m_s: float) -> Floats:
    """tau_m = -r_m · u / c. `[channel, 3]` m and `[..., 3]` → `[..., channel]` s, positive = later.

    A hydrophone 1.5 m north hears a whale in the north 1 ms early:

    >>> plane_wave_delays([[0, 1.5, 0]], [0, 1, 0], 1500.0).tolist()
    [-0.001]
    """
    return -(np.asarray(directions, float) @ np.asarray(positions_m, float).T) / sound_speed_m_s


def travel_times_s(positions_m: ArrayLike, source_m: ArrayLike, sound_speed_m_s: float) -> Floats:
    """Travel times along straight rays, `[channel, 3]` and `[..., 3]` m → `[..., channel]` s."""
    offsets = np.asarray(source_m, float)[..., None, :] - np.asarray(positions_m, float)
    return np.linalg.norm(offsets, axis=-1) / sound_speed_m_s


def direction_from_tdoa(positions_m: ArrayLike, pairs: ArrayLike, tdoa_s: ArrayLike) -> Floats:
    """Direction of a plane wave from time differences, by least squares. It does not need the sound speed.

    Args:
        positions_m: `[channel, 3]`, not all in one plane.
        pairs: `[pair, 2]` channels (i, j), from 0.
        tdoa_s: `[..., pair]` seconds, τ_i - τ_j = (r_j - r_i) · u / c.

    Shape:
        → unit vectors `[..., 3]`.
    """
    positions, index = np.asarray(positions_m, float), np.asarray(pairs, int)
    baselines = positions[index[:, 1]] - positions[index[:, 0]]
    u = np.asarray(tdoa_s, float) @ np.linalg.pinv(baselines).T
    return u / np.maximum(np.linalg.norm(u, axis=-1, keepdims=True), 1e-300)


def attitude(heading_deg: float, pitch_deg: float, roll_deg: float) -> Floats:
    """Rotation `[3, 3]` from the array's axes (starboard, forward, up) to (east, north, up).

    Roll about y, then pitch about x, then heading clockwise from true north; positive roll puts
    starboard down, positive pitch lifts the bow.

    >>> (attitude(90.0, 0.0, 0.0) @ [0, 1, 0]).round(6).tolist()   # forward looks east
    [1.0, 0.0, 0.0]
    """
    h, p, r = np.radians([heading_deg, pitch_deg, roll_deg])
    about_y = np.array([[np.cos(r), 0, np.sin(r)], [0, 1, 0], [-np.sin(r), 0, np.cos(r)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    clockwise = np.array([[np.cos(h), np.sin(h), 0], [-np.sin(h), np.cos(h), 0], [0, 0, 1]])
    return clockwise @ about_x @ about_y


def equal_area_grid(step_rad: float, max_elevation_rad: float = np.pi / 2) -> Floats:
    """Unit vectors `[direction, 3]` below `max_elevation_rad`, neighbours about `step_rad` apart (a Fibonacci lattice).

    Equal steps of sin(elevation) hold equal areas, and the golden angle spreads the azimuths evenly.
    So directions are as dense near the pole as at the horizon.
    """
    count = int(np.ceil(4 * np.pi / step_rad**2))
    index = np.arange(count) + 0.5
    sine = 1.0 - 2.0 * index / count
    azimuth = index * np.pi * (3.0 - np.sqrt(5.0))
    grid = direction(azimuth % (2 * np.pi), np.arcsin(sine))
    return grid[sine <= np.sin(max_elevation_rad) + 1e-12]


def spread(positions_m: ArrayLike, count: int) -> NDArray[np.intp]:
    """Choose `count` positions `[channel, 3]` that lie far apart; all of them if there are fewer.

    The first is the one furthest from the mean; each next one is the furthest from those chosen so far.

    Returns:
        Their indices, in rising order.
    """
    positions = np.asarray(positions_m, float)
    chosen = [int(np.linalg.norm(positions - positions.mean(axis=0), axis=1).argmax())]
    while len(chosen) < min(count, len(positions)):
        nearest = np.linalg.norm(positions[:, None] - positions[chosen], axis=-1).min(axis=1)
        chosen.append(int(nearest.argmax()))
    return np.sort(np.array(chosen))


def tetrahedron(edge_m: float = 0.5) -> Floats:
    """Corners `[4, 3]` of a regular tetrahedron centred on the origin, edges of `edge_m` metres."""
    corners = np.array([[1, 1, -1], [-1, -1, -1], [1, -1, 1], [-1, 1, 1]], float)
    return corners * edge_m / (2 * np.sqrt(2))


def azimuth_from_anticlockwise_east(angle_rad: ArrayLike) -> Floats:
    """Azimuth from the angle that pyroomacoustics, DCASE and Stone Soup use (0 = east, anticlockwise), in radians.

    The formula az = π/2 - angle is its own inverse, so this function converts in both directions.
    """
    return (np.pi / 2 - np.asarray(angle_rad, float)) % (2 * np.pi)
