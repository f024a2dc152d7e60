"""The sound of a moving source at each hydrophone, exact to the sample.

A sound that leaves the source at time s arrives at hydrophone m at t = s + |p(s) - r_m| / c. For sources slower than
sound this function can be inverted: s(t) is the time at which the sound heard at t was emitted. The source's sound is
read at s(t), so Doppler shift, curved wavefronts and changing delays are all included. Amplitudes fall as 1 / distance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import soxr

from whalefinder.array.geometry import travel_times_s
from whalefinder.sea.signals import Floats
from whalefinder.sound.spectrogram import RATE_HZ

OVERSAMPLING = 8
PATH_STEP_S = 0.002
"""Paths are inverted at times this far apart. At 12 m/s and 30 m distance the interpolation is wrong by 2 µm."""


@dataclass(frozen=True)
class Path:
    """A straight path at constant speed: position at time 0 and velocity, `[3]` each, from the array's origin."""

    start_m: tuple[float, float, float]
    velocity_m_s: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def at(self, seconds: Floats | float) -> Floats:
        """Position `[..., 3]` m at the given times."""
        return np.asarray(self.start_m) + np.multiply.outer(np.asarray(seconds, float), np.asarray(self.velocity_m_s))

    def mirrored(self, depth_m: float) -> Path:
        """The mirror image of the path in the surface, which is `depth_m` above the array's origin."""
        (x, y, z), (vx, vy, vz) = self.start_m, self.velocity_m_s
        return Path((x, y, 2 * depth_m - z), (vx, vy, -vz))


def receive(
    sound: Floats,
    path: Path,
    positions_m: Floats,
    sound_speed_m_s: float,
    *,
    emitted_s: float,
    samples: int,
) -> Floats:
    """The sound of a moving source at every hydrophone.

    Args:
        sound: `[time]` at `RATE_HZ`, the pressure 1 m from the source.
        path: path of the source.
        positions_m: `[channel, 3]` m.
        sound_speed_m_s: metres per second.
        emitted_s: time in the recording at which its first sample leaves the source, in seconds (may be negative).
        samples: length of the recording.

    Shape:
        → `[channel, samples]`; zero before the first and after the last sample arrives.
    """
    fine = np.pad(soxr.resample(sound, RATE_HZ, RATE_HZ * OVERSAMPLING, quality="VHQ"), (8, 8))
    emission = np.arange(emitted_s, emitted_s + len(sound) / RATE_HZ + PATH_STEP_S, PATH_STEP_S)
    distance = travel_times_s(positions_m, path.at(emission), 1.0)
    heard = np.zeros((len(positions_m), samples))
    for m in range(len(positions_m)):
        arrival = emission + distance[:, m] / sound_speed_m_s
        first, last = int(np.ceil(arrival[0] * RATE_HZ)), int(arrival[-1] * RATE_HZ)
        first, last = max(0, first), min(samples - 1, last)
        if last < first:
            continue
        index = np.arange(first, last + 1)
        left = np.interp(index / RATE_HZ, arrival, emission)
        amplitude = 1.0 / np.maximum(np.interp(left, emission, distance[:, m]), 1.0)
        heard[m, index] = amplitude * _cubic(fine, (left - emitted_s) * RATE_HZ * OVERSAMPLING + 8)
    return heard


def _cubic(x: Floats, place: Floats) -> Floats:
    """Lagrange interpolation through four neighbours. With 8-fold oversampling its error is -90 dB at 12 kHz."""
    place = np.clip(place, 1, len(x) - 3)
    index = place.astype(np.int64)
    t = place - index
    before, here, after, beyond = (x[index + k] for k in (-1, 0, 1, 2))
    return (
        before * (-t * (t - 1) * (t - 2) / 6)
        + here * ((t + 1) * (t - 1) * (t - 2) / 2)
        + after * (-(t + 1) * t * (t - 2) / 2)
        + beyond * ((t + 1) * t * (t - 1) / 6)
    )


def roughened(sound: Floats, grazing_rad: float, roughness_m: float, sound_speed_m_s: float) -> Floats:
    """The sound `[time]` after reflection by a rough surface: times exp(-2 (k σ sin θ)²), the Rayleigh factor.

    Args:
        sound: `[time]` at `RATE_HZ`.
        grazing_rad: angle θ between ray and surface.
        roughness_m: r.m.s. height σ of the surface, metres.
        sound_speed_m_s: metres per second.
    """
    if roughness_m <= 0:
        return sound
    spectrum = np.fft.rfft(sound)
    k = 2 * np.pi * np.fft.rfftfreq(len(sound), 1 / RATE_HZ) / sound_speed_m_s
    return np.fft.irfft(spectrum * np.exp(-2 * (k * roughness_m * np.sin(grazing_rad)) ** 2), len(sound))
